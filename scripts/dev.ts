/** `npm run dev -- [--port 8787] [--state DIR] [--project proj_…]`: one whole platform on this machine. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { root, startHost } from './local-host.ts'
import { ensureSecrets, projectKeys, type SecretKeys, seed } from './setup.ts'

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

export function exampleProjectRef(): string {
  const config = readFileSync(join(root, 'examples/hello-world/trigger.config.ts'), 'utf8')
  const ref = /project:\s*['"](proj_\w+)['"]/.exec(config)?.[1]
  if (!ref) throw new Error('examples/hello-world/trigger.config.ts names no project')
  return ref
}

export async function startPlatform(options: { port: number; state: string; projectRef?: string }): Promise<Platform> {
  const state = resolve(options.state)
  const projectRef = options.projectRef ?? exampleProjectRef()
  const file = join(state, 'endpoints.json')
  await runBuild()
  const secrets = ensureSecrets(state)
  const host = await startHost({ port: options.port, state, rootSecret: secrets.rootSecret })
  // Only a running platform has this file; removed after the start so that a refused second start leaves the first's alone.
  rmSync(file, { force: true })
  try {
    await seed(host.origin, secrets)
    const secretKeys = await projectKeys(host.origin, secrets.accessToken, projectRef)
    const endpoints: Endpoints = { apiUrl: host.origin, projectRef, accessToken: secrets.accessToken, secretKeys }
    writeFileSync(file, `${JSON.stringify(endpoints, null, 2)}\n`, { mode: 0o600 })
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
  const script = join(root, 'scripts/build-isolate.ts')
  if (!existsSync(script)) return Promise.resolve()
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [script], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
    child.once('error', fail)
    child.once('exit', (code) => (code === 0 ? done() : fail(new Error(`The build ended with ${code}`))))
  })
}

/** Ends the platform on the first signal; a second one ends the process at once. */
export function stopOnSignal(stop: () => Promise<void>): void {
  let asked = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (asked) process.exit(1)
      asked = true
      stop().then(
        () => process.exit(0),
        (error) => {
          console.error(error)
          process.exit(1)
        },
      )
    })
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8787' },
      state: { type: 'string', default: join(root, '.state') },
      project: { type: 'string' },
    },
  })
  let platform: Platform | undefined
  let stopped = false
  stopOnSignal(async () => {
    stopped = true
    await platform?.stop()
  })
  platform = await startPlatform({ port: Number(values.port), state: values.state, projectRef: values.project })
  if (stopped) return platform.stop()
  const { apiUrl, accessToken, projectRef, secretKeys } = platform.endpoints
  console.log(`trigger.do answers at ${apiUrl} (project ${projectRef})

  export TRIGGER_API_URL=${apiUrl}
  export TRIGGER_ACCESS_TOKEN=${accessToken}
  export TRIGGER_SECRET_KEY=${secretKeys.prod}

The same in ${join(resolve(values.state), 'endpoints.json')}. Ctrl-C stops it.`)
}

if (import.meta.main)
  main().catch((error) => {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  })
