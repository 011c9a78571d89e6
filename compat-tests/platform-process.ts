/** One platform as a user starts it: `npm run dev` in a process of its own, with a port and a state folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { deploy, type Endpoints, environmentKey, type Project } from './cli.ts'

export interface PlatformProcess {
  endpoints: Endpoints
  /** SIGKILL, as a machine does it; the local host starts it again. */
  killWorkerd(): Promise<void>
  waitUntilHealthy(): Promise<void>
  stop(): Promise<void>
}

const root = resolve(import.meta.dirname, '..')
const START_MS = 90_000

export async function startPlatform(settings: Record<string, string> = {}): Promise<PlatformProcess> {
  const state = mkdtempSync(join(tmpdir(), 'trigger-do-compat-'))
  const child = spawn(process.execPath, ['scripts/dev.ts', '--port', String(await freePort()), '--state', state], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, RATE_LIMIT: 'off', ENVIRONMENT_CONCURRENCY: '100', ...settings },
  })
  // An interrupted suite runs no teardown.
  process.once('exit', () => child.kill('SIGTERM'))
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) {
      const ended = new Promise((done) => child.once('exit', done))
      child.kill('SIGTERM')
      await ended
    }
    rmSync(state, { recursive: true, force: true })
  }
  try {
    const endpoints = await untilReady(child, join(state, 'endpoints.json'))
    return {
      endpoints,
      stop,
      async killWorkerd() {
        const pid = workerdOf(child.pid as number)
        process.kill(pid, 'SIGKILL')
        while (commandOf(pid)) await sleep(10)
      },
      waitUntilHealthy: () => untilHealthy(endpoints.apiUrl),
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Installs what the fixture brings of its own, deploys it to prod and gives its key. */
export async function deployFixture(platform: { endpoints: Endpoints }, name: string): Promise<Project> {
  const folder = join(root, 'compat-tests/fixtures', name)
  if (name !== 'plain') await install(folder)
  const result = await deploy(platform.endpoints, folder)
  if (result.code !== 0) throw new Error(`Deploying ${name} ended with ${result.code}\n${result.output}`)
  return environmentKey(platform.endpoints, folder, 'prod')
}

async function untilReady(child: ChildProcess, file: string): Promise<Endpoints> {
  const deadline = Date.now() + START_MS
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`The platform ended with ${child.exitCode} while starting`)
    if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Endpoints
    await sleep(100)
  }
  throw new Error(`The platform was not ready after ${START_MS / 1000} s`)
}

async function untilHealthy(apiUrl: string): Promise<void> {
  const deadline = Date.now() + START_MS
  for (;;) {
    try {
      const response = await fetch(`${apiUrl}/health`, { signal: AbortSignal.timeout(2_000) })
      await response.body?.cancel()
      if (response.ok) return
    } catch {}
    if (Date.now() > deadline) throw new Error(`The platform did not come back within ${START_MS / 1000} s`)
    await sleep(100)
  }
}

/** The child of the local host that serves; Linux only, as is the suite that kills it. */
function workerdOf(parent: number): number {
  for (const thread of readdirSync(`/proc/${parent}/task`))
    for (const pid of readFileSync(`/proc/${parent}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean))
      if (commandOf(Number(pid)).includes('workerd')) return Number(pid)
  throw new Error('The platform has no workerd process')
}

/** Empty once the process is dead, even if nobody has collected it yet. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

function install(folder: string): Promise<void> {
  if (existsSync(join(folder, 'node_modules'))) return Promise.resolve()
  return new Promise((done, fail) => {
    const child = spawn('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    child.once('error', fail)
    child.once('exit', (code) => (code === 0 ? done() : fail(new Error(`npm ci in ${folder} ended with ${code}`))))
  })
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  await new Promise((done) => server.close(done))
  return port
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}
