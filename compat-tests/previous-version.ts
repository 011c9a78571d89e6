/** The version before this one, from the history of the repository: to start on its own, and to speak to the objects of this one. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare'

/** With each release: the commit of the release before (`git rev-parse --short=12 v0.1.0^{commit}`), once there are tags. */
export const previousCommit = '670e7f0'

const root = resolve(import.meta.dirname, '..')

/** Undefined when the clone is shallow, or no clone. */
export function checkOutPrevious(): { folder: string; remove: () => void } | undefined {
  const known = spawnSync('git', ['cat-file', '-e', `${previousCommit}^{commit}`], { cwd: root })
  if (known.status !== 0) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'trigger-do-previous-'))
  const archive = spawnSync('git', ['archive', previousCommit], { cwd: root, maxBuffer: 200_000_000 })
  const unpacked = spawnSync('tar', ['-x', '-C', folder], { input: archive.stdout })
  if (archive.status !== 0 || unpacked.status !== 0) throw new Error(`${archive.stderr}${unpacked.stderr}`)
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

async function bundleOf(folder: string): Promise<string> {
  const built = spawnSync(process.execPath, ['scripts/build-isolate.ts'], { cwd: folder, encoding: 'utf8' })
  if (built.status !== 0) throw new Error(built.stderr)
  const result = await build({
    entryPoints: [join(folder, 'src/worker.ts')],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    conditions: ['workerd', 'worker'],
    loader: { '.txt': 'text' },
    external: ['cloudflare:*', 'node:*'],
    logLevel: 'error',
  })
  return (result.outputFiles[0] as { text: string }).text
}

const classes = ['Directory', 'Project', 'Task', 'Environment', 'Run', 'History', 'Scheduler']

/** As during a rollout: requests and queue messages meet the old Worker, whose objects are all of this version already. */
export async function startMixed(previous: string, port: number, rootSecret: string): Promise<Miniflare> {
  const [before, now] = [await bundleOf(previous), await bundleOf(root)]
  const date = /compatibility_date = "(.+)"/.exec(readFileSync(join(root, 'wrangler.toml'), 'utf8'))?.[1]
  const objects = (scriptName?: string): object =>
    Object.fromEntries(
      classes.map((name) => [
        name.toUpperCase(),
        { className: `${name}DO`, useSQLite: true, ...(scriptName ? { scriptName } : {}) },
      ]),
    )
  const worker = (name: string, contents: string, more: object): object => ({
    name,
    modules: [{ type: 'ESModule', path: 'worker.js', contents }],
    modulesRoot: '/',
    compatibilityDate: date,
    compatibilityFlags: ['nodejs_compat'],
    queueProducers: { DISPATCH: 'dispatch' },
    r2Buckets: { BUCKET: 'bucket' },
    workerLoaders: { LOADER: {} },
    bindings: {
      ROOT_SECRET: rootSecret,
      ALLOW_PRIVATE_EGRESS: 'true',
      RATE_LIMIT: 'off',
      PLATFORM_ORIGIN: `http://127.0.0.1:${port}`,
      PLATFORM_PORTS: String(port),
    },
    ...more,
  })
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      host: '127.0.0.1',
      log: new Log(LogLevel.WARN),
      cf: false,
      workers: [
        worker('old', before, {
          durableObjects: objects('new'),
          queueConsumers: { dispatch: { maxBatchSize: 100, maxBatchTimeout: 1 } },
          unsafeDirectSockets: [{ host: '127.0.0.1', port }],
        }),
        worker('new', now, { durableObjects: objects() }),
      ],
    } as never),
    unsafeObservability: false,
  })
  await miniflare.ready
  return miniflare
}
