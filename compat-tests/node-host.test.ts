/** Tasks that need Node, on a Node host: the program as its user starts it, and the bundle's own controllers. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { envvars, runs, schedules, tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { environmentKey, type Project, runCli } from './cli.ts'
import { endpoints, finished, hasStatus, http, record, runTask, until, useProject } from './harness.ts'
import { install } from './platform-process.ts'

const root = resolve(import.meta.dirname, '..')
const folder = join(import.meta.dirname, 'fixtures/needs-node')
const state = mkdtempSync(join(tmpdir(), 'trigger-do-node-host-'))
let project: Project
let host: Host

interface Host {
  child: ChildProcess
  output: () => string
  says(words: RegExp, timeoutMs?: number): Promise<void>
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>
}

async function startHost(...args: string[]): Promise<Host> {
  const child = spawn(process.execPath, ['scripts/node-host.ts', '--state', state, ...args], {
    cwd: root,
    env: { ...process.env, TRIGGER_API_URL: endpoints.apiUrl, TRIGGER_SECRET_KEY: project.secretKey },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  process.once('exit', () => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      output += chunk
    })
  const says = async (words: RegExp, timeoutMs = 30_000): Promise<void> => {
    await until(async () => words.test(output), `the host to say ${words}; it said\n${output}`, timeoutMs)
  }
  const stop = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> => {
    const ended = new Promise<number | null>((done) => child.once('exit', done))
    child.kill(signal)
    return ended
  }
  await says(/Node host for/)
  return { child, output: () => output, says, stop }
}

function deployIt(folders: string): ReturnType<typeof runCli> {
  return runCli(endpoints, folder, ['deploy', '--env', 'staging', '--skip-update-check', '--skip-telemetry'], {
    FIXTURE_FOLDERS: folders,
  })
}

/** The SDK leaves it out. */
async function waitingReason(id: string): Promise<string | undefined> {
  const answer = await http('GET', `/api/v3/runs/${id}`, undefined, { authorization: `Bearer ${project.secretKey}` })
  return answer.body.waitingReason
}

beforeAll(async () => {
  await install(folder)
  // Nobody's environment until it is asked for.
  project = await environmentKey(endpoints, folder, 'staging')
  useProject(project)
  host = await startHost('--concurrency', '3', '--grace', '2')
  await envvars.create(project.ref, 'staging', { name: 'GREETING', value: 'hello from the variables' })
  const deployed = await deployIt('fine,host')
  if (deployed.code !== 0) throw new Error(`${deployed.output}\n${host.output()}`)
}, 300_000)

afterAll(async () => {
  await host?.stop('SIGTERM')
  rmSync(state, { recursive: true, force: true })
})

describe('a Node host', () => {
  it('runs a child process, with variables, context and log lines', async () => {
    const run = await runTask('shell', { words: 'said by echo' })
    expect(run.error).toBeUndefined()
    expect(run.output).toEqual({
      stdout: 'said by echo\n',
      platform: 'linux',
      environment: 'STAGING',
      version: run.version,
      greeting: 'hello from the variables',
    })
    const lines = await until(async () => {
      const answer = await http('GET', `/api/v1/runs/${run.id}/events`, undefined, {
        authorization: `Bearer ${project.secretKey}`,
      })
      return answer.body.events.find(({ message }: { message: string }) => message === 'about to run echo')
    }, 'the log line')
    expect(lines).toMatchObject({ level: 'INFO' })
  })

  it('runs a native add-on, installed for the version', async () => {
    const run = await runTask('pixels', { width: 40 })
    expect(run.error).toBeUndefined()
    expect(run.output).toMatchObject({ format: 'png', bytes: expect.any(Number) })
  })

  it('leaves the tasks that need no Node to isolates', async () => {
    const run = await runTask('sizes', { width: 20 })
    expect(run).toMatchObject({ status: 'COMPLETED', output: { half: 10 } })
    expect(host.output()).not.toContain(run.id)
  })

  it('waits, for a time and for a child in an isolate', async () => {
    const run = await runTask('waits-on-node')
    expect(run.error).toBeUndefined()
    expect(run).toMatchObject({ output: { before: 'before', half: { half: 320 } }, metadata: { step: 'done' }, attemptCount: 1 })
  })

  it('fails, retries, crashes and is cancelled as elsewhere', async () => {
    expect(await runTask('fails-once-on-node')).toMatchObject({ status: 'COMPLETED', attemptCount: 2, output: { attempt: 2 } })
    expect(await runTask('crashes-on-node')).toMatchObject({ status: 'CRASHED' })
    const { url, read } = record()
    const slow = await tasks.trigger('slow-on-node', { report: url, seconds: 60 })
    await until(async () => (await read()).length > 0, 'the run to begin')
    await runs.cancel(slow.id)
    expect(await finished(slow.id)).toMatchObject({ status: 'CANCELED' })
    await host.says(new RegExp(`${slow.id} has ended`))
  })

  it('its schedules are declared like others', async () => {
    const { data } = await schedules.list()
    expect(data).toMatchObject([{ task: 'nightly-on-node', generator: { expression: '0 3 1 1 *' } }])
  })

  it('takes no more runs than it may, and says why others wait', async () => {
    const reports = Array.from({ length: 4 }, () => record())
    const started = await Promise.all(reports.map(({ url }) => tasks.trigger('slow-on-node', { report: url, seconds: 3 })))
    await until(async () => (await Promise.all(reports.map(({ read }) => read()))).flat().length === 3, 'three to begin')
    const reasons = await Promise.all(started.map(({ id }) => waitingReason(id)))
    expect(reasons.filter(Boolean)).toEqual([expect.stringContaining('Node host')])
    for (const { id } of started) expect(await finished(id)).toMatchObject({ status: 'COMPLETED' })
  })

  it('gives back what a killed process was at: another attempt that is not counted', async () => {
    const { url, read } = record()
    const { id } = await tasks.trigger('slow-on-node', { report: url, seconds: 2 })
    const [first] = await until(async () => ((await read()).length > 0 ? read() : undefined), 'the run to begin')
    process.kill(Number(first?.split(' ')[1]), 'SIGKILL')
    expect(await finished(id)).toMatchObject({ status: 'COMPLETED', attemptCount: 1 })
    expect((await read()).map((line) => line.split(' ')[0])).toEqual(['1', '1'])
  })

  it('stopped, it gives back what does not end in time; the next host takes it', async () => {
    const { url, read } = record()
    const { id } = await tasks.trigger('slow-on-node', { report: url, seconds: 5 })
    await until(async () => (await read()).length > 0, 'the run to begin')
    expect(await host.stop('SIGTERM')).toBe(0)
    await hasStatus(id, 'QUEUED')
    expect(await waitingReason(id)).toContain('Node host')
    host = await startHost('--memory', '400')
    expect(await finished(id)).toMatchObject({ status: 'COMPLETED', attemptCount: 1 })
  })

  it('ends a run that takes more memory than it may', async () => {
    const run = await runTask('hungry', { megabytes: 600 })
    expect(run).toMatchObject({ status: 'CRASHED', error: { message: expect.stringContaining('memory') } })
  })

  it('killed with SIGKILL, its runs end all the same', async () => {
    const { url, read } = record()
    const { id } = await tasks.trigger('slow-on-node', { report: url, seconds: 4 })
    await until(async () => (await read()).length > 0, 'the run to begin')
    await host.stop('SIGKILL')
    expect(await finished(id)).toMatchObject({ status: 'COMPLETED', attemptCount: 1 })
    expect(await read()).toHaveLength(1)
    host = await startHost()
  })

  it.each<[string, Record<string, string>, string[], RegExp]>([
    ['a wrong key', { TRIGGER_SECRET_KEY: 'tr_stg_wrong' }, [], /401/],
    ['the key of development', { TRIGGER_SECRET_KEY: endpoints.secretKeys.dev }, [], /development environment has no Node host/],
    ['no key', { TRIGGER_SECRET_KEY: '' }, [], /TRIGGER_SECRET_KEY is not set/],
    ['an option it has not', {}, ['--many', '3'], /Unknown option '--many'.*\nUsage:/],
    ['a number that is none', {}, ['--concurrency', '0'], /--concurrency 0: a whole number from 1 to 100/],
  ])('%s ends it with one sentence', async (_, extra, args, words) => {
    const child = spawn(process.execPath, ['scripts/node-host.ts', '--state', state, ...args], {
      cwd: root,
      env: { ...process.env, TRIGGER_API_URL: endpoints.apiUrl, TRIGGER_SECRET_KEY: project.secretKey, ...extra },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stderr.on('data', (chunk) => {
      output += chunk
    })
    expect(await new Promise((done) => child.once('exit', done))).toBe(1)
    expect(output).toMatch(words)
  })

  it('a token of one run is good for that run only', async () => {
    const { id } = await tasks.trigger('shell', { words: 'x' })
    const headers = { 'x-trigger-workload-deployment-id': 'made.0.up' }
    const answer = await http('POST', `/api/v1/workload-actions/runs/${id}/snapshots/x/attempts/start`, {}, headers)
    expect(answer).toMatchObject({ status: 401, body: { error: expect.stringContaining('not valid for this run') } })
    await finished(id)
  })
})
