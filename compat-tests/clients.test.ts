/**
 * The scenarios of a client, run by three generations of the unmodified SDK: apps do not all move to the newest at once. What a
 * generation does not have is left out by what it exports. Each file of vitest has its own globals.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { unique, until } from './harness.ts'
import { install } from './platform-process.ts'

const fixtures = join(import.meta.dirname, 'fixtures')
const endpoints = inject('endpoints')
const plain = inject('plain')

/** What differs by design (api-surface.md §4): the older vocabulary of statuses, and what came with SDK 4. */
const generations = [
  { name: '3.3.17', folder: 'sdk3317', waiting: 'FROZEN', parked: 'WAITING_FOR_DEPLOY', most: 500, isFour: false },
  { name: '4.0.7', folder: 'sdk407', waiting: 'WAITING', parked: 'PENDING_VERSION', most: 500, isFour: true },
  { name: '4.8.3', folder: undefined, waiting: 'WAITING', parked: 'PENDING_VERSION', most: 1_000, isFour: true },
]

describe.each(generations)('the client of SDK $name', ({ name, folder, waiting, parked, most, isFour }) => {
  // biome-ignore lint/suspicious/noExplicitAny: three generations of one package
  let sdk: any

  beforeAll(async () => {
    const from = folder ? join(fixtures, folder) : import.meta.dirname
    if (folder) await install(from)
    sdk = createRequire(join(from, 'package.json'))('@trigger.dev/sdk/v3')
    sdk.configure({ baseURL: endpoints.apiUrl, secretKey: plain.secretKey, accessToken: plain.secretKey })
  })

  // biome-ignore lint/suspicious/noExplicitAny: as above
  type Run = any
  const is = (id: string, wanted: (run: Run) => boolean, what: string): Promise<Run> =>
    until(async () => {
      const run = await sdk.runs.retrieve(id)
      return wanted(run) && run
    }, `${id} to be ${what}`)
  const hasStatus = (id: string, status: string): Promise<Run> => is(id, (run) => run.status === status, status)
  const finished = (id: string): Promise<Run> => is(id, (run) => run.isCompleted, 'finished')
  const runTask = async (...args: unknown[]): Promise<Run> => finished((await sdk.tasks.trigger(...args)).id)
  const byKey = async (key: unknown, options: object = {}): Promise<string> =>
    (await sdk.tasks.trigger('echo', {}, { idempotencyKey: key, ...options })).id

  describe.concurrent('runs', () => {
    it('A01 end with their output and times, by retrieve and by poll', async () => {
      const handle = await sdk.tasks.trigger('add-one', { n: 41 })
      expect(handle.id).toMatch(/^run_/)
      const run = await finished(handle.id)
      expect(run).toMatchObject({ status: 'COMPLETED', isSuccess: true, taskIdentifier: 'add-one', output: { n: 42 } })
      expect(run.version).toMatch(/^\d{8}\.\d+$/)
      for (const at of [run.createdAt, run.startedAt, run.finishedAt]) expect(at).toBeInstanceOf(Date)
      expect((await sdk.runs.poll(handle.id)).output).toEqual({ n: 42 })
    })

    // 4.0.7 has none.
    it.runIf(folder === 'sdk3317')('A01 are triggered and polled in one call', async () => {
      expect((await sdk.tasks.triggerAndPoll('echo', { n: 1 }, { pollIntervalMs: 100 })).output).toEqual({ n: 1 })
    })

    it('A02 get rich types', async () => {
      const payload = { date: new Date(0), map: new Map([['a', 1]]), set: new Set(['x']), big: 1n, nested: { list: [undefined] } }
      const run = await runTask('rich-types', payload)
      expect(run.output.seen).toEqual({ date: true, map: 1, set: true, big: 'bigint' })
    })

    it('A03 take 1 MiB and give it back', async () => {
      const text = 'y'.repeat(1024 * 1024)
      expect((await runTask('echo', { text })).output.text).toBe(text)
    })

    it('A04 fail with the error of the task', async () => {
      const run = await runTask('fails', {})
      expect(run).toMatchObject({
        status: 'FAILED',
        isFailed: true,
        error: { name: expect.any(String), message: expect.any(String) },
      })
      expect(run.error.stackTrace).toContain('Error')
    })

    it('A14, A15 are delayed and rescheduled, not when they are over', async () => {
      const handle = await sdk.tasks.trigger('echo', {}, { delay: '1h' })
      const run = await hasStatus(handle.id, 'DELAYED')
      expect(run.isQueued).toBe(true)
      expect(run.delayedUntil.getTime()).toBeGreaterThan(Date.now() + 3_000_000)
      await sdk.runs.reschedule(handle.id, { delay: '1s' })
      expect((await finished(handle.id)).status).toBe('COMPLETED')
      await expect(sdk.runs.reschedule(handle.id, { delay: '1s' })).rejects.toMatchObject({ status: 400 })
    })

    it('A16 start at once with a delay in the past', async () => {
      expect((await runTask('echo', {}, { delay: new Date(Date.now() - 60_000) })).delayedUntil).toBeUndefined()
    })

    it('A17 expire in the queue', async () => {
      const concurrencyKey = unique('expires')
      const blocker = await sdk.tasks.trigger('blocked', { ms: 60_000 }, { concurrencyKey })
      await hasStatus(blocker.id, 'EXECUTING')
      const handle = await sdk.tasks.trigger('blocked', { ms: 1 }, { ttl: '2s', concurrencyKey })
      const run = await hasStatus(handle.id, 'EXPIRED')
      expect(run.expiredAt).toBeInstanceOf(Date)
      await sdk.runs.cancel(blocker.id)
    })

    it('A20, A21, A22 are the same under one key, until its window ends or they fail', async () => {
      const key = await sdk.idempotencyKeys.create([name, unique('key')])
      const first = await byKey(key)
      expect(await byKey(key)).toBe(first)
      const short = unique('short')
      const before = await byKey(short, { idempotencyKeyTTL: '1s' })
      await new Promise((done) => setTimeout(done, 1_500))
      expect(await byKey(short, { idempotencyKeyTTL: '1s' })).not.toBe(before)
      const failing = unique('failing')
      const failed = await runTask('fails', {}, { idempotencyKey: failing })
      expect((await sdk.tasks.trigger('fails', {}, { idempotencyKey: failing })).id).not.toBe(failed.id)
    })

    it('A23 are made anew after their key is reset', async () => {
      // Came with 4.
      if (!sdk.idempotencyKeys.reset) return expect(folder).toBeDefined()
      const key = await sdk.idempotencyKeys.create(unique('reset'), { scope: 'global' })
      const first = await byKey(key)
      await sdk.idempotencyKeys.reset('echo', key)
      expect(await byKey(key)).not.toBe(first)
    })

    it('A25, A26 carry tags and metadata, and no eleventh tag', async () => {
      const tags = [unique('b'), unique('a')]
      const run = await runTask('echo', {}, { tags, metadata: { user: 'u1', list: [1] } })
      expect(run.tags).toEqual([...tags].sort())
      expect(run.metadata).toEqual({ user: 'u1', list: [1] })
      const eleven = Array.from({ length: 11 }, (_, index) => `t${index}`)
      await expect(sdk.tasks.trigger('echo', {}, { tags: eleven })).rejects.toMatchObject({ status: 422 })
    })

    it('A36 show their children', async () => {
      const run = await runTask('keyed', {})
      expect(run.relatedRuns.children).toHaveLength(3)
      const child = await sdk.runs.retrieve(run.relatedRuns.children[0].id)
      expect(child.relatedRuns.parent.id).toBe(run.id)
    })

    it(`A43 that wait are ${waiting}`, async () => {
      const handle = await sdk.tasks.trigger('waits-for', { seconds: 8 })
      await hasStatus(handle.id, waiting)
      expect((await finished(handle.id)).status).toBe('COMPLETED')
    })

    it('A46 are cancelled, and again', async () => {
      const handle = await sdk.tasks.trigger('sleeper', { ms: 60_000 })
      await hasStatus(handle.id, 'EXECUTING')
      await sdk.runs.cancel(handle.id)
      expect((await hasStatus(handle.id, 'CANCELED')).isCancelled).toBe(true)
      expect(await sdk.runs.cancel(handle.id)).toMatchObject({ id: handle.id })
    })

    it('A47 are replayed', async () => {
      const tag = unique('replay')
      const first = await runTask('add-one', { n: 10 }, { tags: [tag] })
      const { id } = await sdk.runs.replay(first.id)
      expect(id).not.toBe(first.id)
      expect(await finished(id)).toMatchObject({ output: { n: 11 }, tags: [tag] })
    })

    it(`A50 of a task that nobody deployed are ${parked}`, async () => {
      const handle = await sdk.tasks.trigger('nobody-deployed-this', {})
      expect((await hasStatus(handle.id, parked)).isQueued).toBe(true)
      await sdk.runs.cancel(handle.id)
    })

    it('are listed by tag, task and status, and page by page', async () => {
      const tag = unique('list')
      const ids: string[] = []
      for (let n = 0; n < 3; n++) ids.unshift((await runTask('echo', { n }, { tags: [tag] })).id)
      const failed = (await runTask('fails', {}, { tags: [tag] })).id
      const idsOf = async (filter: object): Promise<string[]> =>
        (await sdk.runs.list({ tag, ...filter })).data.map((run: Run) => run.id)
      expect(await idsOf({ limit: 10 })).toEqual([failed, ...ids])
      expect(await idsOf({ status: 'FAILED' })).toEqual([failed])
      expect(await idsOf({ taskIdentifier: 'echo' })).toEqual(ids)
      const seen: string[] = []
      for await (const run of sdk.runs.list({ tag, limit: 2 })) seen.push(run.id)
      expect(seen).toEqual([failed, ...ids])
    })
  })

  describe.concurrent('batches', () => {
    /** 3.3.17 is told the runs at once; later clients ask for them. */
    const runsOf = async (handle: Run): Promise<string[]> =>
      handle.runs?.map((run: Run) => run.id) ??
      until(async () => {
        const { runs } = await sdk.batch.retrieve(handle.batchId)
        return runs.length > 0 && runs
      }, 'the runs of the batch')
    const outputs = async (handle: Run): Promise<unknown[]> =>
      Promise.all((await runsOf(handle)).map(async (id) => (await finished(id)).output))

    it('A38 of one task, in order, and COMPLETED', async () => {
      const handle = await sdk.tasks.batchTrigger('echo', [{ payload: { n: 1 } }, { payload: { n: 2 } }])
      expect(handle.batchId).toMatch(/^batch_/)
      expect(await outputs(handle)).toEqual([{ n: 1 }, { n: 2 }])
      const done = await until(async () => {
        const found = await sdk.batch.retrieve(handle.batchId)
        return found.status === 'COMPLETED' && found
      }, 'the batch')
      expect(done.runCount).toBe(2)
    })

    it('A38 of several tasks, with options of their own', async () => {
      const tag = unique('batch')
      const handle = await sdk.batch.trigger([
        { id: 'echo', payload: { n: 3 } },
        { id: 'add-one', payload: { n: 4 }, options: { tags: [tag] } },
      ])
      expect(await outputs(handle)).toEqual([{ n: 3 }, { n: 5 }])
      const [, second] = await runsOf(handle)
      expect((await sdk.runs.retrieve(second)).tags).toEqual([tag])
    })

    it(`A40 of more than ${most} are refused, with the number`, async () => {
      const items = Array.from({ length: most + 1 }, () => ({ payload: {} }))
      await expect(sdk.tasks.batchTrigger('echo', items)).rejects.toThrow(new RegExp(`${most}`))
    })
  })

  describe.runIf(isFour).concurrent('tokens', () => {
    it('A44 deliver what they are completed with', async () => {
      const token = await sdk.wait.createToken({ timeout: '1h', tags: [unique('tag')] })
      expect(token).toMatchObject({ id: expect.stringMatching(/^waitpoint_/), isCached: false })
      const handle = await sdk.tasks.trigger('waits-for-token', { id: token.id })
      await hasStatus(handle.id, 'WAITING')
      await sdk.wait.completeToken(token, { approved: true })
      expect((await finished(handle.id)).output).toEqual({ ok: true, output: { approved: true } })
      expect((await sdk.wait.retrieveToken(token.id)).status).toBe('COMPLETED')
    })

    it('A45 time out, and are one under one key', async () => {
      const idempotencyKey = unique('token')
      const first = await sdk.wait.createToken({ timeout: '1s', idempotencyKey })
      expect(await sdk.wait.createToken({ timeout: '1s', idempotencyKey })).toMatchObject({ id: first.id, isCached: true })
      await until(async () => (await sdk.wait.retrieveToken(first.id)).status === 'TIMED_OUT', 'the token to time out')
    })

    it('are listed', async () => {
      const tag = unique('listed')
      const { id } = await sdk.wait.createToken({ timeout: '1h', tags: [tag] })
      const { data } = await sdk.wait.listTokens({ tags: [tag] })
      expect(data).toMatchObject([{ id, status: 'WAITING', tags: [tag] }])
    })
  })

  it.runIf(isFour)('A34 reads, pauses and resumes a queue', async () => {
    const queue = { type: 'task', name: 'new-year' }
    expect(await sdk.queues.pause(queue)).toMatchObject({ name: 'new-year', paused: true })
    expect(await sdk.queues.resume(queue)).toMatchObject({ paused: false })
    expect(await sdk.queues.retrieve(queue)).toMatchObject({ type: 'task', running: 0, queued: 0 })
  })

  it('A49 makes, changes, switches and deletes a schedule', async () => {
    const deduplicationKey = unique('schedule')
    const task = 'new-year'
    const made = await sdk.schedules.create({
      task,
      cron: '0 0 1 1 *',
      deduplicationKey,
      externalId: 'user',
      timezone: 'Asia/Tokyo',
    })
    expect(made).toMatchObject({ task, active: true, deduplicationKey, externalId: 'user', timezone: 'Asia/Tokyo' })
    expect(made.nextRun).toBeInstanceOf(Date)
    const again = await sdk.schedules.create({ task, cron: '*/5 * * * *', deduplicationKey })
    expect(again).toMatchObject({ id: made.id, generator: { expression: '*/5 * * * *' } })
    expect(await sdk.schedules.update(made.id, { task, cron: '0 3 * * *', externalId: 'other' })).toMatchObject({
      id: made.id,
      externalId: 'other',
    })
    expect(await sdk.schedules.deactivate(made.id)).toMatchObject({ active: false })
    expect(await sdk.schedules.activate(made.id)).toMatchObject({ active: true })
    expect(await sdk.schedules.retrieve(made.id)).toMatchObject({ id: made.id, generator: { expression: '0 3 * * *' } })
    const { data } = await sdk.schedules.list({ perPage: 100 })
    expect(data.map((schedule: { id: string }) => schedule.id)).toContain(made.id)
    expect(await sdk.schedules.del(made.id)).toEqual({ id: made.id })
    await expect(sdk.schedules.retrieve(made.id)).rejects.toMatchObject({ status: 404 })
    expect((await sdk.schedules.timezones()).timezones).toContain('Asia/Tokyo')
  })

  it('is told of its mistakes by the classes of errors it knows', async () => {
    await expect(sdk.runs.retrieve('run_unknown')).rejects.toBeInstanceOf(sdk.NotFoundError)
    const tags = Array.from({ length: 11 }, (_, index) => `t${index}`)
    await expect(sdk.tasks.trigger('echo', {}, { tags })).rejects.toBeInstanceOf(sdk.UnprocessableEntityError)
  })

  it('reads environment variables', async () => {
    await sdk.envvars
      .create(plain.ref, 'prod', { name: `OLD_${name.replaceAll('.', '_')}`, value: 'a value' })
      .catch((error: unknown) => {
        // 3.3.17 asks with the secret key, which may not write here; it is told so.
        expect(error).toMatchObject({ status: expect.any(Number) })
      })
    expect(Array.isArray(await sdk.envvars.list(plain.ref, 'prod'))).toBe(true)
  })
})
