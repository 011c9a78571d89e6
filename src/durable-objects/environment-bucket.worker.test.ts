/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Env } from '../contracts/bindings.ts'
import type { ExportLine, RunLine } from '../contracts/export.ts'
import { mintId } from '../contracts/ids.ts'
import { type DirectoryObject, type HistoryObject, objectNames, timerNames } from '../contracts/objects.ts'
import { historyDay, historyEnd } from '../core/run/retention.ts'
import worker from '../worker.ts'
import type { Archive } from './environment/archive.ts'
import type { EnvironmentDO } from './environment-do.ts'
import { bindings, Environment, FakeExecutors, must, until } from './testing.ts'

let executors: FakeExecutors
let environment: Environment

beforeEach(async () => {
  executors = new FakeExecutors()
  environment = new Environment(executors)
  await environment.deploy('a', 'b')
})
afterEach(() => {
  vi.restoreAllMocks()
})

const days = (count: number): number => Date.now() + count * 86_400_000

/** A pass of the archive with `RUN_ARCHIVE=on`, whatever the bucket is made to do. */
function pass(now: number, bucket: Partial<R2Bucket> = {}, settings: Partial<Env> = { RUN_ARCHIVE: 'on' }): Promise<string> {
  const stub = environment.stub as DurableObjectStub<EnvironmentDO>
  return runInDurableObject(stub, async (instance) => {
    const { archive } = instance as unknown as { archive: Archive }
    const inner = archive as never as { env: Env }
    const original = inner.env
    const real = original.BUCKET
    const BUCKET = { put: real.put.bind(real), ...bucket } as R2Bucket
    inner.env = { ...original, ...settings, BUCKET }
    try {
      await archive.pass(now)
      return 'done'
    } catch (error) {
      return String(error)
    } finally {
      inner.env = original
    }
  })
}

async function finishedRun(options: Parameters<Environment['trigger']>[1] = {}): Promise<string> {
  const id = await environment.trigger('a', options)
  await until(() => executors.started(id).length === 1)
  await environment.finish(id, { ok: true, output: `"${id}"`, outputType: 'application/json' })
  return id
}

async function objects(): Promise<Record<string, ExportLine[]>> {
  const { id, projectRef } = environment.identity
  const prefix = `archive/${projectRef}/${id}/`
  const { objects: listed } = await bindings.BUCKET.list({ prefix })
  const found: Record<string, ExportLine[]> = {}
  for (const { key } of listed) {
    const text = await ((await bindings.BUCKET.get(key)) as R2ObjectBody).text()
    found[key.slice(prefix.length)] = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as ExportLine)
  }
  return found
}

async function archivedIds(): Promise<string[]> {
  const lines = Object.values(await objects()).flat()
  return lines.filter((line): line is RunLine => line.kind === 'run').map((line) => line.run.id)
}

const isGone = async (id: string): Promise<boolean> => !(await environment.object.getRun(environment.caller, id)).ok

describe('expired runs in the bucket', () => {
  it('are complete lines of one object per chunk and day, and only then deleted', async () => {
    const metadata = { data: '{"k":1}', dataType: 'application/json' }
    const first = await finishedRun({ tags: ['t'], metadata })
    const second = await finishedRun()
    const live = await environment.trigger('a')
    // Packets are with the history by then.
    expect(await pass(days(1))).toBe('done')
    expect((await environment.run(first)).archived).toBe(true)
    expect(await archivedIds()).toEqual([])
    expect(await pass(days(31))).toBe('done')
    const found = await objects()
    expect(Object.keys(found)).toEqual([`${historyDay(first)}/${first}.ndjson`])
    const [header, one, two] = Object.values(found)[0] as [ExportLine, RunLine, RunLine]
    expect(header).toMatchObject({ kind: 'environment', format: 1, id: environment.identity.id })
    expect(one).toMatchObject({
      kind: 'run',
      run: { id: first, task: 'a', status: 'COMPLETED_SUCCESSFULLY', tags: ['t'] },
      payload: { data: '{"n":1}' },
      metadata,
      output: { data: `"${first}"` },
    })
    expect(one.run).not.toHaveProperty('engine')
    expect(two.run.id).toBe(second)
    expect([await isGone(first), await isGone(second), await isGone(live)]).toEqual([true, true, false])
  })

  it('stay in the environment while the bucket fails', async () => {
    const id = await finishedRun()
    await pass(days(1))
    expect(await pass(days(31), { put: () => Promise.reject(new Error('bucket down')) })).toContain('bucket down')
    expect(await isGone(id)).toBe(false)
    await pass(days(32))
    expect([await isGone(id), await archivedIds()]).toEqual([true, [id]])
  })

  it('are written again by the same object after a reset between writing and deleting, whatever has expired meanwhile', async () => {
    const parent = await environment.trigger('a')
    await until(() => executors.started(parent).length === 1)
    const held = await environment.trigger('b', { parentRunId: parent })
    await until(() => executors.started(held).length === 1)
    await environment.finish(held)
    const first = await finishedRun()
    const put = async (...args: Parameters<R2Bucket['put']>): Promise<never> => {
      await bindings.BUCKET.put(...(args as Parameters<R2Bucket['put']>))
      throw new Error('reset')
    }
    expect(await pass(days(31), { put: put as never })).toContain('reset')
    expect(await archivedIds()).toEqual([first])
    await abortAllDurableObjects()
    // Sorts before what was planned.
    await environment.finish(parent)
    await until(async () => (await environment.run(parent)).status === 'COMPLETED_SUCCESSFULLY')
    expect(await pass(days(31))).toBe('done')
    const ids = await archivedIds()
    expect(ids.sort()).toEqual([parent, held, first].sort())
    for (const id of ids) expect(await isGone(id)).toBe(true)
  })

  it('are not held up by a plan whose runs are gone', async () => {
    const id = await finishedRun()
    await runInDurableObject(environment.stub, (_, { storage }) => {
      storage.sql.exec("INSERT INTO settings (name, value) VALUES ('bucketPlan', ?)", JSON.stringify([environment.mint()]))
    })
    expect(await pass(days(31))).toBe('done')
    expect([await isGone(id), await archivedIds()]).toEqual([true, [id]])
  })

  it('are many objects when they are many, each run in one', async () => {
    const ids = await Promise.all(Array.from({ length: 230 }, () => environment.trigger('nobody')))
    await Promise.all(ids.map((id) => environment.object.cancelRun(environment.caller, id)))
    expect(await pass(days(31))).toBe('done')
    expect(Object.keys(await objects()).length).toBe(2)
    expect((await archivedIds()).sort()).toEqual([...ids].sort())
    expect(must(await environment.object.listRuns(environment.caller, { size: 10 })).runs).toEqual([])
  }, 60_000)
})

describe('a day of history', () => {
  const objectName = (runId: string): string => objectNames.history(environment.identity.locator, '0', historyDay(runId))
  const stubOf = (runId: string): DurableObjectStub => bindings.HISTORY.get(bindings.HISTORY.idFromName(objectName(runId)))
  const history = (runId: string): HistoryObject => stubOf(runId) as unknown as HistoryObject
  const directory = bindings.DIRECTORY.get(bindings.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject
  /** Of a day that is long over. */
  const oldId = (daysAgo = 40): string => mintId('run', environment.identity.locator, '0', days(-daysAgo))
  const put = (id: string, at: number): Promise<void> =>
    history(id).put([{ runId: id, run: { output: { data: '1', dataType: 'application/json' }, spans: [] } }], at)

  it('waits until the last of its runs is in the bucket', async () => {
    const id = oldId()
    await put(id, Date.now() + 3_600_000)
    await runInDurableObject(environment.stub, (_, { storage }) => {
      storage.sql.exec("INSERT INTO runs (id, task, status, data) VALUES (?, 'a', 'COMPLETED_SUCCESSFULLY', '{}')", id)
    })
    const archives = (setting: string | undefined): Promise<void> =>
      runInDurableObject(stubOf(id), (instance) => {
        const inner = instance as unknown as { env: Env }
        inner.env = { ...inner.env, ...(setting ? { RUN_ARCHIVE: setting } : {}) }
      })
    await archives('on')
    await runDurableObjectAlarm(stubOf(id))
    expect(await history(id).get(id)).not.toBeNull()
    expect(await runInDurableObject(stubOf(id), (_, { storage }) => storage.getAlarm())).toBeGreaterThan(Date.now() + 3_000_000)
    await runInDurableObject(environment.stub, (_, { storage }) => {
      storage.sql.exec('DELETE FROM runs WHERE id = ?', id)
    })
    await runDurableObjectAlarm(stubOf(id))
    expect(await history(id).get(id)).toBeNull()
  })

  it('goes by its alarm only when the retention of today is over', async () => {
    const id = oldId(10)
    await put(id, Date.now() + 3_600_000)
    await runDurableObjectAlarm(stubOf(id))
    expect(await history(id).get(id)).not.toBeNull()
    expect(await runInDurableObject(stubOf(id), (_, { storage }) => storage.getAlarm())).toBe(historyEnd(historyDay(id), 30))
  })

  it('is deleted by the minute cron when its alarm was lost, and is no longer on the list then', async () => {
    const id = oldId()
    const name = timerNames.history(objectName(id))
    const listed = async (): Promise<boolean> => (await directory.listTimers()).some((timer) => timer.name === name)
    await put(id, Date.now() + 86_400_000)
    // Not each minute of a month: only once its end has passed.
    expect(await listed()).toBe(false)
    await runInDurableObject(stubOf(id), (_, { storage }) => storage.deleteAlarm())
    await directory.noteTimers(name, Date.now() - 1)
    expect(await listed()).toBe(true)
    await worker.scheduled({} as ScheduledController, bindings)
    expect(await history(id).get(id)).toBeNull()
    await worker.scheduled({} as ScheduledController, bindings)
    expect(await listed()).toBe(false)
  })
})
