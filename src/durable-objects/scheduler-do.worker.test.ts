/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { objectNames, type SchedulerObject } from '../contracts/objects.ts'
import type { RunRecord } from '../contracts/rpc.ts'
import worker from '../worker.ts'
import { bindings, Environment, FakeExecutors, must } from './testing.ts'

let environment: Environment

const stub = (): DurableObjectStub =>
  bindings.SCHEDULER.get(bindings.SCHEDULER.idFromName(objectNames.scheduler(environment.identity.locator)))
const scheduler = (): SchedulerObject => stub() as unknown as SchedulerObject
const everyMinute = { task: 'a', cron: '* * * * *', timezone: 'UTC' }

async function runs(): Promise<RunRecord[]> {
  return must(await environment.object.listRuns(environment.caller, { size: 50 })).runs
}

/** Makes the pending tick due, as if time had passed. */
function makeDue(minutesAgo: number): Promise<void> {
  const at = Math.floor(Date.now() / 60_000) * 60_000 - minutesAgo * 60_000
  return runInDurableObject(stub(), (_, { storage }) => void storage.sql.exec('UPDATE schedules SET next_at = ?', at))
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
    await runInDurableObject(stub(), (_, { storage }) => void storage.sql.exec('UPDATE schedules SET next_at = ?', tick))
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
    const [schedule] = await scheduler().list()
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
    const before = await scheduler().list()
    await abortAllDurableObjects()
    await scheduler().syncDeclared(environment.identity, [everyMinute, other])
    expect(await scheduler().list()).toEqual(before)
    await scheduler().syncDeclared(environment.identity, [{ ...other, cron: '0 5 * * *' }])
    const after = await scheduler().list()
    expect(after.map((schedule) => [schedule.task, schedule.cron])).toEqual([['b', '0 5 * * *']])
    await scheduler().syncDeclared(environment.identity, [])
    expect(await scheduler().wake()).toBe(false)
  })
})
