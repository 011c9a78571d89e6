/**
 * The Worker on this machine: workerd with the bindings of wrangler.toml, without the processes `wrangler dev` puts in
 * front of it. Requests reach workerd's own socket; Node only starts it, keeps it alive and plays the cron trigger.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare'
import { metadataNetworks } from '../src/execution/egress.ts'

export const root: string = resolve(import.meta.dirname, '..')

/** workerd stops no endless loop: after this silence the process is replaced and interrupted runs resume. */
const SILENCE_MS = 10_000
/** As long as it did not compute all that time: on a busy machine a large deploy is silent for longer than a loop may be. */
const BUSY_SILENCE_MS = 40_000
const HEARTBEAT_MS = 1_000
const CRON_MS = 60_000
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
  await assertPortFree(options.port)
  const script = await bundleWorker(options.entry)
  const release = takeState(options.state)
  const entryPort = options.direct === false ? options.port : await freePort()
  let stopping = false
  let miniflare: Miniflare
  try {
    miniflare = await startMiniflare(options, script, entryPort)
  } catch (error) {
    release()
    throw error
  }

  const cron = setInterval(() => {
    // A tick that meets a restart is lost; the next one makes up for it.
    miniflare
      .getWorker()
      .then((worker) => worker.scheduled({ cron: '* * * * *' }))
      .catch((error) => console.error(`The cron trigger failed: ${String(error)}`))
  }, CRON_MS)
  const heartbeat = watch(origin, async () => {
    if (stopping) return
    console.error('workerd does not answer (killed, or a task that never yields): starting it again')
    await miniflare.dispose()
    miniflare = await startMiniflare(options, script, entryPort)
  })

  return {
    origin,
    async stop() {
      stopping = true
      clearInterval(cron)
      clearInterval(heartbeat)
      await miniflare.dispose()
      release()
    },
  }
}

/**
 * Miniflare opens a server of its own, for workerd, on a port it does not let one choose. Tasks are kept off it too, so the
 * ports are written down as they open: the file is read when workerd's configuration is made, after that.
 */
async function startMiniflare(options: HostOptions, script: string, entryPort: number): Promise<Miniflare> {
  const file = join(options.state, 'ports.txt')
  const ports = new Set([options.port, entryPort])
  const save = (): void => writeFileSync(file, [...ports].join(','))
  const onListening = (message: unknown): void => {
    const address = (message as { server?: Server }).server?.address()
    if (address && typeof address === 'object') ports.add(address.port)
    save()
  }
  save()
  subscribe(listening, onListening)
  const miniflare = new Miniflare(miniflareOptions(options, script, entryPort, file))
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

function miniflareOptions(
  options: HostOptions,
  script: string,
  entryPort: number,
  portsFile: string,
): ConstructorParameters<typeof Miniflare>[0] {
  const toml = readFileSync(join(root, 'wrangler.toml'), 'utf8')
  const tlsOptions = { trustBrowserCas: true, trustedCertificates: extraCertificates() }
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
            EGRESS_PUBLIC: { network: { allow: ['public'], deny: metadataNetworks, tlsOptions } },
            EGRESS_PRIVATE: { network: { allow: ['public', 'private'], deny: metadataNetworks, tlsOptions } },
          },
          bindings: {
            ROOT_SECRET: options.rootSecret,
            ALLOW_PRIVATE_EGRESS: process.env.ALLOW_PRIVATE_EGRESS ?? 'true',
            PLATFORM_ORIGIN: `http://127.0.0.1:${options.port}`,
            ...passed('RATE_LIMIT'),
            ...passed('ENVIRONMENT_CONCURRENCY'),
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

function watch(origin: string, restart: () => Promise<void>): NodeJS.Timeout {
  let lastAnswer = Date.now()
  let computedThen = computedMs()
  let restarting = false
  const isStuck = (): boolean => {
    const silence = Date.now() - lastAnswer
    const computed = computedMs()
    if (computed === undefined || computedThen === undefined) return silence >= SILENCE_MS
    return silence >= BUSY_SILENCE_MS || (silence >= SILENCE_MS && computed - computedThen >= SILENCE_MS * 0.7)
  }
  return setInterval(() => {
    fetch(`${origin}/health`, { signal: AbortSignal.timeout(HEARTBEAT_MS * 4) })
      .then((response) => response.body?.cancel())
      .then(
        () => {
          lastAnswer = Date.now()
          computedThen = computedMs()
        },
        (error: Error & { cause?: { code?: string } }) => {
          // Nobody listens any more: the process is gone, no need to be patient.
          const dead = error.cause?.code === 'ECONNREFUSED'
          if (restarting || (!dead && !isStuck())) return
          restarting = true
          void restart().finally(() => {
            restarting = false
            lastAnswer = Date.now()
            computedThen = computedMs()
          })
        },
      )
  }, HEARTBEAT_MS)
}

/** CPU time of workerd so far; only Linux tells. */
function computedMs(): number | undefined {
  try {
    for (const thread of readdirSync('/proc/self/task')) {
      for (const pid of readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean)) {
        const [, name, rest = ''] = /^\d+ \((.+)\) (.+)$/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
        const [userTicks, systemTicks] = rest.split(' ').slice(11, 13).map(Number)
        if (name === 'workerd') return ((userTicks ?? 0) + (systemTicks ?? 0)) * 10
      }
    }
  } catch {}
  return undefined
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  await new Promise((done) => server.close(done))
  return port
}

async function assertPortFree(port: number): Promise<void> {
  const server = createServer()
  await new Promise<void>((done, fail) => {
    server.once('error', () =>
      fail(new Error(`Port ${port} is in use. Stop what listens there, or choose another: --port ${port + 1}`)),
    )
    server.listen(port, '127.0.0.1', () => server.close(() => done()))
  })
}

/** Two workerd processes on the same databases would damage them. */
function takeState(state: string): () => void {
  mkdirSync(state, { recursive: true, mode: 0o700 })
  const file = join(state, 'host.pid')
  if (existsSync(file)) {
    const pid = Number(readFileSync(file, 'utf8'))
    if (pid !== process.pid && isAlive(pid))
      throw new Error(`A platform (process ${pid}) already uses ${state}. Stop it, or choose another folder with --state.`)
  }
  writeFileSync(file, String(process.pid))
  const release = (): void => rmSync(file, { force: true })
  // Miniflare has its own handler of signals and may end the process first.
  process.once('exit', release)
  return release
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
