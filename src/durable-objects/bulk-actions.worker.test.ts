/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { mintId } from '../contracts/ids.ts'
import type { BulkActionInput, BulkActionRecord } from '../contracts/objects.ts'
import { deletePackets } from '../storage/run-table.ts'
import { historyOf } from './environment/archive.ts'
import { BulkActions } from './environment/bulk-actions.ts'
import type { GroupCommit } from './environment/group-commit.ts'
import type { EnvironmentState } from './environment/state.ts'
import type { EnvironmentDO } from './environment-do.ts'
import { bindings, Environment, FakeExecutors, must, until } from './testing.ts'

interface Inside {
  state: EnvironmentState
  group: GroupCommit
  bulkActions: BulkActions
}

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

function inside<T>(look: (instance: Inside) => T | Promise<T>): Promise<T> {
  return runInDurableObject<EnvironmentDO, T>(environment.stub as DurableObjectStub<EnvironmentDO>, (instance) =>
    look(instance as unknown as Inside),
  )
}

async function create(input: Omit<BulkActionInput, 'id'>): Promise<string> {
  const id = mintId('bulk', environment.identity.locator)
  return must(await environment.object.createBulkAction(environment.caller, { id, ...input })).id
}
async function read(id: string): Promise<BulkActionRecord> {
  return must(await environment.object.getBulkAction(environment.caller, id))
}
async function over(id: string): Promise<BulkActionRecord> {
  await until(async () => (await read(id)).status !== 'PENDING', 10_000)
  return read(id)
}
const later = (): number => Date.now() + 3_600_000
async function delayed(count: number, task = 'a', tags: string[] = []): Promise<string[]> {
  return Promise.all(Array.from({ length: count }, () => environment.trigger(task, { delayUntil: later(), tags })))
}
async function all(): Promise<{ id: string; status: string; replayOf?: string }[]> {
  const found: { id: string; status: string; replayOf?: string }[] = []
  for (let after: string | undefined; ; ) {
    const page = must(await environment.object.listRuns(environment.caller, { size: 100, ...(after ? { after } : {}) }))
    found.push(...page.runs)
    if (!page.next) return found
    after = page.next
  }
}

describe('a bulk cancel', () => {
  it('cancels the runs named, and counts what was over or is not there as failures', async () => {
    const ended = await environment.trigger('a')
    await until(() => executors.started(ended).length === 1)
    await environment.finish(ended)
    const [one, two] = (await delayed(2)) as [string, string]
    const executing = await environment.trigger('b')
    await until(() => executors.started(executing).length === 1)
    const id = await create({ type: 'CANCEL', name: 'tidy', runIds: [one, ended, environment.mint(), executing] })
    expect(await over(id)).toMatchObject({ status: 'COMPLETED', name: 'tidy', total: 4, success: 2, failure: 2 })
    expect(await environment.run(one)).toMatchObject({
      status: 'CANCELED',
      error: { raw: `Canceled by bulk action ${id}` },
      bulkActionIds: [id],
    })
    expect((await environment.run(executing)).status).toBe('CANCELED')
    await until(() => executors.cancelled.length === 1)
    expect((await environment.run(two)).status).toBe('DELAYED')
    expect((await environment.run(ended)).status).toBe('COMPLETED_SUCCESSFULLY')
  })

  it('takes those a filter fits when it is created, and none made later', async () => {
    await delayed(3, 'a', ['old'])
    await delayed(2, 'b', ['old'])
    const id = await create({ type: 'CANCEL', filter: { tasks: ['a'], tags: ['old'], statuses: ['DELAYED'] } })
    await delayed(1, 'a', ['old'])
    expect(await over(id)).toMatchObject({ total: 3, success: 3, failure: 0 })
    expect((await all()).map((run) => run.status).sort()).toEqual([
      'CANCELED',
      'CANCELED',
      'CANCELED',
      'DELAYED',
      'DELAYED',
      'DELAYED',
    ])
    const byAction = must(await environment.object.listRuns(environment.caller, { size: 10, bulkActionId: id }))
    expect(byAction.runs).toHaveLength(3)
    expect(await over(await create({ type: 'CANCEL', filter: { tags: ['nothing'] } }))).toMatchObject({
      status: 'COMPLETED',
      total: 0,
    })
  })
})

describe('a bulk replay', () => {
  it('makes each run once with what a replay copies, although the object is reset between pages', async () => {
    const originals: string[] = []
    for (let index = 0; index < 120; index++)
      originals.push(
        await environment.trigger('a', {
          delayUntil: later(),
          tags: [`n${index}`],
          metadata: { data: `{"n":${index}}`, dataType: 'application/json' },
          idempotencyKey: `key-${index}`,
        }),
      )
    const { step } = BulkActions.prototype
    // Slow enough to be met between two pages.
    vi.spyOn(BulkActions.prototype, 'step').mockImplementation(async function (this: BulkActions, action: string) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      await step.call(this, action)
    })
    const id = await create({ type: 'REPLAY', runIds: originals })
    let resets = 0
    // Ends the object as soon as some pages are done and some are not.
    await until(async () => {
      const { success } = await read(id)
      if (success > 0 && success < 120 && resets < 2) {
        resets += 1
        await abortAllDurableObjects()
        await environment.object.wake()
      }
      return success === 120
    }, 15_000)
    expect(resets).toBeGreaterThan(0)
    expect(await over(id)).toMatchObject({ status: 'COMPLETED', total: 120, success: 120, failure: 0 })
    const replays = (await all()).filter((run) => run.replayOf)
    expect(replays.map((run) => run.replayOf).sort()).toEqual([...originals].sort())
    const last = await environment.run(replays.find((run) => run.replayOf === originals[7])?.id as string)
    expect(last).toMatchObject({
      task: 'a',
      tags: ['n7'],
      metadata: { data: '{"n":7}' },
      payload: { data: '{"n":1}' },
      bulkActionIds: [id],
    })
    expect([last.idempotencyKey, last.delayUntil]).toEqual([undefined, undefined])
  })

  it('reads what it copies from the history, and counts a run whose data is gone as a failure', async () => {
    const [kept, gone] = (await delayed(2)) as [string, string]
    const payload = { data: '{"old":true}', dataType: 'application/json' }
    await inside(async ({ state, group }) => {
      await historyOf(bindings, environment.identity.locator, kept).put(
        [{ runId: kept, run: { payload, spans: [] } }],
        Date.now() + 60_000,
      )
      await group.decide(() => {
        for (const id of [kept, gone]) deletePackets(state.sql, id)
        return { ok: true, value: true }
      })
    })
    const id = await create({ type: 'REPLAY', runIds: [kept, gone] })
    expect(await over(id)).toMatchObject({ total: 2, success: 1, failure: 1 })
    const replay = (await all()).find((run) => run.replayOf === kept)
    expect((await environment.run(replay?.id as string)).payload).toEqual(payload)
  })

  it('is refused when three are in progress, and an aborted one makes room', async () => {
    const runIds = await delayed(1)
    vi.spyOn(BulkActions.prototype, 'step').mockResolvedValue()
    const ids = [
      await create({ type: 'REPLAY', runIds }),
      await create({ type: 'REPLAY', runIds }),
      await create({ type: 'REPLAY', runIds }),
    ]
    await expect(create({ type: 'REPLAY', runIds })).rejects.toThrow('RATE_LIMITED: At most 3 bulk replays')
    expect(await create({ type: 'CANCEL', runIds })).toMatch(/^bulk_/)
    const abort = (id: string): Promise<unknown> => environment.object.abortBulkAction(environment.caller, id)
    expect(await abort(ids[0] as string)).toEqual({ ok: true, value: { id: ids[0] } })
    expect(await create({ type: 'REPLAY', runIds })).toMatch(/^bulk_/)
    expect(await read(ids[0] as string)).toMatchObject({ status: 'ABORTED', success: 0, completedAt: expect.any(Number) })
    expect(await abort(ids[0] as string)).toMatchObject({
      ok: false,
      error: { status: 409, message: 'Bulk action is already aborted' },
    })
    expect(await abort(mintId('bulk', environment.identity.locator))).toMatchObject({ ok: false, error: { status: 404 } })
  })
})

describe('a bulk action', () => {
  it('counts a run that cannot be handled as a failure and goes on', async () => {
    const ids = await delayed(5)
    await inside(({ state }) => {
      const find = state.find.bind(state)
      vi.spyOn(state, 'find').mockImplementation((id) => {
        if (id === ids[2]) throw new Error('cannot be read')
        return find(id)
      })
    })
    const id = await create({ type: 'CANCEL', runIds: ids })
    expect(await over(id)).toMatchObject({ status: 'COMPLETED', total: 5, success: 4, failure: 1 })
  })

  it('does a page once although it is planned twice', async () => {
    const ids = await delayed(60)
    const id = await create({ type: 'CANCEL', runIds: ids })
    await inside(async ({ bulkActions }) => {
      await Promise.all([bulkActions.step(id), bulkActions.step(id), bulkActions.step(id)])
    })
    expect(await over(id)).toMatchObject({ total: 60, success: 60, failure: 0 })
  })

  it('is listed newest first, from page to page and back', async () => {
    const ids: string[] = []
    for (let index = 0; index < 5; index++) {
      ids.unshift(await create({ type: 'CANCEL', runIds: ['run_x'] }))
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    const list = async (input: { size: number; after?: string; before?: string }) =>
      must(await environment.object.listBulkActions(environment.caller, input))
    const first = await list({ size: 2 })
    expect([first.actions.map((one) => one.id), first.next, first.previous]).toEqual([ids.slice(0, 2), ids[1], undefined])
    const second = await list({ size: 2, after: ids[1] as string })
    expect([second.actions.map((one) => one.id), second.next, second.previous]).toEqual([ids.slice(2, 4), ids[3], ids[2]])
    const third = await list({ size: 2, after: ids[3] as string })
    expect([third.actions.map((one) => one.id), third.next]).toEqual([ids.slice(4), undefined])
    const back = await list({ size: 2, before: ids[2] as string })
    expect([back.actions.map((one) => one.id), back.previous]).toEqual([ids.slice(0, 2), undefined])
  })
})
