/** Runs that a process elsewhere executes: what holds when the object is reset, nobody answers, or nobody asks. */
/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { DequeuedRun, StartedAttempt } from '../contracts/engine.ts'
import type { Completion, SpanRecord, WorkerVersion } from '../contracts/rpc.ts'
import { heardWithin, startWithinMs } from '../core/run/snapshots.ts'
import { Environment, FakeExecutors, must, newVersion, until } from './testing.ts'

let executors: FakeExecutors
let environment: Environment
let clock = 0

beforeEach(async () => {
  executors = new FakeExecutors()
  environment = new Environment(executors)
  environment.identity.type = 'DEVELOPMENT'
  environment.identity.slug = 'dev'
  clock = 0
  const { now } = Date
  vi.spyOn(Date, 'now').mockImplementation(() => now() + clock)
  await register('20260101.1', 'worker_1')
})
afterEach(() => vi.restoreAllMocks())

async function register(version: string, workerId: string): Promise<void> {
  const built: WorkerVersion = { ...newVersion(['a', 'b'], version), workerId, remote: true }
  await environment.object.setVersion(environment.identity, built, { SECRET: 'value' })
}
let polls = 0
const ask = async (worker = 'worker_1', holdMs = 1_000): Promise<DequeuedRun[]> =>
  must(await environment.object.dequeueRuns(environment.caller, { worker, pollId: `poll ${polls++}`, holdMs }))
const begin = async ({ run, snapshot }: DequeuedRun): Promise<StartedAttempt> =>
  must(await environment.object.startAttempt(environment.caller, run.id, snapshot.id))
const end = (
  runId: string,
  snapshotId: string,
  more: Partial<Completion> = {},
): ReturnType<typeof environment.object.completeAttempt> =>
  environment.object.completeAttempt(environment.caller, runId, snapshotId, { ok: true, id: runId, output: '1', ...more })
const latest = async (runId: string) => must(await environment.object.latestSnapshot(environment.caller, runId))
async function pass(ms: number): Promise<void> {
  clock += ms
  await environment.object.wake()
}

async function begun(): Promise<StartedAttempt> {
  const asked = ask()
  await environment.trigger('a')
  const [run] = (await asked) as [DequeuedRun]
  return begin(run)
}

describe('a reset', () => {
  it('between any two steps changes nothing for the executor', async () => {
    const asked = ask()
    const id = await environment.trigger('a')
    const [run] = (await asked) as [DequeuedRun]
    await abortAllDurableObjects()
    const { snapshot, execution, variables } = await begin(run)
    expect(execution).toMatchObject({ run: { id }, attempt: { number: 1 }, environment: { type: 'DEVELOPMENT' } })
    expect(execution.deployment).toBeUndefined()
    expect(variables).toEqual({ SECRET: 'value' })
    await abortAllDurableObjects()
    expect((await begin(run)).snapshot).toEqual(snapshot)
    const until = Date.now() + 50
    must(await environment.object.waitForDuration(environment.caller, id, { waitpointId: 'waitpoint_1', until }))
    await abortAllDurableObjects()
    expect((await latest(id)).snapshot.executionStatus).toBe('EXECUTING_WITH_WAITPOINTS')
    await pass(100)
    expect(await latest(id)).toMatchObject({
      snapshot: { executionStatus: 'EXECUTING' },
      completedWaitpoints: [{ type: 'DATETIME', friendlyId: 'waitpoint_1' }],
    })
    await abortAllDurableObjects()
    expect((await latest(id)).completedWaitpoints).toHaveLength(1)
    const done = must(await end(id, snapshot.id))
    await abortAllDurableObjects()
    expect(must(await end(id, snapshot.id, { output: '2' }))).toEqual(done)
    expect(await environment.run(id)).toMatchObject({ status: 'COMPLETED_SUCCESSFULLY', output: { data: '1' }, attemptNumber: 1 })
    expect(executors.starts).toEqual([])
  })
})

describe('a run nobody started', () => {
  it('goes back into the queue, and its old snapshot is refused', async () => {
    const asked = ask()
    const id = await environment.trigger('a')
    const [old] = (await asked) as [DequeuedRun]
    expect((await environment.run(id)).status).toBe('DEQUEUED')
    await pass(startWithinMs + 1_000)
    expect(await environment.run(id)).toMatchObject({ status: 'PENDING', attemptNumber: 0 })
    const [again] = (await ask()) as [DequeuedRun]
    expect(again.run.id).toBe(id)
    expect(again.snapshot.id).not.toBe(old.snapshot.id)
    expect((await environment.object.startAttempt(environment.caller, id, old.snapshot.id)).ok).toBe(false)
    expect((await begin(again)).run.attemptNumber).toBe(1)
  })
})

describe('a process', () => {
  it('that is heard of keeps its run; one that is not loses it, and nothing it says later counts', async () => {
    const { run, snapshot } = await begun()
    await pass(heardWithin(true) - 10_000)
    must(await environment.object.heartbeat(environment.caller, run.id))
    await pass(heardWithin(true) - 10_000)
    expect((await environment.run(run.id)).status).toBe('EXECUTING')
    await pass(20_000)
    expect(await environment.run(run.id)).toMatchObject({
      status: 'CANCELED',
      error: { type: 'INTERNAL_ERROR', code: 'TASK_RUN_STALLED_EXECUTING' },
    })
    expect((await end(run.id, snapshot.id)).ok).toBe(false)
    expect((await latest(run.id)).snapshot.executionStatus).toBe('FINISHED')
  })

  it('may be silent for as long after a reset', async () => {
    const { run } = await begun()
    await pass(heardWithin(true) - 10_000)
    await abortAllDurableObjects()
    await environment.object.wake()
    await pass(startWithinMs + 1_000)
    expect((await environment.run(run.id)).status).toBe('EXECUTING')
    await pass(heardWithin(true) + 1_000)
    expect((await environment.run(run.id)).status).toBe('CANCELED')
  })
})

describe('nobody asks', () => {
  it('and the run waits in its queue, and says why', async () => {
    const id = await environment.trigger('a')
    expect(await environment.run(id)).toMatchObject({
      status: 'PENDING',
      waitingReason: expect.stringContaining('neither a session of `trigger.dev dev` nor a Node host asks'),
    })
    expect((await ask()).map(({ run }) => run.id)).toEqual([id])
  })

  it('and what waited goes on all the same', async () => {
    const { run } = await begun()
    must(await environment.object.waitForDuration(environment.caller, run.id, { waitpointId: 'w', until: Date.now() + 20 }))
    await environment.trigger('a')
    await pass(100)
    expect((await latest(run.id)).snapshot.executionStatus).toBe('EXECUTING')
  })

  it('and the question of a client that left gets nothing', async () => {
    const asked = environment.object.dequeueRuns(environment.caller, { worker: 'worker_1', pollId: 'gone', holdMs: 10_000 })
    await until(async () => must(await environment.object.isDevConnected(environment.caller)))
    await environment.object.stopDequeue('gone')
    expect(must(await asked)).toEqual([])
    const id = await environment.trigger('a')
    expect((await environment.run(id)).status).toBe('PENDING')
  })
})

describe('many runs', () => {
  it('come ten at a time, up to the limit of their queue', async () => {
    const ids = []
    for (let i = 0; i < 14; i++) ids.push(await environment.trigger('a'))
    const narrow: string[] = []
    for (let i = 0; i < 3; i++) narrow.push(await environment.trigger('b', { queue: 'narrow' }))
    const [first, second] = [await ask(), await ask()]
    expect([first.length, second.length]).toEqual([10, 6])
    const given = [...first, ...second].map(({ run }) => run.id)
    expect(given.filter((id) => narrow.includes(id))).toHaveLength(2)
    expect(new Set(given).size).toBe(16)
    const one = [...first, ...second].find(({ run }) => narrow.includes(run.id)) as DequeuedRun
    const next = ask()
    must(await end(one.run.id, (await begin(one)).snapshot.id))
    expect((await next).map(({ run }) => run.id)).toEqual(narrow.filter((id) => !given.includes(id)))
  })
})

describe('spans', () => {
  it('are shown at once and stored behind; those of runs that are not here are dropped', async () => {
    const { run, snapshot } = await begun()
    const span = (name: string): SpanRecord => ({
      kind: 'span',
      traceId: 't',
      spanId: name,
      name,
      startTime: '1',
      level: 'TRACE',
      isError: false,
      isPartial: false,
      attempt: 1,
    })
    const add = (name: string): Promise<unknown> =>
      environment.object.addSpans(environment.caller, { [run.id]: [span(name)], run_other: [span('x')] })
    const shown = async (): Promise<string[]> =>
      must(await environment.object.getTrace(environment.caller, run.id)).spans.map((each) => each.name)
    await add('first')
    expect(await shown()).toEqual(['first'])
    must(await end(run.id, snapshot.id))
    await abortAllDurableObjects()
    expect(await shown()).toEqual(['first'])
    await add('late')
    await until(async () => (await shown()).length === 2)
    await scheduler.wait(2_500)
    await abortAllDurableObjects()
    expect(await shown()).toEqual(['first', 'late'])
  })
})
