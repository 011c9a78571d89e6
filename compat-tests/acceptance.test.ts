/** Scenarios that take a while, beside each other: long retry delays, lifetimes in queues, memory, versions of children. */
import { runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { environmentKey } from './cli.ts'
import { endpoints, finished, hasStatus, http, plain, runTask, until, useProject } from './harness.ts'

const plainFolder = `${import.meta.dirname}/fixtures/plain`

beforeAll(() => useProject(plain))

describe.concurrent('retries', () => {
  it('A07 free the slot of the queue during a long delay', async () => {
    const first = await tasks.trigger('slow-retry', { fail: true })
    const waiting = await until(async () => {
      const run = await runs.retrieve(first.id)
      return run.status === 'QUEUED' && run.attemptCount === 1 && run
    }, 'the first attempt to fail')
    expect(waiting.isQueued).toBe(true)
    const other = await runTask('slow-retry', { fail: false })
    expect(other).toMatchObject({ status: 'COMPLETED', output: { attempt: 1 } })
    expect(await runs.retrieve(first.id)).toMatchObject({ status: 'QUEUED', attemptCount: 1 })
    const run = await finished(first.id, 60_000)
    expect(run).toMatchObject({ status: 'COMPLETED', attemptCount: 2, output: { attempt: 2 } })
    const { at } = run.output as { at: number }
    expect(at - (run.startedAt as Date).getTime()).toBeGreaterThanOrEqual(30_900)
  }, 90_000)

  it('A13 take a larger machine when memory runs out', async () => {
    const run = await runTask('out-of-memory', { always: false })
    expect(run).toMatchObject({ status: 'COMPLETED', attemptCount: 2, output: { machine: 'medium-1x', attempt: 2 } })
    expect(run.metadata?.machines).toEqual(['1 small-1x', '2 medium-1x'])
  })

  it('A13 end after the attempt on the larger machine', async () => {
    const run = await runTask('out-of-memory', { always: true })
    expect(run).toMatchObject({ status: 'FAILED', attemptCount: 2 })
    expect(run.metadata?.machines).toEqual(['1 small-1x', '2 medium-1x'])
  })
})

describe.concurrent('time to live', () => {
  it('A19 begins when the delay ends', async () => {
    const blocker = await tasks.trigger('blocked', { ms: 30_000 }, { concurrencyKey: 'a19' })
    await hasStatus(blocker.id, 'EXECUTING')
    const handle = await tasks.trigger('blocked', { ms: 1 }, { delay: '3s', ttl: '4s', concurrencyKey: 'a19' })
    expect((await runs.retrieve(handle.id)).status).toBe('DELAYED')
    const queued = await hasStatus(handle.id, 'QUEUED')
    expect(Date.now() - queued.createdAt.getTime()).toBeGreaterThanOrEqual(3_000)
    const run = await hasStatus(handle.id, 'EXPIRED')
    expect((run.expiredAt as Date).getTime() - run.createdAt.getTime()).toBeGreaterThanOrEqual(6_900)
    expect(run).toMatchObject({ attemptCount: 0, ttl: '4s' })
    await runs.cancel(blocker.id)
  })

  it('A18 is ten minutes in dev unless it is switched off', async () => {
    const { secretKey } = await environmentKey(endpoints, plainFolder, 'dev')
    const authorization = { authorization: `Bearer ${secretKey}` }
    const trigger = async (options: object): Promise<string> =>
      (await http('POST', '/api/v1/tasks/add-one/trigger', { payload: { n: 1 }, options }, authorization)).body.id
    const read = async (id: string) => (await http('GET', `/api/v3/runs/${id}`, undefined, authorization)).body
    const [standard, off] = [await trigger({}), await trigger({ ttl: 0 })]
    expect(await read(standard)).toMatchObject({ ttl: '10m', isQueued: true })
    expect(await read(off)).toMatchObject({ isQueued: true })
    expect((await read(off)).ttl).toBeUndefined()
  })
})

describe.concurrent('metadata', () => {
  it('whose flush is under way when the run ends is kept', async () => {
    const run = await runTask('flushes-last')
    expect(run.metadata).toEqual({ first: 1, second: 2 })
  })
})
