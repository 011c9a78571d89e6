/** Makes a small bundle the way the CLI does: code-split ESM by esbuild, with a run worker that imports the core by name. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { build } from 'esbuild'
import type { BundleFiles } from './unpack.ts'

const core = `
let count = 0
export class TaskExecutor {}
export class StandardResourceCatalog { tasks = [] }
export const taskContext = { name: 'context' }
export const runtime = { name: 'runtime' }
export const registry = []
export function bump() { return ++count }
export { count }
export const lazyPart = () => import('./part.js')
export const here = import.meta.url
`
const runWorker = `import { TaskExecutor, StandardResourceCatalog, taskContext, runtime, lazyPart } from '@trigger.dev/core'
console.log(TaskExecutor, StandardResourceCatalog, taskContext, runtime, lazyPart)
`

export interface FixtureOptions {
  sources: Record<string, string>
  minify?: boolean
  external?: string[]
  /** Source path of an init file. */
  init?: string
}

export async function makeBundle({ sources, minify, external = [], init }: FixtureOptions): Promise<BundleFiles> {
  const root = mkdtempSync(join(tmpdir(), 'bundle-'))
  try {
    const all: Record<string, string> = {
      'node_modules/@trigger.dev/core/package.json': '{"name":"@trigger.dev/core","type":"module","main":"index.js"}',
      'node_modules/@trigger.dev/core/index.js': core,
      'node_modules/@trigger.dev/core/part.js': `export const part = 'part'`,
      'node_modules/@trigger.dev/sdk/package.json': '{"name":"@trigger.dev/sdk","type":"module","main":"index.js"}',
      'node_modules/@trigger.dev/sdk/index.js': `import { registry } from '@trigger.dev/core'\nexport function task(options) { registry.push(options.id); return options }`,
      'run-worker.js': runWorker,
      // Like the CLI's index worker: with two users the core becomes a chunk.
      'index-worker.js': runWorker,
      'trigger.config.ts': `export default { project: 'p' }`,
      ...sources,
    }
    for (const [path, text] of Object.entries(all)) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text)
    }
    const entries = Object.keys(sources).filter((path) => path.startsWith('src/trigger/'))
    const result = await build({
      absWorkingDir: root,
      entryPoints: [...entries, 'trigger.config.ts', 'run-worker.js', 'index-worker.js'],
      outdir: join(root, 'out'),
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      target: 'es2022',
      sourcemap: true,
      sourcesContent: false,
      keepNames: true,
      outExtension: { '.js': '.mjs' },
      minify: minify ?? false,
      external,
      metafile: true,
      logLevel: 'silent',
    })
    const files: BundleFiles = new Map()
    const outOf: Record<string, string> = {}
    for (const [out, meta] of Object.entries(result.metafile.outputs)) {
      const path = relative('out', out)
      files.set(path, readFileSync(join(root, out), 'utf8'))
      if (meta.entryPoint) outOf[meta.entryPoint] = path
    }
    const inApp = (entry: string): string => `/app/${outOf[entry]}`
    files.set(
      'build.json',
      JSON.stringify({
        files: entries.filter((entry) => entry !== init).map((entry) => ({ entry, out: inApp(entry) })),
        configPath: inApp('trigger.config.ts'),
        ...(init ? { initEntryPoint: inApp(init) } : {}),
        runWorkerEntryPoint: inApp('run-worker.js'),
        externals: external.map((name) => ({ name, version: '1.0.0' })),
        outputPath: '/app/',
        packageVersion: '4.8.3',
      }),
    )
    return files
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}
