import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { instantiate, type LoadedModules, loadModules } from '../../isolate/instantiate.ts'
import { type LayerModule, layerParameters, type Namespace } from './layer-contract.ts'
import { type LinkResult, linkBundle } from './link.ts'
import { makeBundle } from './sample-bundle.fixture.ts'
import { mapStack } from './source-map.ts'

const sources: Record<string, string> = {
  'src/lib/state.ts': `export let count = 0\nexport function next() { count++; return count }\nexport const born = Math.random()\n`,
  'src/lib/data.json': `{"a":[1,2]}`,
  'src/lib/lazy.ts': `import { next } from './state'\nexport const lazy = () => 'lazy' + next()\nexport default class Lazy {}\n`,
  'src/lib/star.ts': `export * from 'node:path'\nexport * as util from 'node:util'\nexport const own = 1\n`,
  'src/trigger/one.ts': `import { task } from '@trigger.dev/sdk'
import { next, count } from '../lib/state'
import data from '../lib/data.json'
import { bump, count as shared } from '@trigger.dev/core'
import * as fs from 'node:fs'
class Box { #v = 1; next() { return this.#v++ } has(o: object) { return #v in o } static { Box.prototype.constructor } }
export const one = task({ id: 'one', run: () => ({ next: next(), count, data, bump: bump(), shared, box: new Box().next(), fs: typeof fs.readFileSync }) })
export const shapes = () => { const next_ = { next, count }; return { ...next_, nested: { next: () => next() } } }
export const fail = () => {
  throw new Error('on purpose ' + next())
}
`,
  'src/trigger/two.ts': `import { task } from '@trigger.dev/sdk'
import { count, born } from '../lib/state'
const value = await Promise.resolve(42)
export const two = task({ id: 'two', run: async () => { const { lazy, default: Lazy } = await import('../lib/lazy'); return { value, lazy: lazy(), name: Lazy.name, count, born, random: Math.random() } } })
`,
  'src/trigger/three.ts': `import * as star from '../lib/star'
export const three = () => ({ join: star.join('a', 'b'), own: star.own, util: typeof star.util.inspect, url: import.meta.url, process: process.env.NAME })
export const bad = () => fetch('x')
`,
  'src/lib/cjs.cjs': `const os = require('node:os'); module.exports = { os: () => os }`,
  'src/trigger/cjs.ts': `import lib from '../lib/cjs.cjs'\nexport const cjs = () => lib.os()`,
  'src/trigger/cjs2.ts': `import lib from '../lib/cjs.cjs'\nexport const cjs2 = () => lib.os()`,
  'src/trigger/boom.ts': `throw new Error('top level')\nexport const never = 1\n`,
}

interface Opened {
  layer: LayerModule
  loaded: LoadedModules
  close(): void
}
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function open(result: LinkResult): Promise<Opened> {
  const root = mkdtempSync(join(tmpdir(), 'linked-'))
  writeFileSync(join(root, 'package.json'), '{"type":"module"}')
  for (const [path, text] of Object.entries({ ...result.linked.shared, 'layer.js': result.linked.fresh })) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const layer = (await import(/* @vite-ignore */ pathToFileURL(join(root, 'layer.js')).href)) as LayerModule
  const loaded = await loadModules(layer)
  const close = (): void => rmSync(root, { recursive: true, force: true })
  closers.push(close)
  return { layer, loaded, close }
}

function newRun({ layer, loaded }: Opened, scope: Record<string, unknown> = {}) {
  const real = globalThis as unknown as Record<string, unknown>
  const { table } = layer.layer(...layerParameters.map((name) => (name in scope ? scope[name] : real[name])))
  return instantiate({
    table,
    shared: loaded.shared,
    external: (specifier) => {
      const found = loaded.externals[specifier]
      if (!found) throw new Error(`no ${specifier}`)
      return found
    },
  })
}
type Task = { run(payload?: unknown): Promise<Record<string, unknown>> }

describe('linkBundle', () => {
  let result: LinkResult
  let two: string
  beforeAll(async () => {
    result = linkBundle(await makeBundle({ sources }), 'f'.repeat(64))
    two = 'src/trigger/two.mjs'
  })

  it('shares what the run worker reaches and the SDK, and nothing of the project', () => {
    const shared = Object.values(result.linked.shared).join('\n')
    expect(shared).toContain('TaskExecutor')
    expect(shared).not.toContain('src/lib/state.ts')
    expect(shared).toContain('"file:///bundle/chunk-')
    expect(result.linked.fresh).not.toContain('node_modules/@trigger.dev/core/index.js')
    expect(result.linked.core.TaskExecutor?.export).toBe('TaskExecutor')
    expect(result.linked.files.map((file) => file.out)).toContain(two)
  })

  it("shares the project's own copy of the SDK, also when it imports a part of itself dynamically", async () => {
    const uses = (name: string): string =>
      `import { now, later } from '@trigger.dev/copy'\nexport const ${name} = { now, later }\n`
    const { linked } = linkBundle(
      await makeBundle({
        sources: {
          'src/trigger/a.ts': uses('a'),
          'src/trigger/b.ts': uses('b'),
          'node_modules/@trigger.dev/copy/index.js': `import { sign } from 'jose'\nexport const now = () => sign()\nexport const later = async () => (await import('jose')).sign()\n`,
          'node_modules/jose/index.js': `export const sign = () => 'signed'\n`,
        },
      }),
      'x',
    )
    expect(Object.values(linked.shared).join('\n')).toContain('signed')
    expect(linked.fresh).not.toContain('node_modules/')
  })

  it('gives each run fresh module state, live bindings and shared namespaces', async () => {
    const opened = await open(result)
    const first = newRun(opened)
    const { one, shapes } = (await first.evaluate('src/trigger/one.mjs')) as { one: Task; shapes(): Namespace }
    expect(await one.run()).toMatchObject({ next: 1, count: 1, data: { a: [1, 2] }, bump: 1, shared: 1, box: 1, fs: 'function' })
    expect(await one.run()).toMatchObject({ next: 2, count: 2, bump: 2, shared: 2 })
    expect(shapes()).toMatchObject({ count: 2 })
    const second = (await newRun(opened).evaluate('src/trigger/one.mjs')) as { one: Task }
    expect(await second.one.run()).toMatchObject({ next: 1, count: 1, bump: 3, shared: 3 })
  })

  it('evaluates synchronously unless there is top-level await, and imports dynamically', async () => {
    const opened = await open(result)
    const run = newRun(opened, { Math: { ...Math, random: () => 0.5 } })
    expect(run.evaluate('src/trigger/one.mjs')).not.toBeInstanceOf(Promise)
    const pending = run.evaluate(two)
    expect(pending).toBeInstanceOf(Promise)
    const task = ((await pending) as { two: Task }).two
    expect(await task.run()).toEqual({ value: 42, lazy: 'lazy1', name: 'Lazy', count: 1, born: 0.5, random: 0.5 })
  })

  it('re-exports everything of a builtin and shadows globals', async () => {
    const run = newRun(await open(result), { process: { env: { NAME: 'scoped' } }, fetch: () => 'scoped fetch' })
    const { three, bad } = (await run.evaluate('src/trigger/three.mjs')) as { three(): unknown; bad(): unknown }
    expect(three()).toEqual({
      join: 'a/b',
      own: 1,
      util: 'function',
      url: 'file:///bundle/src/trigger/three.mjs',
      process: 'scoped',
    })
    expect(bad()).toBe('scoped fetch')
  })

  it('gives CommonJS code the require of the run', async () => {
    const run = newRun(await open(result), { require: (specifier: string) => `scoped ${specifier}` })
    const { cjs } = (await run.evaluate('src/trigger/cjs.mjs')) as { cjs(): unknown }
    expect(cjs()).toBe('scoped node:os')
  })

  it('fails the module, again and again, when its top level throws', async () => {
    const run = newRun(await open(result))
    expect(() => run.evaluate('src/trigger/boom.mjs')).toThrow('top level')
    expect(() => run.evaluate('src/trigger/boom.mjs')).toThrow('top level')
  })

  it('maps stack frames of the layer to the source', async () => {
    const { fail } = (await newRun(await open(result)).evaluate('src/trigger/one.mjs')) as { fail(): void }
    let stack = ''
    try {
      fail()
    } catch (error) {
      stack = (error as Error).stack ?? ''
    }
    const mapped = mapStack(stack.replace(/(?:file:\/\/)?\/[^\s:]*\/layer\.js/g, 'layer.js'), result.maps)
    expect(mapped).toMatch(/at fail \(src\/trigger\/one\.ts:10:9\)/)
  })

  it('refuses a minified bundle and names the setting', async () => {
    const files = await makeBundle({ sources: { 'src/trigger/a.ts': 'export const a = 1' }, minify: true })
    expect(() => linkBundle(files, 'x')).toThrow(/build\.minify/)
  })

  it('refuses an upload without build.json', () => {
    expect(() => linkBundle(new Map(), 'x')).toThrow(expect.objectContaining({ code: 'NOT_A_BUNDLE' }))
  })
})

describe('instantiate', () => {
  it('lets members of a cycle see hoisted functions', () => {
    const table = {
      __proto__: null,
      'a.mjs': {
        deps: ['b.mjs'],
        stars: [],
        isAsync: false,
        *run(context: { exports(x: object): void }, b: Namespace) {
          context.exports({ hello: () => hello, fromB: () => b.value })
          yield
          function hello() {
            return 'hello'
          }
        },
      },
      'b.mjs': {
        deps: ['a.mjs'],
        stars: [],
        isAsync: false,
        *run(context: { exports(x: object): void }, a: Namespace) {
          let value: unknown
          context.exports({ value: () => value })
          yield
          value = (a.hello as () => string)()
        },
      },
    }
    const { evaluate } = instantiate({
      table: table as never,
      shared: {},
      external: () => createRequire(import.meta.url)('node:fs'),
    })
    expect((evaluate('a.mjs') as Namespace).fromB).toBe('hello')
  })
})
