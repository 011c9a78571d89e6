/**
 * From the version before this one to this one. A platform full of runs is killed and goes on with this code on the same state:
 * each run that was acknowledged reaches one final state. And while Cloudflare rolls out, the old Worker talks to new objects.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { batch, configure, runs, schedules, tasks, wait } from '@trigger.dev/sdk'
import type { Miniflare } from 'miniflare'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { projectKeys, seed } from '../scripts/setup.ts'
import { deploy, type Endpoints, environmentKey } from './cli.ts'
import { finished, hasStatus, until } from './harness.ts'
import { makeProject } from './made-project.ts'
import { freePort } from './platform-process.ts'
import { checkOutPrevious, previousCommit, startMixed } from './previous-version.ts'

const code = `import { queue, schedules, task, wait } from '@trigger.dev/sdk'
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
export const quick = task({ id: 'quick', run: async (payload: unknown) => payload })
export const slow = task({ id: 'slow', run: async () => { await sleep(2_000); return 'slow' } })
export const narrow = queue({ name: 'narrow', concurrencyLimit: 1 })
export const serial = task({ id: 'serial', queue: narrow, run: () => sleep(200) })
export const timer = task({ id: 'timer', run: async () => { await wait.for({ seconds: 4 }); return 'woken' } })
export const token = task({ id: 'token', run: (payload: { token: string }) => wait.forToken(payload.token).unwrap() })
export const parent = task({ id: 'parent', run: async () => (await slow.triggerAndWait().unwrap()) + ' child' })
export const retried = task({ id: 'retried', retry: { maxAttempts: 2, minTimeoutInMs: 4_000, factor: 1, randomize: false },
  run: async (_: unknown, { ctx }) => { if (ctx.attempt.number === 1) throw new Error('first'); return ctx.attempt.number } })
export const tick = schedules.task({ id: 'tick', run: async () => 'ticked' })
export const declared = schedules.task({ id: 'declared', cron: '* * * * *', run: async () => 'ticked' })
`

const root = resolve(import.meta.dirname, '..')
const previous = checkOutPrevious()
const skipped = `skipped: commit ${previousCommit} is not in this clone (git fetch --unshallow)`
if (!previous) console.warn(`upgrade.test.ts is ${skipped}`)
const title = previous ? `from ${previousCommit}` : skipped

afterAll(() => previous?.remove())

function use(apiUrl: string, accessToken: string): void {
  configure({ baseURL: apiUrl, accessToken, requestOptions: { retry: { maxAttempts: 1 } } })
}

async function deployed(endpoints: Endpoints, folder: string): Promise<string> {
  const result = await deploy(endpoints, folder, ['--env', 'prod'])
  expect(result.code, result.output).toBe(0)
  return (await environmentKey(endpoints, folder, 'prod')).secretKey
}

describe.skipIf(!previous)(`an upgrade ${title}`, () => {
  const state = mkdtempSync(join(tmpdir(), 'trigger-do-upgrade-'))
  const children: ChildProcess[] = []
  let endpoints: Endpoints
  let key: string
  let port: number
  let killedAt = 0
  let scheduleId: string
  let mixed: Miniflare | undefined
  let rollout: Promise<{ origin: string; secretKey: string }>

  // Beside the first scenario: a deploy mostly waits.
  beforeAll(() => {
    rollout = startRollout()
    // Told by the scenario that needs it.
    rollout.catch(() => {})
  })

  async function startRollout(): Promise<{ origin: string; secretKey: string }> {
    const { folder, ref } = makeProject({ 'src/tasks.ts': code })
    const mixedPort = await freePort()
    const origin = `http://127.0.0.1:${mixedPort}`
    const secrets = {
      rootSecret: randomBytes(32).toString('hex'),
      accessToken: `tr_pat_${'a'.repeat(40)}`,
      email: 'owner@example.com',
    }
    mixed = await startMixed((previous as { folder: string }).folder, mixedPort, secrets.rootSecret)
    await seed(origin, secrets)
    const secretKeys = await projectKeys(origin, secrets.accessToken, ref)
    return {
      origin,
      secretKey: await deployed({ apiUrl: origin, projectRef: ref, accessToken: secrets.accessToken, secretKeys }, folder),
    }
  }

  afterAll(async () => {
    await rollout.catch(() => {})
    await mixed?.dispose()
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const ended = new Promise((done) => child.once('exit', done))
      child.kill('SIGTERM')
      await ended
    }
    rmSync(state, { recursive: true, force: true })
  })

  async function start(folder: string): Promise<ChildProcess> {
    const file = join(state, 'endpoints.json')
    // Of a platform that was killed.
    rmSync(file, { force: true })
    const child = spawn(process.execPath, ['scripts/dev.ts', '--port', String(port), '--state', state], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, RATE_LIMIT: 'off' },
    })
    children.push(child)
    process.once('exit', () => child.kill('SIGKILL'))
    await until(
      async () => {
        if (child.exitCode !== null) throw new Error(`The platform in ${folder} ended with ${child.exitCode}`)
        return existsSync(file)
      },
      'the platform',
      90_000,
    )
    endpoints = JSON.parse(readFileSync(file, 'utf8'))
    // The connections that are still open lead to the one before.
    await until(async () => (await fetch(`${endpoints.apiUrl}/health`).catch(() => undefined))?.ok, 'its answer')
    return child
  }

  it('loses no run that was acknowledged, and ends none twice', async () => {
    port = await freePort()
    const before = await start((previous as { folder: string }).folder)
    key = await deployed(endpoints, makeProject({ 'src/tasks.ts': code }).folder)
    use(endpoints.apiUrl, key)
    scheduleId = (await schedules.create({ task: 'tick', cron: '* * * * *', deduplicationKey: 'each-minute' })).id
    const done = await tasks.trigger('quick', { done: true }, { tags: ['done'], idempotencyKey: 'done' })
    await finished(done.id)
    await schedules.create({ task: 'tick', cron: '0 7 1 1 *', timezone: 'Asia/Tokyo', deduplicationKey: 'seldom' })

    const expected = new Map<string, unknown>()
    const tokens: { id: string; run: string }[] = []
    for (let round = 0; round < 4; round++) {
      const token = await wait.createToken({ timeout: '10m' })
      const made = await Promise.all([
        ...['slow', 'timer', 'parent', 'retried'].map((id) => tasks.trigger(id, {})),
        ...Array.from({ length: 6 }, () => tasks.trigger('serial', {})),
        tasks.trigger('quick', round, { delay: '6s' }),
        tasks.trigger('token', { token: token.id }),
      ])
      const outputs = ['slow', 'woken', 'slow child', 2, ...Array(6).fill(undefined), round, { went: 'on' }]
      for (const [index, { id }] of made.entries()) expected.set(id, outputs[index])
      tokens.push({ id: token.id, run: made.at(-1)?.id as string })
    }
    const items = await batch.trigger(
      Array.from({ length: 10 }, (_, n) => ({ id: 'quick', payload: n, options: { delay: '5s' } })),
    )
    for (const [n, id] of (await batch.retrieve(items.batchId)).runs.entries()) expected.set(id, n)
    const kinds = new Set((await runs.list({ limit: 100 })).data.map((run) => run.status))
    for (const status of ['QUEUED', 'EXECUTING', 'DELAYED'] as const) expect(kinds).toContain(status)
    await hasStatus(tokens[3]?.run as string, 'WAITING')

    // Until the process dies: what was acknowledged counts.
    let isOver = false
    const load = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const made = await tasks.trigger('quick', { load: true }).catch(() => undefined)
        if (made) expected.set(made.id, { load: true })
      }
    })
    await until(async () => expected.size > 100, 'load')
    const ended = new Promise((over) => before.once('exit', over))
    before.kill('SIGKILL')
    await ended
    isOver = true
    await Promise.all(load)
    killedAt = Date.now()

    await start(root)
    use(endpoints.apiUrl, key)
    for (const { id } of tokens) await wait.completeToken(id, { went: 'on' })
    const final = new Map<string, string>()
    for (const [id, output] of expected) {
      const run = await finished(id, 40_000)
      expect([run.taskIdentifier, run.status, run.output], `${id} ${JSON.stringify(run.error)}`).toEqual([
        run.taskIdentifier,
        'COMPLETED',
        output,
      ])
      final.set(id, String(run.finishedAt))
      if (run.taskIdentifier === 'parent') expect(run.relatedRuns.children?.length, id).toBe(1)
    }
    expect(expected.size).toBeGreaterThan(100)
    expect((await batch.retrieve(items.batchId)).status).toBe('COMPLETED')

    // What was final before is as it was; its key is spent; lists by the indexes of the old version are whole.
    expect((await tasks.trigger('quick', {}, { idempotencyKey: 'done' })).id).toBe(done.id)
    expect((await runs.list({ tag: 'done' })).data.map((run) => run.id)).toEqual([done.id])
    const narrow = (await runs.list({ taskIdentifier: 'serial', limit: 100 })).data
    expect(narrow.length).toBe(24)
    for (const [id, finishedAt] of final) expect(String((await runs.retrieve(id)).finishedAt), id).toBe(finishedAt)
    expect((await schedules.list()).data.map((one) => [one.deduplicationKey ?? '', one.active]).sort()).toEqual(
      [
        ['each-minute', true],
        ['seldom', true],
        ['', true],
      ].sort(),
    )
  }, 300_000)

  it('while the old Worker talks to new objects: it answers trigger, retrieve, list, cancel, tokens, batches, a deploy and a schedule', async () => {
    const { origin, secretKey } = await rollout
    use(origin, secretKey)
    // It is the old one that answers: it does not know this route.
    const headers = { authorization: `Bearer ${secretKey}` }
    expect((await fetch(`${origin}/api/v1/environment/export`, { headers })).status).toBe(404)

    const one = await tasks.trigger('quick', { n: 1 }, { tags: ['one'] })
    expect(await finished(one.id)).toMatchObject({ status: 'COMPLETED', output: { n: 1 } })
    const parent = await tasks.trigger('parent', {})
    const token = await wait.createToken({ timeout: '10m' })
    const waiting = await tasks.trigger('token', { token: token.id })
    await hasStatus(waiting.id, 'WAITING')
    await wait.completeToken(token, { a: 1 })
    expect(await finished(waiting.id)).toMatchObject({ status: 'COMPLETED', output: { a: 1 } })
    const delayed = await tasks.trigger('quick', {}, { delay: '1h' })
    await runs.cancel(delayed.id)
    expect((await runs.retrieve(delayed.id)).status).toBe('CANCELED')
    const many = await batch.trigger([1, 2, 3].map((payload) => ({ id: 'quick', payload })))
    const { runs: members } = await batch.retrieve(many.batchId)
    expect((await Promise.all(members.map((id) => finished(id)))).map((run) => run.output)).toEqual([1, 2, 3])
    expect(await finished(parent.id)).toMatchObject({ status: 'COMPLETED', output: 'slow child' })
    expect((await runs.list({ tag: 'one' })).data.map((run) => run.id)).toEqual([one.id])
    const replayed = await runs.replay(one.id)
    expect(await finished(replayed.id)).toMatchObject({ output: { n: 1 } })
    const schedule = await schedules.create({ task: 'tick', cron: '0 7 * * *', deduplicationKey: 'k' })
    expect((await schedules.retrieve(schedule.id)).active).toBe(true)
    await schedules.deactivate(schedule.id)
  }, 240_000)

  it('goes on with declared schedules and those made over the API', async () => {
    use(endpoints.apiUrl, key)
    for (const taskIdentifier of ['tick', 'declared'])
      await until(
        async () => {
          const { data } = await runs.list({ taskIdentifier, limit: 100 })
          return data.some((run) => run.status === 'COMPLETED' && run.createdAt.getTime() >= killedAt)
        },
        `a tick of ${taskIdentifier}`,
        70_000,
      )
    // Each tick once.
    for (const taskIdentifier of ['tick', 'declared']) {
      const at = (await runs.list({ taskIdentifier, limit: 100 })).data.map((run) => run.createdAt.getTime())
      expect(new Set(at).size, taskIdentifier).toBe(at.length)
    }
    expect((await schedules.retrieve(scheduleId)).deduplicationKey).toBe('each-minute')
  }, 240_000)
})
