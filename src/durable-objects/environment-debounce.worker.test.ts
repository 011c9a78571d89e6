/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { mintId } from '../contracts/ids.ts'
import type { TriggerOptions } from '../contracts/rpc.ts'
import type { EnvironmentState } from './environment/state.ts'
import type { EnvironmentDO } from './environment-do.ts'
import { Environment, FakeExecutors, must, until } from './testing.ts'

let executors: FakeExecutors
let environment: Environment

beforeEach(async () => {
  executors = new FakeExecutors()
  environment = new Environment(executors)
  await environment.deploy('a', 'b')
})
afterEach(() => vi.restoreAllMocks())

const debounce = { key: 'k', delayMs: 2_000, mode: 'leading' } as const
const payload = (n: number): TriggerOptions['payload'] => ({ data: `{"n":${n}}`, dataType: 'application/json' })

function rowsWritten(work: () => Promise<unknown>): Promise<string[]> {
  return runInDurableObject(environment.stub as DurableObjectStub<EnvironmentDO>, async (instance) => {
    const { sql } = (instance as unknown as { state: EnvironmentState }).state
    const statements = vi.spyOn(sql, 'exec')
    await work()
    return statements.mock.calls.map(([statement]) => statement).filter((statement) => !statement.startsWith('SELECT'))
  })
}

describe('debounced triggers', () => {
  it('are one run with the data of the first, pushed back; later ones begin a new window', async () => {
    const ids = []
    for (let n = 0; n < 3; n++) ids.push(await environment.trigger('a', { debounce, payload: payload(n) }))
    expect(new Set(ids).size).toBe(1)
    const [id] = ids as [string]
    const delayed = await environment.run(id)
    expect(delayed).toMatchObject({ status: 'DELAYED', payload: payload(0) })
    await until(() => executors.started(id).length === 1, 5_000)
    expect(Date.now()).toBeGreaterThanOrEqual(delayed.delayUntil as number)
    expect(await environment.trigger('a', { debounce })).not.toBe(id)
  })

  it('of the last win in trailing mode: payload, tags, and metadata when it has some', async () => {
    const trailing = { ...debounce, delayMs: 60_000, mode: 'trailing' } as const
    const metadata = { data: '{"m":1}', dataType: 'application/json' }
    const first = { debounce: trailing, payload: payload(0), metadata, tags: ['x'], machine: 'micro', maxAttempts: 7 }
    const id = await environment.trigger('a', { ...first, priorityMs: 5_000 })
    const second = { debounce: trailing, payload: payload(1), maxAttempts: 2, queue: 'narrow', ttl: '1h', priorityMs: 1 }
    expect(await environment.trigger('a', second)).toBe(id)
    const expected = {
      payload: payload(1),
      metadata,
      tags: [],
      machine: 'micro',
      maxAttempts: 2,
      queue: 'task/a',
      priorityMs: 5_000,
    }
    expect(await environment.run(id)).toMatchObject(expected)
    await abortAllDurableObjects()
    expect(await environment.run(id)).toMatchObject(expected)
    expect((await environment.run(id)).ttl).toBeUndefined()
  })

  it('arriving together, also with the first, are one run with the last data', async () => {
    const options = (n: number): Partial<TriggerOptions> => ({ debounce: { ...debounce, mode: 'trailing' }, payload: payload(n) })
    const ids = await Promise.all(Array.from({ length: 50 }, (_, n) => environment.trigger('a', options(n))))
    expect(new Set(ids).size).toBe(1)
    expect((await environment.run(ids[0] as string)).payload).toEqual(payload(49))
  })

  it('are told apart by task and key', async () => {
    const ids = [
      await environment.trigger('a', { debounce }),
      await environment.trigger('b', { debounce }),
      await environment.trigger('a', { debounce: { ...debounce, key: 'other' } }),
      await environment.trigger('a'),
    ]
    expect(new Set(ids).size).toBe(4)
  })

  it('beyond maxDelay let the run go off when it was to, although it was pushed back before', async () => {
    const pushes = { key: 'k', mode: 'leading' as const }
    const first = await environment.trigger('a', { debounce: { ...pushes, delayMs: 300 } })
    expect(await environment.trigger('a', { debounce: { ...pushes, delayMs: 2_500 } })).toBe(first)
    expect(await environment.trigger('a', { debounce: { ...pushes, delayMs: 9_000, maxDelayMs: 8_000 } })).not.toBe(first)
    await until(() => executors.started(first).length === 1, 8_000)
  })

  it('beyond maxDelay leave the run alone and begin another, also after a reset', async () => {
    const long = { ...debounce, delayMs: 100_000 }
    const old = await environment.trigger('a', { debounce: long })
    const before = (await environment.run(old)).delayUntil
    const next = await environment.trigger('a', { debounce: { ...long, delayMs: 200_000, maxDelayMs: 150_000 } })
    expect(next).not.toBe(old)
    expect((await environment.run(old)).delayUntil).toBe(before)
    await abortAllDurableObjects()
    expect(await environment.trigger('a', { debounce: long })).toBe(next)
  })

  it('are pushed by the debounce, begin with an explicit delay, and are never pulled forward', async () => {
    const delayUntil = Date.now() + 600_000
    const id = await environment.trigger('a', { debounce, delayUntil })
    expect(await environment.trigger('a', { debounce })).toBe(id)
    expect((await environment.run(id)).delayUntil).toBe(delayUntil)
    expect(await environment.trigger('a', { debounce: { ...debounce, delayMs: 900_000 } })).toBe(id)
    expect((await environment.run(id)).delayUntil).toBeGreaterThan(delayUntil)
  })

  it('start a new run when the delayed one was cancelled', async () => {
    const id = await environment.trigger('a', { debounce })
    must(await environment.object.cancelRun(environment.caller, id))
    expect(await environment.trigger('a', { debounce })).not.toBe(id)
  })

  it('go by their idempotency key first', async () => {
    const keyed = await environment.trigger('a', { debounce, idempotencyKey: 'i' })
    const input = { runId: environment.mint(), operationId: 'o', task: 'a' }
    const again = { debounce: { ...debounce, mode: 'trailing' }, idempotencyKey: 'i', payload: payload(9) } as const
    const hit = must(await environment.object.trigger(environment.caller, { ...input, options: again }))
    expect(hit).toEqual({ id: keyed, isCached: true })
    expect((await environment.run(keyed)).payload).not.toEqual(payload(9))
    expect(await environment.trigger('a', { debounce, idempotencyKey: 'other' })).toBe(keyed)
  })

  it('survive a reset: the key, the time, the request that is repeated', async () => {
    const id = await environment.trigger('a', { debounce: { ...debounce, delayMs: 1_500 } })
    await abortAllDurableObjects()
    const trailing = { debounce: { ...debounce, mode: 'trailing' } as const }
    expect(await environment.trigger('a', trailing, environment.mint(), 'joins')).toBe(id)
    await abortAllDurableObjects()
    expect(await environment.trigger('a', trailing, environment.mint(), 'joins')).toBe(id)
    await until(() => executors.started(id).length === 1, 5_000)
    await environment.finish(id)
    await abortAllDurableObjects()
    expect(await environment.trigger('a', trailing, environment.mint(), 'joins'), 'after its end').toBe(id)
    expect(executors.started(id)).toHaveLength(1)
  })

  it('a push that comes after the alarm was set moves the run, and the early alarm starts nothing', async () => {
    const id = await environment.trigger('a', { debounce: { ...debounce, delayMs: 1_000 } })
    const first = (await environment.run(id)).delayUntil as number
    expect(await environment.trigger('a', { debounce: { ...debounce, delayMs: 2_500 } })).toBe(id)
    const { delayUntil } = await environment.run(id)
    expect(delayUntil).toBeGreaterThan(first)
    await until(() => Date.now() > first)
    await runDurableObjectAlarm(environment.stub)
    expect((await environment.run(id)).status).toBe('DELAYED')
    await until(() => executors.started(id).length === 1, 5_000)
    expect(Date.now()).toBeGreaterThanOrEqual(delayUntil as number)
  })

  it('wake every parent that waits for the shared run', async () => {
    const parents = await Promise.all([environment.trigger('b'), environment.trigger('b'), environment.trigger('b')])
    await until(() => parents.every((id) => executors.started(id).length === 1))
    const children = []
    for (const parentRunId of parents)
      children.push(await environment.trigger('a', { debounce, parentRunId, resumeParentOnCompletion: true }))
    const [child] = children as [string]
    expect(new Set(children).size).toBe(1)
    for (const id of parents) expect((await environment.run(id)).status).toBe('WAITING_TO_RESUME')
    await until(() => executors.started(child).length === 1, 5_000)
    await environment.finish(child)
    await until(() => executors.resumed.length === 3)
    expect(executors.resumed.flatMap(({ waitpoints }) => waitpoints.map(({ output }) => output))).toEqual(['1', '1', '1'])
  })

  it('take the places of a batch', async () => {
    const batchId = mintId('batch', environment.identity.locator)
    must(await environment.object.createBatch(environment.caller, { batchId, operationId: batchId, runCount: 2 }))
    const item = (index: number) => {
      const runId = environment.mint()
      return {
        runId,
        operationId: `${batchId}:${index}`,
        task: 'a',
        index,
        options: { payload: payload(index), debounce, batch: { id: batchId, index } },
      }
    }
    must(await environment.object.addBatchItems(environment.caller, batchId, [item(0), item(1)]))
    const batch = must(await environment.object.getBatch(environment.caller, batchId))
    expect(new Set(batch.runs).size).toBe(1)
    const [run] = batch.runs as [string]
    await until(() => executors.started(run).length === 1, 5_000)
    await environment.finish(run)
    expect(must(await environment.object.getBatch(environment.caller, batchId)).status).toBe('COMPLETED')
  })

  it('that change nothing write nothing', async () => {
    const id = await environment.trigger('a', { debounce, delayUntil: Date.now() + 600_000 })
    expect(
      await rowsWritten(async () => {
        for (let n = 0; n < 5; n++) expect(await environment.trigger('a', { debounce })).toBe(id)
      }),
    ).toEqual([])
    const trailing = { debounce: { ...debounce, mode: 'trailing' } } as const
    expect(await rowsWritten(() => environment.trigger('a', trailing)), 'seen when there are any').toHaveLength(2)
  })
})
