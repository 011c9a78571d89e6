/** `npm run dev -- [--port 8787] [--state DIR] [--project proj_…]`: one whole platform on this machine. */
import { spawn } from 'node:child_process'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { portArgument, projectArgument, readArguments } from './arguments.ts'
import { root, startHost } from './local-host.ts'
import { ensureSecrets, projectKeys, type SecretKeys, seed } from './setup.ts'
import { endpointsFile } from './state-folder.ts'

/** workerd is asked to end at once; longer means that something hangs. */
const STOP_MS = 10_000

export interface Endpoints {
  apiUrl: string
  projectRef: string
  accessToken: string
  secretKeys: SecretKeys
}

export interface Platform {
  endpoints: Endpoints
  stop(): Promise<void>
}

export function projectRefOf(folder: string): string {
  const file = join(folder, 'trigger.config.ts')
  const ref = /project:\s*['"](proj_\w+)['"]/.exec(readFileSync(file, 'utf8'))?.[1]
  if (!ref) throw new Error(`${file} names no project`)
  return ref
}

export async function startPlatform(options: { port: number; state: string; projectRef?: string }): Promise<Platform> {
  const state = resolve(options.state)
  const projectRef = options.projectRef ?? projectRefOf(join(root, 'examples/hello-world'))
  const file = endpointsFile(state)
  await runBuild()
  const secrets = ensureSecrets(state)
  const host = await startHost({ port: options.port, state, rootSecret: secrets.rootSecret })
  try {
    await seed(host.origin, secrets)
    const secretKeys = await projectKeys(host.origin, secrets.accessToken, projectRef)
    const endpoints: Endpoints = { apiUrl: host.origin, projectRef, accessToken: secrets.accessToken, secretKeys }
    // Whoever waits for the file never reads half of it.
    writeFileSync(`${file}.new`, `${JSON.stringify(endpoints, null, 2)}\n`, { mode: 0o600 })
    renameSync(`${file}.new`, file)
    return {
      endpoints,
      async stop() {
        rmSync(file, { force: true })
        await host.stop()
      },
    }
  } catch (error) {
    await host.stop()
    throw error
  }
}

function runBuild(): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [join(root, 'scripts/build-isolate.ts')], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    child.once('error', fail)
    child.once('exit', (code) => (code === 0 ? done() : fail(new Error(`The build ended with ${code}`))))
  })
}

/** Ends the platform on the first signal, or when the npm that started it is gone; a second signal ends the process at once. */
export function stopOnSignal(stop: () => Promise<void>): void {
  let asked = false
  const end = (): void => {
    if (asked) process.exit(1)
    asked = true
    setTimeout(() => process.exit(1), STOP_MS).unref()
    stop().then(
      () => process.exit(0),
      (error) => {
        console.error(error)
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)
  const parent = process.ppid
  // npm passes signals on, except the one that kills it. Started without npm, a platform may outlive its shell (nohup).
  if (process.env.npm_lifecycle_event)
    setInterval(() => {
      if (process.ppid !== parent && !asked) end()
    }, 1_000).unref()
}

const usage = 'npm run dev -- [--port 8787] [--state DIR] [--project proj_…]'

async function main(): Promise<void> {
  const values = readArguments(
    {
      port: { type: 'string', default: '8787' },
      state: { type: 'string', default: join(root, '.state') },
      project: { type: 'string' },
    },
    usage,
  )
  const port = portArgument(values.port)
  const projectRef = values.project === undefined ? undefined : projectArgument(values.project)
  let platform: Platform | undefined
  let stopped = false
  stopOnSignal(async () => {
    stopped = true
    await platform?.stop()
  })
  platform = await startPlatform({ port, state: values.state, projectRef })
  if (stopped) return platform.stop()
  const { apiUrl, accessToken, secretKeys } = platform.endpoints
  console.log(`trigger.do answers at ${apiUrl} (project ${platform.endpoints.projectRef})

  export TRIGGER_API_URL=${apiUrl}
  export TRIGGER_ACCESS_TOKEN=${accessToken}
  export TRIGGER_SECRET_KEY=${secretKeys.prod}

The same in ${endpointsFile(resolve(values.state))}. Ctrl-C stops it.`)
}

if (import.meta.main)
  main().catch((error) => {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  })
