/** The client as others get it: small, without what is not used, and with one sentence where the SDK is missing. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildClient } from './build-client.ts'

const limitBytes = 15_000
/** Outside of the repository: the SDK is not found from here. */
const folder = mkdtempSync(join(tmpdir(), 'trigger-do-client-'))
const installed = join(folder, 'node_modules/trigger.do')

beforeAll(() => {
  mkdirSync(installed, { recursive: true })
  const exports = { '.': { types: './dist/index.d.ts', default: './dist/index.js' } }
  writeFileSync(
    join(installed, 'package.json'),
    JSON.stringify({ name: 'trigger.do', type: 'module', sideEffects: false, exports }),
  )
  buildClient(join(installed, 'dist'))
}, 60_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function bundle(source: string, minify = true): Promise<{ text: string; warnings: number }> {
  const entry = join(folder, 'entry.mjs')
  writeFileSync(entry, source)
  const result = await build({ entryPoints: [entry], bundle: true, minify, format: 'esm', write: false, logLevel: 'silent' })
  return { text: result.outputFiles[0]?.text as string, warnings: result.warnings.length }
}

describe('a bundle that only uses trigger', () => {
  it(`is at most ${limitBytes} bytes after gzip, and holds nothing of tasks, Node or the SDK`, async () => {
    const { text } = await bundle("import { trigger } from 'trigger.do'\nexport const job = () => trigger`process ${1}`\n")
    const bytes = gzipSync(text).length
    console.log(`import { trigger }: ${bytes} bytes after gzip`)
    expect(bytes).toBeLessThan(limitBytes)
    expect(bytes).toBeGreaterThan(1_000)
    expect(text).not.toMatch(/trigger\.dev\/sdk|node:|require\(|await import|rateLimit/)
  })

  it('still records after it was minified', async () => {
    const chain =
      't`download ${1}`.map((file) => t`process ${file.url}`).map((done) => ({ done, more: done.parts.map((p) => t`use ${p}`) }))'
    const { text } = await bundle(`
      import { createTrigger } from 'trigger.do'
      const sent = []
      const fetch = async (url, init) => {
        sent.push(new URL(url).pathname)
        return new Response(JSON.stringify({ kind: 'plan', id: 'run_1', stages: [], run: { id: 'run_1', status: 'COMPLETED', output: 1 } }))
      }
      const t = createTrigger({ baseURL: 'http://api.test', accessToken: 'k', fetch })
      console.log(JSON.stringify([await ${chain}, sent]))`)
    const file = join(folder, 'minified.mjs')
    writeFileSync(file, text)
    expect(JSON.parse(execFileSync(process.execPath, [file], { encoding: 'utf8' }))).toEqual([1, ['/api/v1/plans']])
  })
})

it('without the SDK everything else works, and task() says in one sentence what it needs', () => {
  const file = join(folder, 'without.mjs')
  const tries = [
    "task({ id: 'a', run: async () => {} })",
    "schedules.task({ id: 'a', run: async () => {} })",
    'schedules.create({})',
    "progress('a', 1)",
  ]
  writeFileSync(
    file,
    `import { checkpoint, progress, schedules, task, trigger } from 'trigger.do'
    const said = []
    for (const attempt of [${tries.map((text) => `() => ${text}`)}]) try { attempt() } catch (error) { said.push(error.message) }
    console.log(JSON.stringify([typeof trigger, typeof checkpoint.last, said]))`,
  )
  const [trigger, last, said] = JSON.parse(execFileSync(process.execPath, [file], { encoding: 'utf8' }))
  expect([trigger, last]).toEqual(['function', 'function'])
  const rest = 'of trigger.do needs the package @trigger.dev/sdk: npm install @trigger.dev/sdk'
  expect(said).toEqual(['task()', 'schedules.task()', 'schedules.create()', 'progress()'].map((name) => `${name} ${rest}`))
})
