/** Our platform as `npm run dev` starts it, with the bench project deployed by the unmodified CLI. */
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { deployProject } from '../../scripts/deploy-project.ts'
import { freePort, root, startHost } from '../../scripts/local-host.ts'
import { ensureSecrets, projectKeys, seed } from '../../scripts/setup.ts'
import { workerdProcesses } from '../process.ts'
import { scratchFolder } from '../scratch.ts'
import type { Peer } from './peer.ts'

export interface OurPeer extends Peer {
  /** The server's workerd. */
  pid: number
  origin: string
  /** Of the owner; the CLI uses it. */
  accessToken: string
  secretKey: string
  fetch(path: string, init?: RequestInit): Promise<Response>
}

export interface OurOptions {
  /** Entry of the Worker; the measuring one adds counters. */
  entry?: string
  /** Folder of the project to deploy. */
  project?: string
  /** Runs at once in the environment. */
  concurrency?: number
}

export const projectRef = 'proj_benchbenchbenchbench'
export const ourSettings: Record<string, string> = {
  RATE_LIMIT: 'off',
  ENVIRONMENT_CONCURRENCY: '1000',
  MAXIMUM_CREATIONS_PER_MINUTE: 'off',
}

export async function startOurs(options: OurOptions = {}): Promise<OurPeer> {
  const state = scratchFolder('state')
  const before = new Set(workerdProcesses())
  Object.assign(process.env, ourSettings, options.concurrency ? { ENVIRONMENT_CONCURRENCY: String(options.concurrency) } : {})
  build()
  const secrets = ensureSecrets(state)
  // A benchmark may keep workerd busy for longer than the host's patience with a task that never yields.
  const host = await startHost({
    port: await freePort(),
    state,
    rootSecret: secrets.rootSecret,
    watched: false,
    ...(options.entry ? { entry: options.entry } : {}),
  })
  const stop = async (): Promise<void> => {
    await host.stop()
    rmSync(state, { recursive: true, force: true })
  }
  const [pid] = workerdProcesses().filter((process) => !before.has(process))
  let secretKey: string
  try {
    if (!pid) throw new Error('The platform has no workerd process')
    await seed(host.origin, secrets)
    secretKey = (await projectKeys(host.origin, secrets.accessToken, projectRef)).prod
    await deploy(host.origin, secrets.accessToken, join(root, 'bench', options.project ?? 'project'))
  } catch (error) {
    await stop()
    throw error
  }
  const headers = { authorization: `Bearer ${secretKey}`, 'content-type': 'application/json' }
  const call = (path: string, init: RequestInit = {}): Promise<Response> => fetch(host.origin + path, { headers, ...init })
  return {
    name: 'trigger.do',
    pid,
    origin: host.origin,
    accessToken: secrets.accessToken,
    secretKey,
    fetch: call,
    async trigger(job, input) {
      const response = await call(`/api/v1/tasks/${job}/trigger`, { method: 'POST', body: JSON.stringify({ payload: input }) })
      if (!response.ok) throw new Error(`trigger: ${response.status} ${await response.text()}`)
      return ((await response.json()) as { id: string }).id
    },
    async result(_job, id) {
      const response = await call(`/api/v3/runs/${id}`)
      const run = (await response.json()) as { status: string; output?: Record<string, number>; error?: unknown }
      if (['FAILED', 'CRASHED', 'SYSTEM_FAILURE', 'CANCELED', 'EXPIRED'].includes(run.status))
        throw new Error(`run ${id}: ${run.status} ${JSON.stringify(run.error)}`)
      return run.status === 'COMPLETED' ? (run.output ?? {}) : undefined
    },
    stop,
  }
}

function build(): void {
  const result = spawnSync(process.execPath, [join(root, 'scripts/build-isolate.ts')], { encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`The build failed:\n${result.stderr}`)
}

async function deploy(apiUrl: string, accessToken: string, folder: string): Promise<void> {
  installOnce(folder)
  const result = await deployProject({ folder, apiUrl, accessToken })
  if (result.code !== 0) throw new Error(`deploy failed:\n${result.output}`)
}

/** What a benchmark needs of its own stays out of the package: installed on first use, versions pinned by a lockfile. */
export function installOnce(folder: string): void {
  if (existsSync(join(folder, 'node_modules'))) return
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: folder, encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`npm ci in ${folder} failed:\n${result.stderr}`)
}
