/** Who may import whom, which names are not used, how long a file may be. Change the table and this file together. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { describe, expect, it } from 'vitest'

const source = import.meta.dirname

const decisions = ['contracts', 'core']
const floor2 = ['auth', 'storage', 'realtime', 'telemetry']

/** Folder → folders it may import from (itself is always allowed). */
const allowed: Record<string, string[]> = {
  contracts: [],
  core: ['contracts'],
  auth: decisions,
  storage: decisions,
  realtime: decisions,
  telemetry: decisions,
  // What runs inside the isolate shares its linker with what prepares it.
  isolate: ['contracts', 'core', 'telemetry', 'execution'],
  execution: [...decisions, ...floor2],
  'durable-objects': [...decisions, ...floor2, 'execution'],
  // A deploy unpacks, links and indexes the bundle: downwards, and the only verb that needs it.
  operations: [...decisions, ...floor2, 'execution'],
  api: ['contracts', 'operations', 'auth', 'realtime'],
  mcp: ['contracts', 'operations', 'auth', 'realtime'],
  rpc: ['contracts', 'operations', 'auth', 'realtime'],
  // The npm client: of the core only what reads plans.
  client: ['contracts', 'core'],
  runtime: ['contracts', 'core', 'client'],
  adapters: ['contracts', 'client'],
}

const forbiddenNames = ['utils.ts', 'helpers.ts', 'common.ts', 'types.ts', 'misc.ts']
const MAX_LINES = 800

function files(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) return name === 'generated' || name === 'fixtures' ? [] : files(path)
    return name.endsWith('.ts') || name.endsWith('.tsx') ? [path] : []
  })
}

const all = files(source)
const withoutTests = all.filter((file) => !/\.test(-d)?\.ts$/.test(file))

function importsOf(text: string): string[] {
  const pattern =
    /^\s*(?:import|export)\b[^'"\n]*?(?:\{[^}]*\}[^'"\n]*?)?from\s+['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm
  return [...text.matchAll(pattern)].map((match) => (match[1] ?? match[2] ?? match[3]) as string)
}

function name(file: string): string {
  return relative(source, file).split(sep).join('/')
}

function folderOf(file: string): string {
  const path = name(file)
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : ''
}

function offences(check: (file: string, text: string) => string[]): string[] {
  return withoutTests.flatMap((file) => check(file, readFileSync(file, 'utf8')).map((problem) => `${name(file)}: ${problem}`))
}

describe('floors', () => {
  it('imports go down, never up or sideways', () => {
    const found = offences((file, text) => {
      const folder = folderOf(file)
      if (!folder) return []
      const floors = allowed[folder]
      if (!floors) return [`folder ${folder} is not in the table`]
      return importsOf(text)
        .filter((target) => target.startsWith('.'))
        .map((target) => folderOf(join(dirname(file), target)))
        .filter((target) => target !== folder && target !== '' && !floors.includes(target))
        .map((target) => `imports ${target}`)
    })
    expect(found).toEqual([])
  })

  it('only objects and worker.ts import cloudflare:workers', () => {
    const found = offences((file, text) => {
      if (folderOf(file) === 'durable-objects' || name(file) === 'worker.ts' || folderOf(file) === 'isolate') return []
      const withoutTypes = text.replace(/^import type .*$/gm, '')
      return importsOf(withoutTypes).filter((target) => target === 'cloudflare:workers')
    })
    expect(found).toEqual([])
  })

  it('contracts import zod in schema files only and nothing else', () => {
    const found = offences((file, text) => {
      if (folderOf(file) !== 'contracts') return []
      const schema = file.endsWith('.schema.ts')
      return importsOf(text).filter((target) => !target.startsWith('.') && !(schema && /^(zod|@hono\/zod-openapi)$/.test(target)))
    })
    expect(found).toEqual([])
  })

  it('core decides without a clock, chance or the outside', () => {
    const found = offences((file, text) => {
      if (folderOf(file) !== 'core') return []
      const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '')
      const used = [
        'Date.now(',
        'Math.random(',
        'crypto.randomUUID(',
        'setTimeout(',
        'setInterval(',
        'console.',
        ' fetch(',
      ].filter((word) => code.includes(word))
      return [...used, ...importsOf(text).filter((target) => /^(node|cloudflare):/.test(target))]
    })
    expect(found).toEqual([])
  })

  it('the client goes into bundles of others: no schemas, no platform, of core only plans', () => {
    const found = offences((file, text) => {
      if (!['client', 'runtime'].includes(folderOf(file)) && name(file) !== 'index.ts') return []
      const targets = importsOf(text)
      const schemas = targets.filter((target) => target.endsWith('.schema.ts'))
      const packages = targets.filter((target) => !target.startsWith('.') && target !== '@trigger.dev/sdk')
      const core = targets.filter((target) => target.includes('/core/') && !/\/core\/(plan|journal)\//.test(target))
      return [...schemas, ...packages, ...core]
    })
    expect(found).toEqual([])
  })

  it('SQL is written in storage only', () => {
    const found = offences((file, text) => {
      if (!['api', 'operations', 'core', 'auth'].includes(folderOf(file))) return []
      return /\bsql\.exec\(/.test(text) ? ['runs SQL'] : []
    })
    expect(found).toEqual([])
  })
})

describe('names and sizes', () => {
  it('no file is named for nothing', () => {
    const found = all.filter((file) => forbiddenNames.includes(file.slice(file.lastIndexOf(sep) + 1))).map(name)
    expect(found).toEqual([])
  })

  it(`no file is longer than ${MAX_LINES} lines`, () => {
    const found = all
      .map((file) => ({ file: name(file), lines: readFileSync(file, 'utf8').split('\n').length }))
      .filter(({ lines }) => lines > MAX_LINES)
    expect(found).toEqual([])
  })
})
