/**
 * The Worker on this machine: workerd with the bindings of wrangler.toml, without the processes `wrangler dev` puts in
 * front of it. Requests reach workerd's own socket; Node only starts it, keeps it alive and plays the cron trigger.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { build, stop as stopEsbuild } from 'esbuild'
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare'
import { takeState } from './state-folder.ts'

export const root: string = resolve(import.meta.dirname, '..')
const require = createRequire(import.meta.url)

/**
 * workerd stops no endless loop: after this silence the process is replaced and interrupted runs resume. Long enough for
 * linking a large bundle, which also keeps its only thread, on a machine that does ten other things.
 */
const SILENCE_MS = 30_000
const HEARTBEAT_MS = 1_000
const CRON_MS = 60_000

export interface HostOptions {
  port: number
  /** Folder of databases, objects and secrets. */
  state: string
  rootSecret: string
  entry?: string
  /** false: through Miniflare's entry worker (only to compare). */
  direct?: boolean
}

export interface Host {
  origin: string
  stop(): Promise<void>
}

export async function bundleWorker(entry: string = join(root, 'src/worker.ts')): Promise<string> {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    conditions: ['workerd', 'worker'],
    loader: { '.txt': 'text' },
    external: ['cloudflare:*', 'node:*'],
    sourcemap: 'inline',
    logLevel: 'error',
  })
  return (result.outputFiles[0] as { text: string }).text
}

export async function startHost(options: HostOptions): Promise<Host> {
  const origin = `http://127.0.0.1:${options.port}`
  const release = await takeState(options.state)
  try {
    await untilPortFree(options.port)
    const script = await bundleWorker(options.entry)
    // esbuild keeps a process of its own otherwise.
    await stopEsbuild()
    const entryPort = options.direct === false ? options.port : await freePort()
    const settings = miniflareOptions(options, script, entryPort)
    return { origin, stop: keepAlive(origin, await startWorkerd(settings), () => startWorkerd(settings), release) }
  } catch (error) {
    release()
    throw error
  }
}

/** Replaces a workerd that is silent and plays the cron trigger. Returns how to end all of it. */
function keepAlive(origin: string, first: Miniflare, restart: () => Promise<Miniflare>, release: () => void): Host['stop'] {
  let miniflare = first
  let replacing: Promise<void> | undefined
  let stopping = false
  const cron = setInterval(() => {
    if (replacing) return
    miniflare
      .getWorker()
      .then((worker) => worker.scheduled({ cron: '* * * * *' }))
      .catch((error) => console.error('The cron trigger failed:', error))
  }, CRON_MS)
  const heartbeat = watch(origin, () => {
    if (stopping) return Promise.resolve()
    console.error('workerd does not answer (killed, or a task that never yields): starting it again')
    replacing = miniflare
      .dispose()
      .then(async () => {
        miniflare = await restart()
      })
      // The next heartbeat tries again.
      .catch((error) => console.error('workerd did not start:', error))
      .finally(() => {
        replacing = undefined
      })
    return replacing
  })
  return async () => {
    stopping = true
    clearInterval(cron)
    clearInterval(heartbeat)
    await replacing
    await miniflare.dispose()
    release()
  }
}

async function startWorkerd(settings: ConstructorParameters<typeof Miniflare>[0]): Promise<Miniflare> {
  if (process.platform !== 'win32') {
    process.env.WORKERD_BINARY ??= createRequire(require.resolve('miniflare'))('workerd').default as string
    process.env.MINIFLARE_WORKERD_PATH = join(root, 'scripts/workerd.sh')
  }
  const miniflare = ownSignals(() => new Miniflare(settings))
  try {
    await miniflare.ready
    return miniflare
  } catch (error) {
    await miniflare.dispose().catch(() => {})
    throw error
  }
}

/** Miniflare ends the process on a signal by itself, with its own exit code and before anything is put in order. */
function ownSignals<T>(construct: () => T): T {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const before = signals.map((signal) => process.listeners(signal))
  const made = construct()
  for (const [index, signal] of signals.entries())
    for (const listener of process.listeners(signal)) if (!before[index]?.includes(listener)) process.off(signal, listener)
  return made
}

function miniflareOptions(options: HostOptions, script: string, entryPort: number): ConstructorParameters<typeof Miniflare>[0] {
  const toml = readFileSync(join(root, 'wrangler.toml'), 'utf8')
  const tlsOptions = { trustBrowserCas: true }
  const object = (className: string): object => ({ className, useSQLite: true })
  return {
    ...convertV4MiniflareOptions({
      host: '127.0.0.1',
      port: entryPort,
      log: new Log(LogLevel.WARN),
      cf: false,
      workers: [
        {
          name: 'trigger-do',
          modules: [{ type: 'ESModule', path: 'worker.js', contents: script }],
          modulesRoot: '/',
          compatibilityDate: /compatibility_date = "(.+)"/.exec(toml)?.[1],
          compatibilityFlags: ['nodejs_compat'],
          durableObjects: {
            DIRECTORY: object('DirectoryDO'),
            PROJECT: object('ProjectDO'),
            TASK: object('TaskDO'),
            ENVIRONMENT: object('EnvironmentDO'),
            RUN: object('RunDO'),
            HISTORY: object('HistoryDO'),
            SCHEDULER: object('SchedulerDO'),
          },
          queueProducers: { DISPATCH: 'trigger-do-dispatch' },
          queueConsumers: {
            'trigger-do-dispatch': {
              maxBatchSize: 100,
              maxBatchTimeout: 1,
              maxRetries: 5,
              deadLetterQueue: 'trigger-do-dispatch-dead',
            },
          },
          r2Buckets: { BUCKET: 'trigger-do' },
          workerLoaders: { LOADER: {} },
          serviceBindings: {
            // `allow` is checked on the resolved address, so a public name that points at 127.0.0.1 is refused too.
            EGRESS_PUBLIC: { network: { allow: ['public'], tlsOptions } },
            EGRESS_PRIVATE: { network: { allow: ['public', 'private'], tlsOptions } },
          },
          bindings: {
            ROOT_SECRET: options.rootSecret,
            ALLOW_PRIVATE_EGRESS: process.env.ALLOW_PRIVATE_EGRESS ?? 'true',
            PLATFORM_ORIGIN: `http://127.0.0.1:${options.port}`,
            PLATFORM_PORTS: [...new Set([options.port, entryPort])].join(','),
            ...passed('RATE_LIMIT'),
            ...passed('ENVIRONMENT_CONCURRENCY'),
          },
          unsafeDirectSockets: options.direct === false ? undefined : [{ host: '127.0.0.1', port: options.port }],
        },
      ],
    } as never),
    resourcePersistencePath: join(options.state, 'storage'),
    unsafeObservability: false,
  }
}

function passed(name: string): Record<string, string> {
  const value = process.env[name]
  return value === undefined ? {} : { [name]: value }
}

function watch(origin: string, restart: () => Promise<void>): NodeJS.Timeout {
  let lastAnswer = Date.now()
  let restarting = false
  return setInterval(() => {
    fetch(`${origin}/health`, { signal: AbortSignal.timeout(HEARTBEAT_MS * 4) })
      .then((response) => response.body?.cancel())
      .then(
        () => {
          lastAnswer = Date.now()
        },
        (error: Error & { cause?: { code?: string } }) => {
          // Nobody listens any more: the process is gone, no need to be patient.
          const dead = error.cause?.code === 'ECONNREFUSED'
          if (restarting || (!dead && Date.now() - lastAnswer < SILENCE_MS)) return
          restarting = true
          void restart().finally(() => {
            restarting = false
            lastAnswer = Date.now()
          })
        },
      )
  }, HEARTBEAT_MS)
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  await new Promise((done) => server.close(done))
  return port
}

/** Looks twice: a workerd whose host was killed holds its port for up to a second. */
async function untilPortFree(port: number): Promise<void> {
  const problem = await portProblem(port)
  if (!problem) return
  await new Promise((done) => setTimeout(done, 1_500))
  const still = await portProblem(port)
  if (still === 'EADDRINUSE')
    throw new Error(`Port ${port} is in use. Stop what listens there, or choose another: --port ${port + 1}`)
  if (still) throw new Error(`Port ${port} of 127.0.0.1 cannot be opened: ${still}`)
}

function portProblem(port: number): Promise<string | undefined> {
  const server = createServer()
  return new Promise((done) => {
    server.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message))
    server.listen(port, '127.0.0.1', () => server.close(() => done(undefined)))
  })
}
