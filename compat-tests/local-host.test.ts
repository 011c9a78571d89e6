/** `npm run dev` and `npm run demo` as other programs use them: endpoints, signals, and what goes wrong at the start. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import type { Endpoints } from './cli.ts'
import { until } from './harness.ts'
import { freePort } from './platform-process.ts'

const root = resolve(import.meta.dirname, '..')
/** Each scenario starts several platforms. */
const PATIENCE_MS = 300_000
const folders: string[] = []
const started: ChildProcess[] = []

afterEach(() => {
  for (const child of started.splice(0)) if (child.exitCode === null) child.kill('SIGKILL')
})
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'trigger-do-host-'))
  folders.push(folder)
  return folder
}

interface Script {
  child: ChildProcess
  output: () => string
  ended: Promise<number>
}

function run(command: string, args: string[], env: NodeJS.ProcessEnv = process.env): Script {
  const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  started.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      output += chunk
    })
  // `exit` and not `close`: a child left behind would hold the pipes, and hide that the script itself has ended.
  const ended = new Promise<number>((done) => child.once('exit', (code, signal) => done(code ?? (signal ? -1 : 0))))
  return { child, output: () => output, ended }
}

const node = (script: string, ...args: string[]): Script => run(process.execPath, [`scripts/${script}.ts`, ...args])

function endpointsOf(state: string, script: Script): Promise<Endpoints> {
  const file = join(state, 'endpoints.json')
  return until(
    async () => {
      if (script.child.exitCode !== null) throw new Error(`ended with ${script.child.exitCode}\n${script.output()}`)
      return existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as Endpoints)
    },
    'endpoints.json',
    PATIENCE_MS,
  )
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((done) => {
    server.once('error', () => done(false))
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)))
  })
}

/** Linux only, as is the suite that looks at processes. */
function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  )
}

function lives(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== ''
  } catch {
    return false
  }
}

async function retrieve(endpoints: Endpoints, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(endpoints.apiUrl + path, {
    ...init,
    headers: { authorization: `Bearer ${endpoints.secretKeys.prod}`, 'content-type': 'application/json' },
  })
}

describe('npm run dev', { timeout: PATIENCE_MS }, () => {
  it('writes endpoints that answer, two side by side, and finds the same keys and runs again', async () => {
    const [first, second] = [temporary(), temporary()]
    const [port, otherPort] = [await freePort(), await freePort()]
    const one = node('dev', '--port', String(port), '--state', first)
    const two = node('dev', '--port', String(otherPort), '--state', second, '--project', 'proj_sidebysidesidebyside')
    const [endpoints, others] = await Promise.all([endpointsOf(first, one), endpointsOf(second, two)])
    expect(endpoints).toEqual({
      apiUrl: `http://127.0.0.1:${port}`,
      projectRef: 'proj_helloworldexamplesss',
      accessToken: expect.stringMatching(/^tr_pat_/),
      secretKeys: {
        dev: expect.stringMatching(/^tr_dev_/),
        staging: expect.stringMatching(/^tr_stg_/),
        prod: expect.stringMatching(/^tr_prod_/),
        preview: expect.stringMatching(/^tr_preview_/),
      },
    })
    expect(others.projectRef).toBe('proj_sidebysidesidebyside')
    expect(others.accessToken).not.toBe(endpoints.accessToken)
    expect((await retrieve({ ...others, secretKeys: endpoints.secretKeys }, '/api/v1/runs')).status).toBe(401)

    const triggered = await retrieve(endpoints, '/api/v1/tasks/later/trigger', { method: 'POST', body: '{"payload":"{}"}' })
    const { id } = (await triggered.json()) as { id: string }
    expect(((await (await retrieve(others, '/api/v1/runs')).json()) as { data: unknown[] }).data).toEqual([])

    // A second platform on the same folder is refused, and the first one keeps its endpoints.
    const refused = node('dev', '--port', String(await freePort()), '--state', first)
    expect(await refused.ended).toBe(1)
    expect(refused.output()).toContain(`already uses ${first}`)
    expect(existsSync(join(first, 'endpoints.json'))).toBe(true)

    const workers = [...childrenOf(one.child.pid as number), ...childrenOf(two.child.pid as number)]
    expect(workers.length).toBeGreaterThanOrEqual(2)
    one.child.kill('SIGTERM')
    two.child.kill('SIGINT')
    expect(await Promise.all([one.ended, two.ended]), one.output() + two.output()).toEqual([0, 0])
    expect(workers.filter(lives)).toEqual([])
    expect([await isFree(port), await isFree(otherPort)]).toEqual([true, true])
    expect(existsSync(join(first, 'endpoints.json'))).toBe(false)

    const again = node('dev', '--port', String(port), '--state', first)
    expect(await endpointsOf(first, again)).toEqual(endpoints)
    const found = (await (await retrieve(endpoints, `/api/v3/runs/${id}`)).json()) as { id: string; taskIdentifier: string }
    expect(found).toMatchObject({ id, taskIdentifier: 'later' })
    again.child.kill('SIGTERM')
    expect(await again.ended).toBe(0)
  })

  it('ends with the npm that started it, and soon after a SIGKILL', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const [state, port] = [temporary(), await freePort()]
      const npm = run('npm', ['run', 'dev', '--', '--port', String(port), '--state', state])
      await endpointsOf(state, npm)
      npm.child.kill(signal)
      const code = await npm.ended
      if (signal === 'SIGKILL') await until(() => isFree(port), `the port after ${signal} of npm`, 5_000)
      else expect([signal, code, await isFree(port)]).toEqual([signal, 0, true])
    }
  })

  it('leaves nothing on the port when it is killed itself, and the folder can be used at once', async () => {
    const [state, port] = [temporary(), await freePort()]
    const killed = node('dev', '--port', String(port), '--state', state)
    const endpoints = await endpointsOf(state, killed)
    const workers = childrenOf(killed.child.pid as number)
    killed.child.kill('SIGKILL')
    await killed.ended
    rmSync(join(state, 'endpoints.json'))
    const next = node('dev', '--port', String(port), '--state', state)
    expect(await endpointsOf(state, next)).toEqual(endpoints)
    expect(workers.filter(lives)).toEqual([])
    next.child.kill('SIGTERM')
    expect(await next.ended).toBe(0)
  })

  it('names what is wrong before it starts anything', async () => {
    const busy = createServer()
    await new Promise<void>((done) => busy.listen(0, '127.0.0.1', done))
    const { port } = busy.address() as { port: number }
    const file = join(temporary(), 'a-file')
    writeFileSync(file, '')
    const cases: [args: string[], message: string][] = [
      [['--port', String(port), '--state', temporary()], `Port ${port} is in use`],
      [['--port', 'many'], '--port many'],
      [['--port', '70000'], '--port 70000'],
      [['--prot', '8787'], "Unknown option '--prot'"],
      [['something'], "Unexpected argument 'something'"],
      [['--project', 'mine'], '--project mine'],
      [['--state', join(file, 'below')], `The state folder ${join(file, 'below')} cannot be written`],
    ]
    try {
      const scripts = cases.map(([args]) => node('dev', ...args))
      for (const [index, [args, message]] of cases.entries()) {
        const script = scripts[index] as Script
        expect(await script.ended, args.join(' ')).toBe(1)
        expect(script.output()).toContain(message)
        // A sentence, not a stack.
        expect(script.output()).not.toMatch(/\n\s+at /)
      }
    } finally {
      busy.close()
    }
  })
})

describe('npm run demo -- --once', { timeout: PATIENCE_MS }, () => {
  const example = (change: (source: string) => string): string => {
    const scratch = join(root, '.state/compat')
    mkdirSync(scratch, { recursive: true })
    const folder = mkdtempSync(join(scratch, 'demo-'))
    folders.push(folder)
    cpSync(join(root, 'examples/hello-world'), folder, { recursive: true, filter: (path) => !path.includes('node_modules') })
    const file = join(folder, 'src/trigger/hello-world.ts')
    writeFileSync(file, change(readFileSync(file, 'utf8')))
    return folder
  }

  // Node 24 comes with `npm ci`; npm itself may be of the Node this machine has.
  it('does the whole job with the npm of the machine', async () => {
    const npmPath = systemPath()
    const version = execFileSync('node', ['--version'], { env: { ...process.env, PATH: npmPath }, encoding: 'utf8' })
    const demo = run('npm', ['run', 'demo', '--', '--once'], { ...process.env, PATH: npmPath })
    expect(await demo.ended, `Node ${version}${demo.output()}`).toBe(0)
    expect(demo.output()).toMatch(/\nCOMPLETED\n\{\s*"greeting": "Hello, world!"/)
    for (const line of ['QUEUED|EXECUTING', 'Hello, world!', 'Two seconds later', 'Platform: http://127.0.0.1:'])
      expect(demo.output()).toMatch(new RegExp(line))
  })

  it('fails when the run fails, the project does not build, or the port is taken', async () => {
    const failing = example((source) =>
      source.replace('return {', "if (payload.name) throw new Error('out of luck')\n    return {"),
    )
    const broken = example((source) => source.replace('run: async', 'run: async async'))
    const busy = createServer()
    await new Promise<void>((done) => busy.listen(0, '127.0.0.1', done))
    const { port } = busy.address() as { port: number }
    const cases: [args: string[], message: string][] = [
      [['--folder', failing], 'out of luck'],
      [['--folder', broken], 'trigger deploy ended with'],
      [['--port', String(port)], `Port ${port} is in use`],
      [['--folder', join(root, 'docs')], 'trigger.config.ts'],
    ]
    try {
      const demos = cases.map(([args]) => node('demo', '--once', ...args))
      for (const [index, [args, message]] of cases.entries()) {
        const demo = demos[index] as Script
        expect(await demo.ended, `${args.join(' ')}\n${demo.output()}`).toBe(1)
        expect(demo.output()).toContain(message)
        expect(demo.output()).not.toContain('\nCOMPLETED')
      }
    } finally {
      busy.close()
    }
  })
})

/** The PATH without what npm puts in front of it while it runs a script. */
function systemPath(): string {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))
  const withNpm = folders.filter((folder) => existsSync(join(folder, 'npm')) && existsSync(join(folder, 'node')))
  return withNpm.length > 0 ? folders.join(delimiter) : [...folders, dirname(process.execPath)].join(delimiter)
}
