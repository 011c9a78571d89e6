/**
 * The Worker on this machine: workerd with the bindings of wrangler.toml, without the processes `wrangler dev` puts in
 * front of it. Requests reach workerd's own socket; Node only starts it, keeps it alive and plays the cron trigger.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer, type Server } from 'node:net'
import { join, resolve } from 'node:path'
import { build, stop as stopEsbuild } from 'esbuild'
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare'
import { metadataNetworks } from '../src/execution/egress.ts'
import { takeState } from './state-folder.ts'
import { type Restart, watch } from './watchdog.ts'

export const root: string = resolve(import.meta.dirname, '..')
const require = createRequire(import.meta.url)

const CRON_MS = 60_000
/**
 * V8 lets the young part of each isolate grow to 32 MB and the old one to 50 MB and more before it looks for garbage, and a
 * platform has ten isolates: with these the process settles at two thirds of the memory after the first 2,000 runs.
 */
const v8Flags = '--max-semi-space-size=8 --heap-growing-percent=40'
/** workerd says it once per isolate when V8's flags are not those its code cache was made with; nothing else follows from it. */
const cacheNotice = 'bootstrap compile cache failed'
/** Node's own channel: a server of this process listens. */
const listening = 'tracing:net.server.listen:asyncEnd'

export interface HostOptions {
  port: number
  /** Folder of databases, objects and secrets. */
  state: string
  rootSecret: string
  entry?: string
  /** false: through Miniflare's entry worker (only to compare). */
  direct?: boolean
  /** false: workerd is not replaced when it is silent (benchmarks keep it busy on purpose). */
  watched?: boolean
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
    const start = (frozenAt?: number): Promise<Miniflare> => startWorkerd(options, script, entryPort, frozenAt)
    const first = await start()
    return { origin, stop: keepAlive(options.watched === false ? undefined : origin, entryPort, first, start, release) }
  } catch (error) {
    release()
    throw error
  }
}

/** Replaces a workerd that is silent and plays the cron trigger. Returns how to end all of it. */
function keepAlive(
  watched: string | undefined,
  entryPort: number,
  first: Miniflare,
  start: (frozenAt?: number) => Promise<Miniflare>,
  release: () => void,
): Host['stop'] {
  let miniflare = first
  let replacing: Promise<void> | undefined
  let stopping = false
  // By HTTP: Miniflare's own call waits on this thread, and one that meets a frozen or dead workerd would stop the heartbeat too.
  const tick = async (): Promise<void> => {
    const address = `http://127.0.0.1:${entryPort}/cdn-cgi/handler/scheduled?cron=${encodeURIComponent('* * * * *')}`
    const response = await fetch(address, { signal: AbortSignal.timeout(CRON_MS) })
    await response.body?.cancel()
  }
  // One that meets a restart of workerd is lost; the next comes in a minute.
  const cron = setInterval(() => void tick().catch(() => {}), CRON_MS)
  const restart: Restart = (frozenAt) => {
    if (stopping) return Promise.resolve()
    const reason = frozenAt === undefined ? 'workerd is gone' : 'workerd does not answer (a task that never yields?)'
    console.error(`${reason}: starting it again`)
    replacing = miniflare
      .dispose()
      .then(async () => {
        miniflare = await start(frozenAt)
      })
      // The next heartbeat tries again.
      .catch((error) => console.error('workerd did not start:', error))
      .finally(() => {
        replacing = undefined
      })
    return replacing
  }
  const heartbeat = watched ? watch(watched, restart) : undefined
  return async () => {
    stopping = true
    clearInterval(cron)
    clearInterval(heartbeat)
    await replacing
    await miniflare.dispose()
    release()
  }
}

/**
 * Miniflare opens a server of its own, for workerd, on a port it does not let one choose. Tasks are kept off it too, so the
 * ports are written down as they open: the file is read when workerd's configuration is made, after that.
 */
async function startWorkerd(options: HostOptions, script: string, entryPort: number, frozenAt?: number): Promise<Miniflare> {
  process.env.MINIFLARE_WORKERD_V8_FLAGS ??= v8Flags
  if (process.platform !== 'win32') {
    process.env.WORKERD_BINARY ??= createRequire(require.resolve('miniflare'))('workerd').default as string
    process.env.MINIFLARE_WORKERD_PATH = join(root, 'scripts/workerd.sh')
  }
  const portsFile = join(options.state, 'ports.txt')
  const ports = new Set([options.port, entryPort])
  const save = (): void => writeFileSync(portsFile, [...ports].join(','))
  const onListening = (message: unknown): void => {
    const address = (message as { server?: Server }).server?.address()
    if (address && typeof address === 'object') ports.add(address.port)
    save()
  }
  save()
  subscribe(listening, onListening)
  const miniflare = ownSignals(() => new Miniflare(miniflareOptions(options, { script, entryPort, portsFile, frozenAt })))
  try {
    await miniflare.ready
    return miniflare
  } catch (error) {
    await miniflare.dispose().catch(() => {})
    throw error
  } finally {
    unsubscribe(listening, onListening)
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

function printLog({ level, message }: { level: string; message: string }): void {
  if (message.includes(cacheNotice)) return
  if (level === 'error' || level === 'warn') console.error(message)
  else console.log(message)
}

interface Start {
  script: string
  entryPort: number
  portsFile: string
  frozenAt?: number
}

function miniflareOptions(options: HostOptions, start: Start): ConstructorParameters<typeof Miniflare>[0] {
  const { script, entryPort, portsFile, frozenAt } = start
  const toml = readFileSync(join(root, 'wrangler.toml'), 'utf8')
  const tlsOptions = { trustBrowserCas: true, trustedCertificates: extraCertificates() }
  const object = (className: string): object => ({ className, useSQLite: true })
  return {
    ...convertV4MiniflareOptions({
      host: '127.0.0.1',
      port: entryPort,
      log: new Log(LogLevel.WARN),
      handleStructuredLogs: printLog,
      unsafeTriggerHandlers: true,
      cf: false,
      workers: [
        {
          name: 'trigger-do',
          modules: [{ type: 'ESModule', path: 'worker.js', contents: script }],
          modulesRoot: '/',
          compatibilityDate: /compatibility_date = "(.+)"/.exec(toml)?.[1],
          compatibilityFlags: [...(/compatibility_flags = \[(.+)\]/.exec(toml)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(
            ([, flag]) => flag as string,
          ),
          durableObjects: {
            DIRECTORY: object('DirectoryDO'),
            PROJECT: object('ProjectDO'),
            TASK: object('TaskDO'),
            ENVIRONMENT: object('EnvironmentDO'),
            RUN: object('RunDO'),
            HISTORY: object('HistoryDO'),
            SCHEDULER: object('SchedulerDO'),
            FILES: object('FilesDO'),
            STREAMS: object('StreamsDO'),
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
            EGRESS_PUBLIC: { network: { allow: ['public'], deny: metadataNetworks, tlsOptions } },
            EGRESS_PRIVATE: { network: { allow: ['public', 'private'], deny: metadataNetworks, tlsOptions } },
          },
          bindings: {
            ROOT_SECRET: options.rootSecret,
            ALLOW_PRIVATE_EGRESS: process.env.ALLOW_PRIVATE_EGRESS ?? 'true',
            PLATFORM_ORIGIN: `http://127.0.0.1:${options.port}`,
            ...passed('RATE_LIMIT'),
            ...passed('BATCH_RATE_LIMIT'),
            ...passed('PUBLIC_RATE_LIMIT'),
            ...passed('REGIONS'),
            ...passed('ENVIRONMENT_CONCURRENCY'),
            ...passed('MAXIMUM_DEV_QUEUE_SIZE'),
            ...passed('MAXIMUM_DEPLOYED_QUEUE_SIZE'),
            ...passed('MAXIMUM_CREATIONS_PER_MINUTE'),
            ...passed('RUN_RETENTION_DAYS'),
            ...passed('RUN_ARCHIVE'),
            ...passed('MODEL_URL'),
            ...passed('MODEL_KEY'),
            ...passed('MODEL_NAME'),
            ...passed('SCHEDULE_LIMIT'),
            ...(frozenAt === undefined ? {} : { FROZEN_AT: String(frozenAt) }),
          },
          textBlobBindings: { PLATFORM_PORTS: portsFile },
          unsafeDirectSockets: options.direct === false ? undefined : [{ host: '127.0.0.1', port: options.port }],
        },
      ],
    } as never),
    resourcePersistencePath: join(options.state, 'storage'),
    unsafeObservability: false,
  }
}

/** As for Node itself: the file of `NODE_EXTRA_CA_CERTS` is trusted too, by what tasks call. */
function extraCertificates(): string[] {
  const file = process.env.NODE_EXTRA_CA_CERTS
  if (!file || !existsSync(file)) return []
  return readFileSync(file, 'utf8').match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
}

function passed(name: string): Record<string, string> {
  const value = process.env[name]
  return value === undefined ? {} : { [name]: value }
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
