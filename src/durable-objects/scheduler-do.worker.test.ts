/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { objectNames, type ScheduleInput, type ScheduleRecord, type SchedulerObject } from '../contracts/objects.ts'
import type { RunRecord } from '../contracts/rpc.ts'
import worker from '../worker.ts'
import { EnvironmentDO } from './environment-do.ts'
import { bindings, Environment, FakeExecutors, must } from './testing.ts'

let environment: Environment

const stub = (): DurableObjectStub =>
  bindings.SCHEDULER.get(bindings.SCHEDULER.idFromName(objectNames.scheduler(environment.identity.locator)))
const scheduler = (): SchedulerObject => stub() as unknown as SchedulerObject
const list = async (): Promise<ScheduleRecord[]> => (await scheduler().list({ page: 1, perPage: 100 })).schedules
const everyMinute = { task: 'a', cron: '* * * * *', timezone: 'UTC' }

async function runs(): Promise<RunRecord[]> {
  return must(await environment.object.listRuns(environment.caller, { size: 50 })).runs
}

/** Makes the pending tick due, as if time had passed. */
function makeDue(minutesAgo: number): Promise<void> {
  const at = Math.floor(Date.now() / 60_000) * 60_000 - minutesAgo * 60_000
  return runInDurableObject(
    stub(),
    (_, { storage }) => void storage.sql.exec('UPDATE schedules SET next_at = ?1, due_at = ?1', at),
  )
}

type Pending = { next_at: number; due_at: number; last_at: number | null; failures: number }
function pending(): Promise<Pending[]> {
  return runInDurableObject(stub(), (_, { storage }) => [
    ...storage.sql.exec<Pending>('SELECT next_at, due_at, last_at, failures FROM schedules'),
  ])
}

beforeEach(async () => {
  environment = new Environment(new FakeExecutors())
  await environment.deploy('a', 'b')
})
afterEach(() => vi.restoreAllMocks())

describe('SchedulerDO', () => {
  it('makes one run of a tick however often it fires', async () => {
    await scheduler().syncDeclared(environment.identity, [everyMinute])
    await makeDue(0)
    const [{ next_at: tick }] = (await runInDurableObject(stub(), (_, { storage }) => [
      ...storage.sql.exec<{ next_at: number }>('SELECT next_at FROM schedules'),
    ])) as [{ next_at: number }]
    await scheduler().wake()
    // The object was reset after the run was made and before it planned the next tick.
    await runInDurableObject(
      stub(),
      (_, { storage }) => void storage.sql.exec('UPDATE schedules SET next_at = ?1, due_at = ?1', tick),
    )
    await abortAllDurableObjects()
    await Promise.all([scheduler().wake(), scheduler().wake()])
    const made = await runs()
    expect(made).toHaveLength(1)
    expect(made[0]?.createdAt).toBe(tick)
  })

  it('makes one late run of a stretch of missed ticks', async () => {
    await scheduler().syncDeclared(environment.identity, [everyMinute])
    await makeDue(30)
    await scheduler().wake()
    expect(await runs()).toHaveLength(1)
    const [schedule] = await list()
    expect(schedule?.nextRun).toBeGreaterThan(Date.now())
  })

  it('fires although its alarm was deleted behind its back', async () => {
    await scheduler().syncDeclared(environment.identity, [everyMinute])
    await makeDue(1)
    await runInDurableObject(stub(), (_, { storage }) => storage.deleteAlarm())
    await abortAllDurableObjects()
    await worker.scheduled({} as ScheduledController, bindings)
    expect(await runs()).toHaveLength(1)
  })

  it('keeps a pending tick over a deploy that does not change it, and drops what is no longer declared', async () => {
    const other = { task: 'b', cron: '0 4 * * *', timezone: 'Europe/Berlin' }
    await scheduler().syncDeclared(environment.identity, [everyMinute, other])
    const before = await list()
    await abortAllDurableObjects()
    await scheduler().syncDeclared(environment.identity, [everyMinute, other])
    expect(await list()).toEqual(before)
    await scheduler().syncDeclared(environment.identity, [{ ...other, cron: '0 5 * * *' }])
    const after = await list()
    expect(after.map((schedule) => [schedule.task, schedule.cron])).toEqual([['b', '0 5 * * *']])
    await scheduler().syncDeclared(environment.identity, [])
    expect(await scheduler().wake()).toBe(false)
  })

  it('makes one run of a late tick although that run is over and everything was reset since', async () => {
    await scheduler().syncDeclared(environment.identity, [everyMinute])
    await makeDue(30)
    await scheduler().wake()
    const [late] = await runs()
    await environment.finish(late?.id as string)
    await abortAllDurableObjects()
    await makeDue(30)
    await scheduler().wake()
    expect(await runs()).toHaveLength(1)
    expect((await list())[0]?.nextRun).toBeGreaterThan(Date.now())
  })

  it('tries a tick again that the environment could not take, and makes its run once', async () => {
    await scheduler().syncDeclared(environment.identity, [everyMinute])
    await makeDue(0)
    const trigger = vi.spyOn(EnvironmentDO.prototype, 'trigger').mockRejectedValue(new Error('Network connection lost.'))
    await scheduler().wake()
    expect(await pending()).toMatchObject([{ failures: 1 }])
    trigger.mockRestore()
    await abortAllDurableObjects()
    await runInDurableObject(stub(), (_, { storage }) => void storage.sql.exec('UPDATE schedules SET due_at = ?', Date.now()))
    expect(await runDurableObjectAlarm(stub())).toBe(true)
    expect(await runs()).toHaveLength(1)
    expect(await pending()).toMatchObject([{ failures: 0 }])
  })

  it('fires the others when the environment fails at one of those it is handed together, and that one later', async () => {
    await scheduler().syncDeclared(environment.identity, [everyMinute, { ...everyMinute, task: 'b' }])
    await makeDue(0)
    const real = EnvironmentDO.prototype.trigger
    const trigger = vi.spyOn(EnvironmentDO.prototype, 'trigger').mockImplementation(function (
      this: EnvironmentDO,
      caller,
      input,
    ) {
      return input.task === 'b' ? Promise.reject(new Error('no')) : real.call(this, caller, input)
    })
    await scheduler().wake()
    expect((await runs()).map((run) => run.task)).toEqual(['a'])
    expect((await pending()).map((row) => row.failures).sort()).toEqual([0, 1])
    trigger.mockRestore()
    await runInDurableObject(
      stub(),
      (_, { storage }) => void storage.sql.exec('UPDATE schedules SET due_at = ? WHERE failures = 1', Date.now()),
    )
    await scheduler().wake()
    expect((await runs()).map((run) => run.task).sort()).toEqual(['a', 'b'])
  })

  it('hands a tick over again when the answer was lost, and makes its run once', async () => {
    await scheduler().syncDeclared(environment.identity, [everyMinute])
    await makeDue(0)
    const real = EnvironmentDO.prototype.triggerMany
    const many = vi.spyOn(EnvironmentDO.prototype, 'triggerMany').mockImplementation(async function (
      this: EnvironmentDO,
      ...args
    ) {
      await real.apply(this, args)
      throw new Error('Network connection lost.')
    })
    await scheduler().wake()
    many.mockRestore()
    expect(await pending()).toMatchObject([{ failures: 1, last_at: null }])
    await abortAllDurableObjects()
    await runInDurableObject(stub(), (_, { storage }) => void storage.sql.exec('UPDATE schedules SET due_at = ?', Date.now()))
    await scheduler().wake()
    expect(await runs()).toHaveLength(1)
    expect(await pending()).toMatchObject([{ failures: 0, last_at: (await runs())[0]?.createdAt }])
  })
})

describe('schedules of the API', () => {
  const input: ScheduleInput = { task: 'a', cron: '* * * * *', timezone: 'UTC' }
  let made = 0
  const newId = (): string => `sched_${environment.identity.locator}${made++}`
  const create = async (deduplicationKey: string, change: Partial<ScheduleInput> = {}, id = newId()): Promise<ScheduleRecord> =>
    must(
      await scheduler().upsert(environment.identity, id, deduplicationKey ? { deduplicationKey } : {}, { ...input, ...change }),
    )

  it('fire once for a tick, with their payload, and know the tick before', async () => {
    const schedule = await create('k', { externalId: 'user', timezone: 'Asia/Tokyo' })
    await makeDue(2)
    await Promise.all([scheduler().wake(), scheduler().wake(), runDurableObjectAlarm(stub())])
    await makeDue(0)
    await scheduler().wake()
    const [second, first] = (await runs()).sort((one, other) => other.createdAt - one.createdAt)
    expect(await runs()).toHaveLength(2)
    const payload = async (run?: RunRecord): Promise<Record<string, unknown>> =>
      JSON.parse((await environment.run(run?.id as string)).payload?.data as string).json
    expect(await payload(first)).toMatchObject({
      scheduleId: schedule.id,
      type: 'IMPERATIVE',
      externalId: 'user',
      timezone: 'Asia/Tokyo',
      timestamp: new Date(first?.createdAt as number).toISOString(),
    })
    expect(await payload(first)).not.toHaveProperty('lastTimestamp')
    expect((await payload(second)).lastTimestamp).toBe(new Date(first?.createdAt as number).toISOString())
    expect(first?.scheduleId).toBe(schedule.id)
  })

  it('with the same key are one schedule; a repeated call without a key makes no second one', async () => {
    const first = await create('k', { externalId: 'user' })
    const second = await create('k', { cron: '*/5 * * * *', task: 'b' })
    expect(second).toMatchObject({ id: first.id, task: 'a', cron: '*/5 * * * *' })
    expect(second).not.toHaveProperty('externalId')
    const [other, repeated] = [await create('', {}, 'sched_same'), await create('', {}, 'sched_same')]
    expect(repeated).toEqual(other)
    await create('')
    expect(await list()).toHaveLength(3)
  })

  it('are found by id or key, and changed by either', async () => {
    const { id } = await create('key')
    expect((await scheduler().get('key'))?.id).toBe(id)
    expect((await scheduler().get(id))?.id).toBe(id)
    expect(await scheduler().get('other')).toBeNull()
    const changed = must(
      await scheduler().upsert(environment.identity, newId(), { reference: 'key' }, { ...input, cron: '0 0 1 1 *' }),
    )
    expect(changed).toMatchObject({ id, cron: '0 0 1 1 *', deduplicationKey: 'key' })
    expect(must(await scheduler().delete('key'))).toEqual({ id })
    expect(await scheduler().delete('key')).toMatchObject({ ok: false, error: { status: 404 } })
    expect(await scheduler().wake()).toBe(false)
  })

  it('do not fire while inactive, through resets, and go on at the next tick', async () => {
    const { id } = await create('k')
    await makeDue(3)
    expect(must(await scheduler().setActive(id, false))).toMatchObject({ active: false })
    await abortAllDurableObjects()
    expect(await scheduler().wake()).toBe(false)
    expect(await runs()).toHaveLength(0)
    const active = must(await scheduler().setActive(id, true))
    expect(active.nextRun).toBeGreaterThan(Date.now())
    // A change does not switch it on.
    must(await scheduler().setActive(id, false))
    expect(await create('k', { cron: '*/2 * * * *' })).toMatchObject({ id, active: false })
    await worker.scheduled({} as ScheduledController, bindings)
    expect(await runs()).toHaveLength(0)
  })

  it('live beside declared ones, which they cannot touch', async () => {
    await scheduler().syncDeclared(environment.identity, [everyMinute])
    const [declared] = (await list()) as [ScheduleRecord]
    const { id } = await create('k')
    await create('other')
    for (const refused of [
      await scheduler().upsert(environment.identity, newId(), { reference: declared.id }, input),
      await scheduler().setActive(declared.id, false),
      await scheduler().delete(declared.id),
    ]) {
      expect(refused).toMatchObject({ ok: false, error: { status: 422, message: expect.stringContaining('declarative') } })
    }
    await scheduler().syncDeclared(environment.identity, [])
    expect((await list()).map((schedule) => schedule.type)).toEqual(['IMPERATIVE', 'IMPERATIVE'])
    await makeDue(0)
    await scheduler().wake()
    // Two on one task at one time: each has its run.
    expect(new Set((await runs()).map((run) => run.scheduleId)).size).toBe(2)
    expect(await runs()).toHaveLength(2)
    must(await scheduler().delete(id))
    await scheduler().deleteAll()
    expect(await scheduler().wake()).toBe(false)
  })

  it('are as many as the limit says; changing one is still possible then', async () => {
    await create('k')
    await runInDurableObject(stub(), (_, { storage }) => {
      const copy = `INSERT INTO schedules (id, type, task, cron, timezone, active, next_at, due_at, created_at)
        SELECT id || ?, type, task, cron, timezone, 0, next_at, due_at, created_at FROM schedules WHERE deduplication_key = 'k'`
      for (let index = 1; index < 1_000; index++) storage.sql.exec(copy, `-${index}`)
    })
    // What the object counted before is forgotten.
    await abortAllDurableObjects()
    const refused = await scheduler().upsert(environment.identity, newId(), { deduplicationKey: 'more' }, input)
    expect(refused).toMatchObject({
      ok: false,
      error: { code: 'SCHEDULE_LIMIT', status: 422, message: expect.stringContaining('1000/1000') },
    })
    expect(await create('k', { cron: '0 0 * * *' })).toMatchObject({ cron: '0 0 * * *' })
    const { schedules, count } = await scheduler().list({ page: 10, perPage: 100 })
    expect([schedules.length, count]).toEqual([100, 1_000])
  })

  it('that are due together, several hundred, fire once each', { timeout: 60_000 }, async () => {
    const many = 600
    for (let index = 0; index < many; index += 50) {
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => create(`k${index + i}`, { timezone: i % 2 ? 'Europe/Paris' : 'UTC' })),
      )
    }
    await makeDue(0)
    const began = Date.now()
    await Promise.all([scheduler().wake(), scheduler().wake()])
    while ((await pending()).some((row) => row.due_at <= Date.now() - 60_000 || row.last_at === null)) await scheduler().wake()
    const took = Date.now() - began
    console.log(`${many} schedules due in one minute fired in ${took} ms`)
    const made: RunRecord[] = []
    for (let after: string | undefined; ; ) {
      const page = must(await environment.object.listRuns(environment.caller, { size: 100, ...(after ? { after } : {}) }))
      made.push(...page.runs)
      after = page.next
      if (!after) break
    }
    expect(made).toHaveLength(many)
    expect(new Set(made.map((run) => run.scheduleId)).size).toBe(many)
    expect(took).toBeLessThan(30_000)
  })
})

it('schedules from before there were migrations are kept, with their pending tick', async () => {
  const tick = Date.now() + 86_400_000
  await scheduler().syncDeclared(environment.identity, [])
  await runInDurableObject(stub(), (_, { storage }) => {
    storage.sql.exec('DROP TABLE migrations')
    storage.sql.exec('DROP TABLE schedules')
    storage.sql.exec(`CREATE TABLE schedules (id TEXT PRIMARY KEY, task TEXT NOT NULL UNIQUE, cron TEXT NOT NULL, timezone TEXT NOT NULL,
      active INTEGER NOT NULL, next_at INTEGER NOT NULL, last_at INTEGER, created_at INTEGER NOT NULL,
      failures INTEGER NOT NULL DEFAULT 0, retry_at INTEGER)`)
    const row = ['sched_old', 'a', '0 4 * * *', 'UTC', 1, tick, tick - 86_400_000, 5, 2, tick + 8_000]
    storage.sql.exec('INSERT INTO schedules VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)', ...row)
  })
  await abortAllDurableObjects()
  expect(await list()).toMatchObject([{ id: 'sched_old', type: 'DECLARATIVE', task: 'a', active: true, nextRun: tick }])
  expect(await pending()).toMatchObject([{ due_at: tick + 8_000, last_at: tick - 86_400_000, failures: 2 }])
})
