/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { RateLimitSettings, TriggerOptions } from '../contracts/rpc.ts'
import { Creations } from '../core/run/creations.ts'
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

let deployed = 1
async function deploy(rateLimit: RateLimitSettings | undefined): Promise<void> {
  const version = newVersion(['a', 'b'], `20260101.${++deployed}`)
  if (rateLimit) Object.assign(version.tasks[0] as object, { rateLimit })
  await environment.object.setVersion(environment.identity, version, {})
}
const payload = (user: string): Partial<TriggerOptions> => ({
  payload: { data: JSON.stringify({ user }), dataType: 'application/json' },
})
async function trigger(count: number, options: Partial<TriggerOptions> = {}, task = 'a'): Promise<string[]> {
  const ids = []
  for (let i = 0; i < count; i++) ids.push(await environment.trigger(task, options))
  return ids
}
const startedOf = (ids: string[]): number => ids.filter((id) => executors.started(id).length > 0).length
const reason = async (id: string): Promise<string | undefined> => (await environment.run(id)).waitingReason
const state = <T>(look: (state: EnvironmentState) => T): Promise<T> =>
  runInDurableObject(environment.stub as DurableObjectStub<EnvironmentDO>, (instance) =>
    look((instance as unknown as { state: EnvironmentState }).state),
  )
const rows = (): Promise<number> => state(({ sql }) => sql.exec<{ n: number }>('SELECT count(*) AS n FROM rate_buckets').one().n)

describe('a task with a rate limit', () => {
  it('starts as many as it may, then one by one as tokens come, and says why the others wait', async () => {
    await deploy({ limit: 2, period: '2s' })
    const ids = await trigger(4)
    const others = await trigger(3, {}, 'b')
    await until(() => startedOf(others) === 3)
    expect(startedOf(ids)).toBe(2)
    expect(await reason(ids[2] as string)).toMatch(/^rate limit of task a: 2 per 2s, next at \d{4}-\d\d-\d\dT/)
    for (const id of ids.slice(0, 2)) await environment.finish(id)
    const before = Date.now()
    await until(() => startedOf(ids) === 3, 5_000)
    await until(() => startedOf(ids) === 4, 5_000)
    expect(Date.now() - before, 'one second for each token, of which some had gone').toBeGreaterThan(1_000)
  })

  it('has a bucket for each value of the key, and one for payloads without', async () => {
    await deploy({ limit: 1, period: '1h', key: 'payload.user' })
    const ids = [...(await trigger(2, payload('u1'))), ...(await trigger(2, payload('u2'))), ...(await trigger(2))]
    await until(() => startedOf(ids) === 3)
    expect(ids.map((id) => startedOf([id]))).toEqual([1, 0, 1, 0, 1, 0])
    expect(await reason(ids[1] as string)).toContain('rate limit of task a for key "u1": 1 per 1h')
    expect(await reason(ids[5] as string)).toContain('rate limit of task a: 1 per 1h')
  })

  it('is kept through a reset, and a retry takes no token', async () => {
    await deploy({ limit: 1, period: '1h' })
    const [first, second] = (await trigger(2)) as [string, string]
    await until(() => startedOf([first]) === 1)
    await environment.finish(first, {
      ok: false,
      error: { type: 'STRING_ERROR', raw: 'no' },
      retry: { timestamp: Date.now(), delay: 40_000 },
    })
    await until(() => executors.started(first).length === 2)
    await environment.finish(first)
    await abortAllDurableObjects()
    // Nobody calls: the alarm of the new object finds out.
    await until(async () => (await reason(second))?.includes('rate limit of task a') === true)
    expect(startedOf([second])).toBe(0)
    expect(await rows()).toBe(1)
  })

  it('writes a row for a tenth of its limit, and tasks without one write none', async () => {
    await trigger(20, {}, 'b')
    expect(await rows()).toBe(0)
    await deploy({ limit: 100, period: '1h' })
    let written = 0
    await state(({ sql }) => {
      const exec = sql.exec.bind(sql)
      vi.spyOn(sql, 'exec').mockImplementation(((query: string, ...values: never[]) => {
        if (query.includes('rate_buckets')) written += 1
        return exec(query, ...values)
      }) as never)
    })
    const ids = await trigger(50)
    await until(() => startedOf(ids) === 50)
    expect(written).toBeGreaterThan(0)
    expect(written).toBeLessThanOrEqual(5)
    await abortAllDurableObjects()
    // What a reset costs: the tokens the row was ahead.
    const after = await trigger(60)
    await until(() => startedOf(after) >= 40)
    expect(startedOf(after)).toBeLessThanOrEqual(50)
  })

  it('comes and goes with a deploy, for those that wait as well', async () => {
    must(await environment.object.pauseQueue(environment.caller, { by: 'name', value: 'task/a' }, true))
    const ids = await trigger(3)
    await deploy({ limit: 1, period: '1h' })
    must(await environment.object.pauseQueue(environment.caller, { by: 'name', value: 'task/a' }, false))
    await until(() => startedOf(ids) === 1)
    expect(await reason(ids[1] as string)).toContain('rate limit')
    await deploy({ limit: 7_200, period: '1h' })
    await until(() => startedOf(ids) === 3)
    const more = await trigger(1)
    await deploy(undefined)
    await until(() => startedOf(more) === 1)
  })

  it('lets runs that wait be cancelled and expire', async () => {
    await deploy({ limit: 1, period: '1h' })
    const [, cancelled, expired] = (await trigger(3, { ttl: '1s' })) as [string, string, string]
    must(await environment.object.cancelRun(environment.caller, cancelled))
    expect((await environment.run(cancelled)).status).toBe('CANCELED')
    await until(async () => (await environment.run(expired)).status === 'EXPIRED', 5_000)
    expect(await state(({ admission }) => admission.counts.get('task/a')?.queued)).toBe(0)
  })
})

describe('a paused environment', () => {
  it('takes runs and starts none, through a deploy and a reset, until it goes on', async () => {
    const [before] = (await trigger(1)) as [string]
    await until(() => startedOf([before]) === 1)
    await environment.object.setPaused(true)
    const ids = await trigger(2)
    await environment.object.setPaused(true)
    expect(await reason(ids[0] as string)).toBe('the environment is paused')
    await environment.finish(before)
    expect((await environment.run(before)).status).toBe('COMPLETED_SUCCESSFULLY')
    await deploy(undefined)
    await abortAllDurableObjects()
    await environment.object.wake()
    expect(await reason(ids[1] as string)).toBe('the environment is paused')
    expect(startedOf(ids)).toBe(0)
    await environment.object.setPaused(false)
    await until(() => startedOf(ids) === 2)
  })
})

describe('an environment', () => {
  it('makes so many runs in a minute, those of batches and children counted', async () => {
    await state((known) => Object.assign(known, { creations: new Creations(4) }))
    const ids = await trigger(3)
    await until(() => startedOf(ids) === 3)
    await environment.trigger('b', { parentRunId: ids[0] as string })
    const input = { runId: environment.mint(), operationId: 'more', task: 'a', options: { payload: { dataType: 'text/plain' } } }
    expect(await environment.object.trigger(environment.caller, input)).toEqual({
      ok: false,
      error: {
        code: 'CREATION_LIMIT_EXCEEDED',
        message: 'Cannot trigger a: this environment has made 4 runs in a minute, which is its limit.',
        status: 429,
      },
    })
    const batchId = 'batch_1'
    must(await environment.object.createBatch(environment.caller, { batchId, operationId: 'b', runCount: 1 }))
    must(await environment.object.addBatchItems(environment.caller, batchId, [{ ...input, operationId: 'item', index: 0 }]))
    const batch = must(await environment.object.getBatch(environment.caller, batchId))
    expect(batch.errors).toMatchObject([{ index: 0, error: expect.stringContaining('has made 4 runs in a minute') }])
    // The same call again finds its run.
    const again = ids[0] as string
    expect(await environment.trigger('a', {}, again)).toBe(again)
  })

  it('tells its runs where it is, but for those that ask for a name without a place', async () => {
    environment.identity.region = 'eu'
    await environment.object.setVariables(environment.identity, {})
    const [plain, named] = [await environment.trigger('a'), await environment.trigger('a', { region: 'label' })]
    await until(() => startedOf([plain, named]) === 2)
    const told = [plain, named].map((id) => executors.started(id)[0]?.execution.run)
    expect(told).toMatchObject([{ region: 'eu' }, { region: 'label' }])
    expect((await environment.run(plain)).region).toBe('eu')
  })
})
