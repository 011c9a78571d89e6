/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { mintId } from '../contracts/ids.ts'
import type { DirectoryObject } from '../contracts/objects.ts'
import { getMetadata, getRun, getTrace, listRuns } from '../operations/runs.ts'
import worker from '../worker.ts'
import type { Archive } from './environment/archive.ts'
import type { GroupCommit } from './environment/group-commit.ts'
import type { EnvironmentState } from './environment/state.ts'
import type { EnvironmentDO } from './environment-do.ts'
import { bindings, Environment, FakeExecutors, must, newVersion, until } from './testing.ts'

interface Inside {
  state: EnvironmentState
  group: GroupCommit
  archive: Archive
}

let executors: FakeExecutors
let environment: Environment

beforeEach(async () => {
  executors = new FakeExecutors()
  environment = new Environment(executors)
  await environment.deploy('a', 'b')
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

function inside<T>(look: (instance: Inside, storage: DurableObjectStorage) => T | Promise<T>): Promise<T> {
  return runInDurableObject<EnvironmentDO, T>(environment.stub as DurableObjectStub<EnvironmentDO>, (instance, state) =>
    look(instance as unknown as Inside, state.storage),
  )
}

const failure = { ok: false, error: { type: 'BUILT_IN_ERROR', name: 'Error', message: 'no', stackTrace: '' } } as const

describe('a run', () => {
  it('is started once and ends once', async () => {
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    expect((await environment.run(id)).status).toBe('EXECUTING')
    expect((await environment.finish(id)).ok).toBe(true)
    const run = await environment.run(id)
    expect([run.status, run.output?.data, run.attemptNumber]).toEqual(['COMPLETED_SUCCESSFULLY', '1', 1])
    expect(await inside(({ state }) => [state.live.size, state.slots.size, state.admission.running])).toEqual([0, 0, 0])
  })

  it('ends once although it is reported twice', async () => {
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    const [start] = executors.started(id)
    await environment.finish(id)
    const again = await environment.finishLease(start as never, failure)
    expect(again).toMatchObject({ ok: false, error: { code: 'STALE_LEASE' } })
    expect((await environment.run(id)).status).toBe('COMPLETED_SUCCESSFULLY')
  })

  it('is tried again after a failure, with a new lease and the next attempt number', async () => {
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    await environment.finish(id, { ...failure, retry: { timestamp: Date.now() + 20, delay: 20 } })
    await until(() => executors.started(id).length === 2)
    const [first, second] = executors.started(id)
    expect([first?.attempt, second?.attempt]).toEqual([1, 2])
    expect(second?.lease).toBeGreaterThan(first?.lease as number)
    await environment.finish(id, failure)
    expect((await environment.run(id)).status).toBe('COMPLETED_WITH_ERRORS')
  })

  it('is found again by its operation, also after a reset and after its end', async () => {
    const first = environment.mint()
    await environment.trigger('a', {}, first, 'operation-1')
    expect(await environment.trigger('a', {}, environment.mint(), 'operation-1')).toBe(first)
    await until(() => executors.started(first).length === 1)
    await environment.finish(first)
    await abortAllDurableObjects()
    expect(await environment.trigger('a', {}, environment.mint(), 'operation-1')).toBe(first)
    expect(executors.starts).toHaveLength(1)
  })

  it('is refused to a revoked key and to a run that was given to another start', async () => {
    await environment.object.setKeyEpoch(2)
    expect(await environment.object.getRun(environment.caller, environment.mint())).toMatchObject({
      ok: false,
      error: { code: 'KEY_REVOKED' },
    })
    await abortAllDurableObjects()
    const refused = await environment.object.listRuns(environment.caller, { size: 1 })
    expect(refused).toMatchObject({ ok: false, error: { code: 'KEY_REVOKED', status: 401 } })
  })
})

describe('a reset between any two steps', () => {
  const steps = ['trigger parent', 'trigger child', 'finish child', 'wait for token', 'complete token', 'finish parent'] as const

  for (let cut = 0; cut <= steps.length; cut++) {
    it(`${cut === 0 ? 'before all' : `after "${steps[cut - 1]}"`} loses nothing and starts nothing twice`, async () => {
      const parent = environment.mint()
      const child = environment.mint()
      const token = mintId('waitpoint', environment.identity.locator)
      const act: Record<(typeof steps)[number], () => Promise<unknown>> = {
        'trigger parent': async () => {
          await environment.trigger('a', {}, parent)
          await until(() => executors.started(parent).length === 1)
        },
        'trigger child': async () => {
          await environment.trigger('b', { parentRunId: parent, resumeParentOnCompletion: true }, child)
          await until(() => executors.started(child).length === 1)
          expect((await environment.run(parent)).status).toBe('WAITING_TO_RESUME')
        },
        'finish child': async () => {
          await environment.finish(child, { ok: true, output: '"from the child"' })
          await until(() => executors.resumed.length === 1)
        },
        'wait for token': async () => {
          must(await environment.object.createToken(environment.caller, { id: token }))
          must(await environment.object.waitForToken(environment.caller, parent, token))
        },
        'complete token': async () => {
          const output = { data: '"yes"', dataType: 'application/json' }
          must(await environment.object.completeToken(environment.caller, token, output))
          await until(() => executors.resumed.length === 2)
        },
        'finish parent': () => environment.finish(parent),
      }
      for (const [index, step] of steps.entries()) {
        if (index === cut) await abortAllDurableObjects()
        await act[step]()
      }
      if (cut === steps.length) await abortAllDurableObjects()
      await environment.object.wake()
      const runs = [await environment.run(parent), await environment.run(child)]
      expect(runs.map((run) => [run.status, run.attemptNumber])).toEqual([
        ['COMPLETED_SUCCESSFULLY', 1],
        ['COMPLETED_SUCCESSFULLY', 1],
      ])
      expect(executors.starts).toHaveLength(2)
      expect(executors.resumed.map(({ waitpoints }) => waitpoints.map((waitpoint) => waitpoint.output))).toEqual([
        ['"from the child"'],
        ['"yes"'],
      ])
      expect(await inside(({ state }) => [state.live.size, state.slots.size, state.admission.running])).toEqual([0, 0, 0])
    })
  }

  it('lets a batch be filled and its parent go on', async () => {
    const parent = await environment.trigger('a')
    await until(() => executors.started(parent).length === 1)
    const batchId = mintId('batch', environment.identity.locator)
    const created = { batchId, operationId: 'batch-1', runCount: 2, parentRunId: parent, resumeParentOnCompletion: true }
    must(await environment.object.createBatch(environment.caller, created))
    const payload = { data: '1', dataType: 'application/json' }
    const items = [0, 1].map((index) => ({
      index,
      runId: environment.mint(),
      operationId: `batch-1-${index}`,
      task: 'b',
      options: { payload },
    }))
    for (const item of items) {
      await abortAllDurableObjects()
      must(await environment.object.addBatchItems(environment.caller, batchId, [item]))
      // A repeated request adds nothing.
      must(await environment.object.addBatchItems(environment.caller, batchId, [{ ...item, runId: environment.mint() }]))
    }
    for (const item of items) {
      await until(() => executors.started(item.runId).length === 1)
      await abortAllDurableObjects()
      await environment.finish(item.runId)
    }
    await until(() => executors.resumed.length === 1)
    expect(executors.resumed[0]?.waitpoints.map((waitpoint) => waitpoint.index)).toEqual([0, 1])
    expect(must(await environment.object.getBatch(environment.caller, batchId)).status).toBe('COMPLETED')
    expect(executors.starts).toHaveLength(3)
  })
})

describe('executor slots', () => {
  it('take eight runs that execute, and more while some wait', async () => {
    const ids = await Promise.all(Array.from({ length: 9 }, () => environment.trigger('a')))
    await until(() => executors.starts.length === 9)
    expect(executors.starts.map((start) => start.shard)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1])
    const until1h = { waitpointId: mintId('waitpoint', environment.identity.locator), until: Date.now() + 3_600_000 }
    for (const id of ids.slice(0, 3)) must(await environment.object.waitForDuration(environment.caller, id, until1h))
    await abortAllDurableObjects()
    const more = await Promise.all(Array.from({ length: 4 }, () => environment.trigger('a')))
    await until(() => executors.starts.length === 13)
    expect(more.map((id) => executors.started(id)[0]?.shard)).toEqual([0, 0, 0, 1])
  })
})

describe('variables', () => {
  it('reach runs, also after a reset, and lie encrypted', async () => {
    await environment.object.setVariables(environment.identity, { TOKEN: 'plain-secret-value' })
    await Promise.all([1, 2].map((n) => environment.object.setVariables(environment.identity, { TOKEN: `plain-secret-${n}` })))
    await abortAllDurableObjects()
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    expect(executors.started(id)[0]?.variables).toEqual({ TOKEN: 'plain-secret-2' })
    const stored = await inside(({ state }) => JSON.stringify(state.sql.exec('SELECT * FROM settings').toArray()))
    expect(stored).toContain('variables')
    expect(stored).not.toContain('plain-secret')
  })
})

describe('leases', () => {
  it('a start that never arrives is given out again as the same attempt', async () => {
    executors.faults = ['never arrives']
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    expect(executors.started(id)[0]?.attempt).toBe(1)
    await environment.finish(id)
    expect((await environment.run(id)).attemptNumber).toBe(1)
  })

  it('a start whose answer is lost is superseded, and the old lease refused', async () => {
    executors.faults = ['answer lost']
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 2)
    const [old, current] = executors.started(id)
    expect([old?.attempt, current?.attempt]).toEqual([1, 1])
    expect(executors.released).toEqual([old?.lease])
    expect(await environment.finishLease(old as never)).toMatchObject({ ok: false, error: { code: 'STALE_LEASE' } })
    expect((await environment.run(id)).status).toBe('EXECUTING')
    const caller = { ...environment.caller, run: { runId: id, lease: old?.lease as number } }
    expect(await environment.object.addTags(caller, id, ['late'])).toMatchObject({ ok: false, error: { code: 'STALE_LEASE' } })
    expect((await environment.finishLease(current as never)).ok).toBe(true)
  })

  it('an executor that does not confirm the end of a session gets nothing new', async () => {
    executors.faults = ['answer lost']
    executors.stuck.add(0)
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 2)
    const [old, current] = executors.started(id)
    expect([old?.shard, current?.shard]).toEqual([0, 1])
    executors.stuck.clear()
    await inside((instance) =>
      (instance as never as { executors: { confirm(s: unknown): Promise<void> } }).executors.confirm(instance.state),
    )
    const next = await environment.trigger('a')
    await until(() => executors.started(next).length === 1)
    expect(executors.started(next)[0]?.shard).toBe(0)
  })

  it('a session nobody serves any more is found after a reset, and its run starts again', async () => {
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    executors.sessions.clear()
    await abortAllDurableObjects()
    await environment.object.wake()
    await until(() => executors.started(id).length === 2)
    expect(executors.started(id).map((start) => start.attempt)).toEqual([1, 1])
  })

  it('lost twice in a row, the run waits a little: an outage of a second fails nothing', async () => {
    executors.faults = ['never arrives', 'never arrives']
    const begun = Date.now()
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    expect(Date.now() - begun).toBeGreaterThan(900)
    expect(executors.started(id)[0]?.attempt).toBe(1)
  })

  it('a run whose shared isolate was killed starts again alone', async () => {
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    const [start] = executors.started(id)
    await environment.object.finish({
      runId: id,
      attempt: 1,
      lease: start?.lease as number,
      lost: { reason: 'its isolate was killed', alone: true },
      spans: [],
    })
    await until(() => executors.started(id).length === 2)
    const other = await environment.trigger('a')
    await until(() => executors.started(other).length === 1)
    expect(executors.started(id)[1]?.shard).toBeGreaterThanOrEqual(1_000_000)
    expect(executors.started(other)[0]?.shard).toBe(0)
  })

  it('a cancelled run is CANCELED at once; its slot waits for the executor', async () => {
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    must(await environment.object.cancelRun(environment.caller, id))
    expect((await environment.run(id)).status).toBe('CANCELED')
    expect(await inside(({ state }) => state.admission.running)).toBe(1)
    await until(() => executors.cancelled.length === 1)
    await environment.finish(id, failure)
    expect((await environment.run(id)).status).toBe('CANCELED')
    expect(await inside(({ state }) => [state.admission.running, state.slots.size])).toEqual([0, 0])
  })
})

describe('time', () => {
  it('hints that come twice, or for nothing, start nothing', async () => {
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    const hint = { body: { environment: `${environment.identity.locator}:0` } }
    await Promise.all([1, 2, 3].map(() => worker.queue({ messages: [hint, hint] } as never, bindings)))
    expect(executors.starts).toHaveLength(1)
  })

  it('an alarm that comes late starts what was due meanwhile', async () => {
    const ids = await Promise.all([1, 2].map(() => environment.trigger('a', { delayUntil: Date.now() + 50 })))
    await inside((_, storage) => storage.deleteAlarm())
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(executors.starts).toHaveLength(0)
    await inside((_, storage) => storage.setAlarm(Date.now() + 1))
    await until(() => ids.every((id) => executors.started(id).length === 1))
  })

  it('an alarm deleted behind its back is made good by the minute cron, also after a reset', async () => {
    const id = await environment.trigger('a', { delayUntil: Date.now() + 50 })
    await inside((_, storage) => storage.deleteAlarm())
    await abortAllDurableObjects()
    await new Promise((resolve) => setTimeout(resolve, 100))
    await worker.scheduled({} as ScheduledController, bindings)
    await until(() => executors.started(id).length === 1)
  })

  it('the cron forgets an environment that waits for nothing, until it waits again', async () => {
    const name = `${environment.identity.locator}:0`
    const isNoted = async (): Promise<boolean> => {
      const directory = bindings.DIRECTORY.get(bindings.DIRECTORY.idFromName('directory')) as unknown as DirectoryObject
      return (await directory.listTimers()).some((timer) => timer.name === name)
    }
    const id = await environment.trigger('a', { delayUntil: Date.now() + 3_600_000 })
    await until(isNoted)
    await worker.scheduled({} as ScheduledController, bindings)
    expect(await isNoted()).toBe(true)
    await inside(async ({ state }, storage) => {
      for (const table of ['runs', 'packets']) state.sql.exec(`DELETE FROM ${table}`)
      await storage.deleteAlarm()
    })
    await abortAllDurableObjects()
    await worker.scheduled({} as ScheduledController, bindings)
    expect(await isNoted()).toBe(false)
    await environment.trigger('a', { delayUntil: Date.now() + 3_600_000 }, id, 'again')
    await until(isNoted)
  })

  it('a due item that fails is put off, and the others are done', async () => {
    const errors = vi.spyOn(console, 'error').mockImplementation(() => {})
    const bad = await environment.trigger('a', { delayUntil: Date.now() + 500 })
    const good = await environment.trigger('a', { delayUntil: Date.now() + 500 })
    await inside(({ state }) => {
      ;(state.live.get(bad) as { tags: unknown }).tags = {
        toJSON: () => {
          throw new Error('poison')
        },
      }
      state.sql.exec(`UPDATE runs SET data = json_set(data, '$.status', 'NO_SUCH_STATUS') WHERE id = ?`, bad)
    })
    await until(() => executors.started(good).length === 1)
    expect(executors.started(bad)).toHaveLength(0)
    // Put off, not tried in a loop.
    const calls = errors.mock.calls.length
    expect(calls).toBeGreaterThan(0)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(errors.mock.calls.length).toBe(calls)
  })
})

describe('group commit', () => {
  it('one failing call takes nothing with it', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const ids = [environment.mint(), environment.mint()]
    const outcomes = await inside(async ({ group, state }) => {
      const bad = group.decide(() => {
        state.sql.exec("INSERT INTO settings VALUES ('half', '1')")
        throw new Error('a bug')
      })
      const good = ids.map((id) => environment.trigger('a', {}, id))
      return Promise.allSettled([bad, ...good])
    })
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
    expect(await inside(({ state }) => state.sql.exec("SELECT * FROM settings WHERE name = 'half'").toArray())).toEqual([])
    await until(() => ids.every((id) => executors.started(id).length === 1))
  })
})

describe('a queue of callers that is too long', () => {
  it('turns new ones away, and loses nothing of what the object has to do itself', async () => {
    const running = await environment.trigger('a')
    await until(() => executors.started(running).length === 1)
    const delayUntil = Date.now() + 300
    const delayed = await environment.trigger('a', { delayUntil })
    const refused = await runInDurableObject(
      environment.stub as DurableObjectStub<EnvironmentDO>,
      async (instance, { storage }) => {
        const { group } = instance as unknown as Inside
        // Only the wake below can start what is due.
        await storage.deleteAlarm()
        await until(() => Date.now() > delayUntil)
        for (let call = 0; call < 2_000; call++) void group.decide(() => ({ ok: true, value: call }))
        const payload = { data: '1', dataType: 'application/json' }
        const runId = environment.mint()
        const answers = Promise.all([
          instance.trigger(environment.caller, { runId, operationId: runId, task: 'a', options: { payload } }),
          instance.setVersion(environment.identity, newVersion(['a', 'b'], '20260101.2'), {}),
          instance.finish({
            runId: running,
            attempt: 1,
            lease: executors.started(running)[0]?.lease as number,
            spans: [],
            completion: { ok: true, id: running },
          }),
          instance.wake(),
        ])
        return (await answers)[0]
      },
    )
    expect(refused).toMatchObject({ ok: false, error: { code: 'OVERLOADED', retryable: true } })
    expect((await environment.run(running)).status).toBe('COMPLETED_SUCCESSFULLY')
    await until(() => executors.started(delayed).length === 1)
    const later = await environment.trigger('b')
    await until(() => executors.started(later).length === 1)
    expect((await environment.run(later)).version).toBe('20260101.2')
  })
})

describe('history', () => {
  const hours = (count: number): number => Date.now() + count * 3_600_000
  const pass = (now: number): Promise<number | undefined> => inside(({ archive }) => archive.pass(now))
  const packetRows = (): Promise<number> => inside(({ state }) => state.sql.exec('SELECT 1 FROM packets').toArray().length)

  it('takes a final run after an hour, and readers notice nothing', async () => {
    const metadata = { data: '{"k":"v"}', dataType: 'application/json' }
    const id = await environment.trigger('a', { metadata })
    await until(() => executors.started(id).length === 1)
    const [start] = executors.started(id)
    await environment.object.finish({
      runId: id,
      attempt: 1,
      lease: start?.lease as number,
      completion: { ok: true, id, output: '"out"', outputType: 'application/json' },
      spans: [
        {
          kind: 'log',
          traceId: 't',
          spanId: 's',
          name: 'line',
          startTime: '1',
          level: 'LOG',
          isError: false,
          isPartial: false,
          attempt: 1,
        },
      ],
    })
    const read = async () => {
      const { updatedAt: _at, archived: _flag, ...run } = await getRun(bindings, environment.caller, id)
      const trace = await getTrace(bindings, environment.caller, id)
      const list = await listRuns(bindings, environment.caller, { size: 10 })
      return [run, trace.spans, await getMetadata(bindings, environment.caller, id), list.runs.map((item) => item.metadata)]
    }
    const before = await read()
    await pass(hours(0.5))
    expect(await packetRows()).toBe(1)
    await pass(hours(2))
    expect(await packetRows()).toBe(0)
    expect(await read()).toEqual(before)
    expect(before[2]).toEqual({ k: 'v' })
  })

  it('keeps what a live parent may still read', async () => {
    const parent = await environment.trigger('a')
    await until(() => executors.started(parent).length === 1)
    const child = await environment.trigger('b', { parentRunId: parent })
    await until(() => executors.started(child).length === 1)
    await environment.finish(child)
    await pass(hours(2))
    expect((await environment.run(child)).archived).toBeUndefined()
    await environment.finish(parent)
    await pass(hours(2))
    expect((await environment.run(child)).archived).toBe(true)
  })

  it('gives an archived result to a run that waits for it by its idempotency key', async () => {
    const child = await environment.trigger('b', { idempotencyKey: 'k' })
    await until(() => executors.started(child).length === 1)
    await environment.finish(child, { ok: true, output: '"kept"', outputType: 'application/json' })
    await pass(hours(2))
    const parent = await environment.trigger('a')
    await until(() => executors.started(parent).length === 1)
    await environment.trigger('b', { idempotencyKey: 'k', parentRunId: parent, resumeParentOnCompletion: true })
    await until(() => executors.resumed.length === 1)
    expect(executors.resumed[0]?.waitpoints[0]).toMatchObject({ output: '"kept"', outputIsError: false })
  })

  it('moves a run only when the history has taken it', async () => {
    const id = await environment.trigger('a')
    await until(() => executors.started(id).length === 1)
    await environment.finish(id)
    const outcome = await inside(async ({ archive }) => {
      const broken = archive as never as { env: { HISTORY: unknown } }
      const original = broken.env
      broken.env = {
        ...original,
        HISTORY: { idFromName: () => '', get: () => ({ put: () => Promise.reject(new Error('down')) }) },
      }
      const failed = await archive.pass(hours(2)).then(
        () => 'done',
        () => 'failed',
      )
      broken.env = original
      return failed
    })
    expect([outcome, await packetRows()]).toEqual(['failed', 1])
    await pass(hours(2))
    expect(await packetRows()).toBe(0)
  })

  it('deletes everything of a run at the end of its retention', async () => {
    const id = await environment.trigger('a', { idempotencyKey: 'old' })
    await until(() => executors.started(id).length === 1)
    await environment.finish(id)
    const live = await environment.trigger('a')
    await pass(hours(24 * 29))
    expect((await environment.run(id)).status).toBe('COMPLETED_SUCCESSFULLY')
    await pass(hours(24 * 31))
    expect(await environment.object.getRun(environment.caller, id)).toMatchObject({ ok: false, error: { status: 404 } })
    expect((await environment.run(live)).status).toBe('EXECUTING')
    expect(await environment.trigger('a', { idempotencyKey: 'old' })).not.toBe(id)
  })
})
