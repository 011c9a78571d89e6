/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { mintId } from '../contracts/ids.ts'
import type { BatchItem, QueueRecord } from '../contracts/objects.ts'
import type { RpcResult, TriggerOptions, TriggerResult } from '../contracts/rpc.ts'
import type { EnvironmentState } from './environment/state.ts'
import type { EnvironmentDO } from './environment-do.ts'
import { Environment, FakeExecutors, must, newVersion, until } from './testing.ts'

let executors: FakeExecutors
let environment: Environment

beforeEach(async () => {
  executors = new FakeExecutors()
  environment = new Environment(executors)
  await environment.deploy('a', 'b')
})
afterEach(() => vi.restoreAllMocks())

const narrow = { by: 'name', value: 'narrow' } as const
const override = (change: { limit: number } | { percent: number }): Promise<RpcResult<QueueRecord>> =>
  environment.object.overrideQueue(environment.caller, narrow, change)
const reset = (): Promise<RpcResult<QueueRecord>> => environment.object.resetQueue(environment.caller, narrow)
const read = async (): Promise<QueueRecord> => must(await environment.object.getQueue(environment.caller, narrow))

async function deployNarrow(concurrencyLimit: number | undefined, version: string): Promise<void> {
  const next = newVersion(['a', 'b'], version)
  next.queues = concurrencyLimit === undefined ? [] : [{ name: 'narrow', concurrencyLimit }]
  await environment.object.setVersion(environment.identity, next, {})
}

async function trigger(count: number): Promise<string[]> {
  const ids = []
  for (let i = 0; i < count; i++) ids.push(await environment.trigger('a', { queue: 'narrow' }))
  return ids
}
const startedOf = (ids: string[]): number => ids.filter((id) => executors.started(id).length > 0).length

describe('why a run waits', () => {
  const reason = async (id: string): Promise<string | undefined> => (await environment.run(id)).waitingReason

  it('is said of every run that does not execute, and of no other', async () => {
    const at = Date.now() + 60_000
    expect(await reason(await environment.trigger('a', { delayUntil: at }))).toBe(`delayed until ${new Date(at).toISOString()}`)
    const [first, second, third] = (await trigger(3)) as [string, string, string]
    await until(() => startedOf([first, second]) === 2)
    expect(await reason(first)).toBeUndefined()
    expect(await reason(third)).toBe('queue limit: 2 of 2 runs of narrow execute')
    must(await environment.object.pauseQueue(environment.caller, narrow, true))
    expect(await reason(third)).toBe('queue narrow is paused')
    must(await environment.object.waitForDuration(environment.caller, first, { waitpointId: 'waitpoint_1', until: at }))
    expect(await reason(first)).toBe(`waits until ${new Date(at).toISOString()}`)
    await environment.finish(second, {
      ok: false,
      retry: { timestamp: at, delay: 60_000 },
      error: { type: 'STRING_ERROR', raw: 'no' },
    })
    expect(await reason(second)).toMatch(/^retry at \d{4}-/)
    await environment.finish(first)
    expect(await reason(first)).toBeUndefined()
  })

  it('names the version, until it is there', async () => {
    const task = await environment.trigger('c')
    const queue = await environment.trigger('a', { queue: 'later' })
    expect(await reason(task)).toBe('waits for a version: no version has task c')
    expect(await reason(queue)).toBe('waits for a version: version 20260101.1 declares no queue later')
    await abortAllDurableObjects()
    expect(await reason(task)).toBe('waits for a version: no version has task c')
    const next = newVersion(['a', 'c'], '20260101.2')
    next.queues = [{ name: 'later', concurrencyLimit: 0 }]
    await environment.object.setVersion(environment.identity, next, {})
    await until(() => executors.started(task).length === 1)
    expect([await reason(task), await reason(queue)]).toEqual([undefined, 'queue limit: 0 of 0 runs of later execute'])
  })
})

describe('a queue whose limit is overridden', () => {
  it('takes more at once, and after a lower limit nothing until enough have ended', async () => {
    const ids = await trigger(6)
    await until(() => startedOf(ids) === 2)
    expect(must(await override({ limit: 4 })).concurrencyLimit).toBe(4)
    expect(await read()).toMatchObject({ running: 4, queued: 2 })
    await until(() => startedOf(ids) === 4)
    must(await override({ limit: 1 }))
    for (const id of ids.slice(0, 3)) await environment.finish(id)
    expect(startedOf(ids)).toBe(4)
    expect((await read()).running).toBe(1)
    await environment.finish(ids[3] as string)
    await until(() => startedOf(ids) === 5)
    expect(must(await reset()).concurrencyLimit).toBe(2)
    expect(await read()).toMatchObject({ running: 2, queued: 0 })
    await until(() => startedOf(ids) === 6)
  })

  it('keeps it through deploys and resets, and goes back to what was deployed last', async () => {
    must(await override({ limit: 1 }))
    await deployNarrow(7, '20260101.2')
    await abortAllDurableObjects()
    expect((await read()).concurrency).toEqual({ current: 1, base: 7, override: 1, overriddenAt: expect.any(Number) })
    const ids = await trigger(2)
    await until(() => startedOf(ids) === 1)
    expect((await read()).queued).toBe(1)
    expect(must(await reset()).concurrency).toEqual({ current: 7, base: 7, override: null, overriddenAt: null })
    await until(() => startedOf(ids) === 2)
    await abortAllDurableObjects()
    expect((await read()).concurrency.current).toBe(7)
  })

  it('can be reset when no version declares it any more', async () => {
    must(await override({ limit: 1 }))
    await deployNarrow(undefined, '20260101.2')
    expect((await read()).concurrency).toMatchObject({ current: 1, base: null })
    must(await reset())
    expect(await environment.object.getQueue(environment.caller, narrow)).toMatchObject({ ok: false, error: { status: 404 } })
  })

  it('stays paused, and goes on with it', async () => {
    must(await environment.object.pauseQueue(environment.caller, narrow, true))
    must(await override({ limit: 3 }))
    const ids = await trigger(4)
    expect((await read()).running).toBe(0)
    must(await environment.object.pauseQueue(environment.caller, narrow, false))
    await until(() => startedOf(ids) === 3)
    expect((await read()).queued).toBe(1)
  })

  it('can be stopped, and take a share of the environment', async () => {
    must(await override({ limit: 0 }))
    const ids = await trigger(1)
    expect((await read()).queued).toBe(1)
    expect(must(await override({ percent: 50 })).concurrency.current).toBe(50)
    await until(() => startedOf(ids) === 1)
  })

  it('is refused above the environment, and twice to be reset', async () => {
    expect(await override({ limit: 101 })).toMatchObject({
      ok: false,
      error: { status: 400, message: expect.stringContaining('100') },
    })
    expect(await reset()).toMatchObject({ ok: false, error: { status: 400, message: 'Queue is not overridden' } })
    const unknown = { by: 'name', value: 'nobody' } as const
    expect(await environment.object.overrideQueue(environment.caller, unknown, { limit: 1 })).toMatchObject({
      error: { status: 404 },
    })
  })
})

describe('a runaway', () => {
  const limitSize = (deployed: number, development?: number): Promise<void> =>
    runInDurableObject(environment.stub as DurableObjectStub<EnvironmentDO>, (instance) => {
      const { state } = instance as unknown as { state: EnvironmentState }
      Object.assign(state.queueSizes, { deployed, ...(development ? { development } : {}) })
    })
  const attempt = (options: Partial<TriggerOptions> = {}): Promise<RpcResult<TriggerResult>> => {
    const runId = environment.mint()
    const payload = { dataType: 'application/json' }
    return environment.object.trigger(environment.caller, {
      runId,
      operationId: runId,
      task: 'a',
      options: { payload, ...options },
    })
  }
  const batchOf = async (options: Partial<TriggerOptions>, count: number, parentRunId?: string): Promise<string> => {
    const batchId = mintId('batch', environment.identity.locator)
    const parent = parentRunId ? { parentRunId, resumeParentOnCompletion: true } : {}
    must(await environment.object.createBatch(environment.caller, { batchId, operationId: batchId, runCount: count, ...parent }))
    const items = Array.from({ length: count }, (_, index): BatchItem => {
      const place = { runId: environment.mint(), operationId: `${batchId}:${index}`, task: 'a', index }
      return { ...place, options: { payload: { dataType: 'application/json' }, batch: { id: batchId, index }, ...options } }
    })
    must(await environment.object.addBatchItems(environment.caller, batchId, items))
    return batchId
  }

  it('fills a queue up to its size, also with calls that come together; what can start does not count', async () => {
    await limitSize(3)
    const results = await Promise.all(Array.from({ length: 7 }, () => attempt({ queue: 'narrow', concurrencyKey: 'k' })))
    expect(results.filter((result) => result.ok)).toHaveLength(5)
    const message = 'Cannot trigger a: queue narrow has reached its size limit of 3 waiting runs.'
    expect(results.at(-1)).toEqual({ ok: false, error: { code: 'QUEUE_SIZE_LIMIT_EXCEEDED', message, status: 422 } })
    expect(await read()).toMatchObject({ running: 2, queued: 3 })
    expect(await attempt({ queue: 'narrow', concurrencyKey: 'other' }), 'all keys together').toMatchObject({ ok: false })
    expect(await attempt({ queue: 'narrow', delayUntil: Date.now() + 60_000 })).toMatchObject({ ok: false })
    expect(await attempt(), 'another queue').toMatchObject({ ok: true })
  })

  it('has a limit of its own in development', async () => {
    environment.identity.type = 'DEVELOPMENT'
    await environment.deploy('a')
    must(await environment.object.pauseQueue(environment.caller, narrow, true))
    await limitSize(1)
    for (let i = 0; i < 3; i++) must(await attempt({ queue: 'narrow' }))
    await limitSize(1, 3)
    expect(await attempt({ queue: 'narrow' })).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining('limit of 3') },
    })
  })

  it('still finds the runs there are by key, request and debounce', async () => {
    must(await environment.object.pauseQueue(environment.caller, narrow, true))
    const queue = 'narrow'
    const debounce = { key: 'k', delayMs: 60_000, mode: 'leading' } as const
    const debounced = must(await attempt({ queue, debounce })).id
    const keyed = must(await attempt({ queue, idempotencyKey: 'i' })).id
    await limitSize(1)
    expect(await attempt({ queue })).toMatchObject({ ok: false })
    expect(must(await attempt({ queue, debounce })).id).toBe(debounced)
    expect(must(await attempt({ queue, idempotencyKey: 'i' }))).toEqual({ id: keyed, isCached: true })
  })

  it('in a batch leaves failed runs, and the parent goes on', async () => {
    const parent = await environment.trigger('b')
    await until(() => executors.started(parent).length === 1)
    must(await environment.object.pauseQueue(environment.caller, narrow, true))
    await limitSize(1)
    must(await attempt({ queue: 'narrow' }))
    const batch = must(await environment.object.getBatch(environment.caller, await batchOf({ queue: 'narrow' }, 2, parent)))
    expect(batch).toMatchObject({ status: 'COMPLETED', errors: [{ errorCode: 'QUEUE_SIZE_LIMIT_EXCEEDED' }, { index: 1 }] })
    await until(() => executors.resumed.length === 1)
    expect(executors.resumed[0]?.waitpoints.map(({ output }) => output)).toEqual(
      [0, 1].map(() => expect.stringContaining('size limit of 1')),
    )
  })

  it('of children ends at a depth of 100, alone and in a batch', async () => {
    let parentRunId = await environment.trigger('b')
    await until(() => executors.started(parentRunId).length === 1)
    for (let depth = 1; depth <= 100; depth++) parentRunId = must(await attempt({ parentRunId })).id
    expect((await environment.run(parentRunId)).depth).toBe(100)
    const message = expect.stringContaining('at most 100 deep')
    expect(await attempt({ parentRunId })).toMatchObject({ ok: false, error: { status: 422, message } })
    for (const options of [{}, { parentRunId }]) {
      const batchId = await batchOf(options, 1, parentRunId)
      const batch = must(await environment.object.getBatch(environment.caller, batchId))
      expect(batch).toMatchObject({
        status: 'COMPLETED',
        errors: [{ error: message, errorCode: 'BATCH_ITEM_COULD_NOT_TRIGGER' }],
      })
    }
  })
})
