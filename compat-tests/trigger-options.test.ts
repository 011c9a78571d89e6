import { batch, idempotencyKeys, runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { finished, hasStatus, http, plain, runTask, unique, until, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

async function globalKey(): Promise<Awaited<ReturnType<typeof idempotencyKeys.create>>> {
  return idempotencyKeys.create(unique('key'), { scope: 'global' })
}

describe.concurrent('idempotency', () => {
  it('A20 answers the first run again', async () => {
    const idempotencyKey = await globalKey()
    const first = await tasks.trigger('add-one', { n: 1 }, { idempotencyKey })
    const second = await tasks.trigger('add-one', { n: 100 }, { idempotencyKey })
    expect(second.id).toBe(first.id)
    expect((second as { isCached?: boolean }).isCached).toBe(true)
    expect((await finished(first.id)).output).toEqual({ n: 2 })
  })

  it('A21 ends with its window', async () => {
    const idempotencyKey = await globalKey()
    const options = { idempotencyKey, idempotencyKeyTTL: '2s' }
    const first = await tasks.trigger('add-one', { n: 1 }, options)
    expect((await tasks.trigger('add-one', { n: 1 }, options)).id).toBe(first.id)
    await new Promise((done) => setTimeout(done, 2_500))
    expect((await tasks.trigger('add-one', { n: 1 }, options)).id).not.toBe(first.id)
  })

  it('A22 is cleared by a failure', async () => {
    const idempotencyKey = await globalKey()
    const first = await runTask('fails', {}, { idempotencyKey })
    expect((await tasks.trigger('fails', {}, { idempotencyKey })).id).not.toBe(first.id)
  })

  it('A22 is kept by a cancelled run', async () => {
    const idempotencyKey = await globalKey()
    const first = await tasks.trigger('add-one', { n: 1 }, { idempotencyKey, delay: '1h' })
    await runs.cancel(first.id)
    expect((await tasks.trigger('add-one', { n: 1 }, { idempotencyKey })).id).toBe(first.id)
  })

  it('A23 is reset', async () => {
    const idempotencyKey = await globalKey()
    const first = await runTask('add-one', { n: 1 }, { idempotencyKey })
    await idempotencyKeys.reset('add-one', idempotencyKey)
    expect((await tasks.trigger('add-one', { n: 1 }, { idempotencyKey })).id).not.toBe(first.id)
    await expect(idempotencyKeys.reset('add-one', await globalKey())).rejects.toMatchObject({ status: 404 })
  })

  it('A24 has scopes inside a run', async () => {
    const run = await runTask('keyed')
    const output = run.output as { raw: string; attempt: string }
    const children = (await runs.retrieve(run.id)).relatedRuns.children ?? []
    expect(children).toHaveLength(3)
    expect(children.map((child) => child.id)).toEqual(expect.arrayContaining([output.raw, output.attempt]))
  })

  it('is decided once among racing triggers', async () => {
    const idempotencyKey = await globalKey()
    const handles = await Promise.all(Array.from({ length: 10 }, () => tasks.trigger('add-one', { n: 1 }, { idempotencyKey })))
    expect(new Set(handles.map((handle) => handle.id)).size).toBe(1)
  })
})

describe.concurrent('delay and ttl', () => {
  it('A14 delays a run', async () => {
    const handle = await tasks.trigger('add-one', { n: 1 }, { delay: '3s' })
    const delayed = await runs.retrieve(handle.id)
    expect(delayed).toMatchObject({ status: 'DELAYED', isQueued: true })
    expect(delayed.delayedUntil).toBeInstanceOf(Date)
    const run = await finished(handle.id)
    expect((run.startedAt as Date).getTime() - run.createdAt.getTime()).toBeGreaterThanOrEqual(2_900)
  })

  it('A15 is rescheduled while delayed, not after', async () => {
    const handle = await tasks.trigger('add-one', { n: 1 }, { delay: '1h' })
    await runs.reschedule(handle.id, { delay: '1s' })
    expect((await finished(handle.id)).status).toBe('COMPLETED')
    await expect(runs.reschedule(handle.id, { delay: '1s' })).rejects.toMatchObject({ status: 400 })
  })

  it('A16 runs at once with a past or unreadable delay', async () => {
    const past = await runTask('add-one', { n: 1 }, { delay: new Date(Date.now() - 60_000) })
    const soon = await runTask('add-one', { n: 1 }, { delay: 'soon' })
    expect(past.delayedUntil).toBeUndefined()
    expect(soon.delayedUntil).toBeUndefined()
  })

  it('cancels a delayed run', async () => {
    const handle = await tasks.trigger('add-one', { n: 1 }, { delay: '1h' })
    await runs.cancel(handle.id)
    expect(await runs.retrieve(handle.id)).toMatchObject({ status: 'CANCELED', attemptCount: 0 })
  })

  it('A17 expires in the queue', async () => {
    const blocker = await tasks.trigger('blocked', { ms: 8_000 })
    await hasStatus(blocker.id, 'EXECUTING')
    const handle = await tasks.trigger('blocked', { ms: 1 }, { ttl: '2s' })
    const run = await hasStatus(handle.id, 'EXPIRED')
    expect(run.expiredAt).toBeInstanceOf(Date)
    expect(run.attemptCount).toBe(0)
    expect(run.error?.message).toMatch(/TTL/i)
    await runs.cancel(blocker.id)
  })

  it('A50 waits for the version that has its task', async () => {
    const handle = await tasks.trigger('nobody-deployed-this', {})
    const run = await hasStatus(handle.id, 'PENDING_VERSION')
    expect(run.isQueued).toBe(true)
    await runs.cancel(handle.id)
  })
})

describe.concurrent('batches', () => {
  it('A38 of one task', async () => {
    const handle = await tasks.batchTrigger('add-one', [{ payload: { n: 1 } }, { payload: { n: 2 } }, { payload: { n: 3 } }])
    expect(handle).toMatchObject({ runCount: 3 })
    const done = await until(async () => {
      const current = await batch.retrieve(handle.batchId)
      return current.status === 'COMPLETED' ? current : undefined
    }, 'the batch')
    expect(done.runs).toHaveLength(3)
    const outputs = await Promise.all(done.runs.map(async (id) => (await finished(id)).output))
    expect(outputs).toEqual([{ n: 2 }, { n: 3 }, { n: 4 }])
  })

  it('A38 of several tasks with tags of their own', async () => {
    const tag = unique('batch')
    const handle = await batch.trigger([
      { id: 'add-one', payload: { n: 1 }, options: { tags: [tag] } },
      { id: 'echo', payload: 'hello', options: { tags: [tag, 'second'] } },
    ] as never)
    expect(handle.runCount).toBe(2)
    const runsOfBatch = (
      await until(async () => {
        const current = await batch.retrieve(handle.batchId)
        return current.runs.length === 2 ? current : undefined
      }, 'both runs')
    ).runs
    const second = await finished(runsOfBatch[1] as string)
    expect(second).toMatchObject({ output: 'hello', batchId: handle.batchId })
    expect(second.tags).toContain('second')
  })

  it('of 100 runs', async () => {
    const items = Array.from({ length: 100 }, (_, n) => ({ payload: { n } }))
    const handle = await tasks.batchTrigger('add-one', items)
    const done = await until(async () => {
      const current = await batch.retrieve(handle.batchId)
      return current.status === 'COMPLETED' ? current : undefined
    }, 'the batch')
    expect(new Set(done.runs).size).toBe(100)
  })

  it('A40 refuse a wrong size', async () => {
    expect((await http('POST', '/api/v3/batches', { runCount: 1001 })).status).toBe(400)
    expect((await http('POST', '/api/v3/batches', { runCount: 0 })).status).toBe(400)
  })

  it('A41 recover from a broken upload', async () => {
    const created = await http('POST', '/api/v3/batches', { runCount: 4 })
    expect(created.status).toBe(202)
    const path = `/api/v3/batches/${created.body.id}/items`
    const lines = (...indexes: number[]): string =>
      indexes.map((index) => JSON.stringify({ index, task: 'add-one', payload: { n: index } })).join('\n')
    const ndjson = { 'content-type': 'application/x-ndjson' }
    expect((await http('POST', path, lines(0, 1), ndjson)).body).toMatchObject({
      sealed: false,
      enqueuedCount: 2,
      expectedCount: 4,
    })
    expect((await http('POST', path, lines(1, 2, 3), ndjson)).body).toMatchObject({
      itemsAccepted: 2,
      itemsDeduplicated: 1,
      sealed: true,
    })
    expect((await http('POST', path, lines(0), ndjson)).body).toMatchObject({ itemsAccepted: 0, sealed: true })
    expect((await batch.retrieve(created.body.id)).runs).toHaveLength(4)
    expect((await http('POST', path, lines(0), { 'content-type': 'application/json' })).status).toBe(415)
  })
})
