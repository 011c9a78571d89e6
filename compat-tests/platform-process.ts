/** One platform as a user starts it: `npm run dev` in a process of its own, with a port and a state folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { deploy, type Endpoints, environmentKey, type Project } from './cli.ts'

export interface PlatformProcess {
  endpoints: Endpoints
  /** SIGKILL, as a machine does it; the local host starts it again. */
  killWorkerd(): Promise<void>
  waitUntilHealthy(): Promise<void>
  /** Every port its processes listen on; Linux only. */
  ports(): number[]
  /** Another owner of projects, and the token that speaks for them. */
  addUser(email: string): Promise<string>
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
      addUser: (email) => addUser(endpoints.apiUrl, state, email),
      ports: () => [child.pid as number, workerdOf(child.pid as number)].flatMap(portsOf),
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** As `npm run setup -- --seed` does it: signed with the root secret of the state folder. */
async function addUser(apiUrl: string, state: string, email: string): Promise<string> {
  const { rootSecret } = JSON.parse(readFileSync(join(state, 'secrets.json'), 'utf8')) as { rootSecret: string }
  const accessToken = `tr_pat_${randomBytes(20).toString('hex')}`
  const body = JSON.stringify({ email, accessToken })
  const timestamp = String(Date.now())
  const signature = createHmac('sha256', rootSecret).update(`${timestamp}.${body}`).digest('hex')
  const response = await fetch(`${apiUrl}/internal/seed`, {
    method: 'POST',
    headers: { 'x-trigger-do-timestamp': timestamp, 'x-trigger-do-signature': signature },
    body,
  })
  if (!response.ok) throw new Error(`Adding ${email}: ${response.status} ${await response.text()}`)
  return accessToken
}

/** Fixtures whose packages are the repository's own. */
const withoutPackages = ['plain', 'trust', 'client']

/** Installs what the fixture brings of its own, deploys it and gives the environment's key. */
export async function deployFixture(
  platform: { endpoints: Endpoints },
  name: string,
  environment: 'prod' | 'staging' = 'prod',
): Promise<Project> {
  const folder = join(root, 'compat-tests/fixtures', name)
  if (!withoutPackages.includes(name)) await install(folder)
  const result = await deploy(platform.endpoints, folder, ['--env', environment])
  if (result.code !== 0) throw new Error(`Deploying ${name} ended with ${result.code}\n${result.output}`)
  return environmentKey(platform.endpoints, folder, environment)
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

function portsOf(pid: number): number[] {
  const inodes = new Set<string>()
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1]
      if (inode) inodes.add(inode)
    } catch {}
  }
  // Local address and port in hexadecimal, state 0A is listening, the tenth field is the inode.
  return ['tcp', 'tcp6'].flatMap((file) =>
    readFileSync(`/proc/${pid}/net/${file}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A' && inodes.has(fields[9] as string))
      .map((fields) => Number.parseInt((fields[1] as string).split(':').at(-1) as string, 16)),
  )
}

/** Empty once the process is dead, even if nobody has collected it yet. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

export function install(folder: string): Promise<void> {
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

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  await new Promise((done) => server.close(done))
  return port
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}
