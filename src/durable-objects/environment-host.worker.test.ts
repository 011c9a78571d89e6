/** Runs for a Node host: who gets them, and what happens when the host or its process is gone. */
/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { DequeuedRun, StartedAttempt } from '../contracts/engine.ts'
import { nodeHostWorker } from '../contracts/node-host.ts'
import type { WorkerVersion } from '../contracts/rpc.ts'
import { heardWithin, startWithinMs } from '../core/run/snapshots.ts'
import { Environment, FakeExecutors, must, newVersion } from './testing.ts'

let executors: FakeExecutors
let environment: Environment
let clock = 0

beforeEach(async () => {
  executors = new FakeExecutors()
  environment = new Environment(executors)
  clock = 0
  const { now } = Date
  vi.spyOn(Date, 'now').mockImplementation(() => now() + clock)
  const version: WorkerVersion = newVersion(['here', 'there'])
  for (const task of version.tasks) if (task.id === 'there') task.host = 'node'
  await environment.object.setVersion(environment.identity, version, { SECRET: 'value' })
})
afterEach(() => vi.restoreAllMocks())

let polls = 0
const ask = async (most = 10, holdMs = 1_000): Promise<DequeuedRun[]> =>
  must(
    await environment.object.dequeueRuns(environment.caller, {
      worker: nodeHostWorker,
      pollId: `host ${polls++}`,
      holdMs,
      most,
    }),
  )
const begin = async ({ run, snapshot }: DequeuedRun): Promise<StartedAttempt> =>
  must(await environment.object.startAttempt(environment.caller, run.id, snapshot.id))
const giveBack = async ({ run, snapshot }: DequeuedRun): Promise<boolean> =>
  must(await environment.object.giveBackRun(environment.caller, run.id, snapshot.id, 'its process is gone')).requeued
const heartbeat = async (id: string): Promise<unknown> => must(await environment.object.heartbeat(environment.caller, id))
async function pass(ms: number): Promise<void> {
  clock += ms
  await environment.object.wake()
}
async function given(): Promise<DequeuedRun> {
  const asked = ask()
  await environment.trigger('there')
  return (await asked)[0] as DequeuedRun
}

describe('a Node host', () => {
  it('gets the tasks that need Node, no more than it asks for, and leaves the others to isolates', async () => {
    const here = await environment.trigger('here')
    const there = [await environment.trigger('there'), await environment.trigger('there'), await environment.trigger('there')]
    expect((await ask(2)).map(({ run }) => run.id)).toEqual(there.slice(0, 2))
    const [last] = (await ask(2)) as [DequeuedRun]
    expect(last).toMatchObject({ run: { id: there[2] }, deploymentId: 'deployment_1', worker: { version: '20260101.1' } })
    const { execution, variables } = await begin(last)
    expect(execution).toMatchObject({ deployment: { id: 'deployment_1' }, environment: { type: 'PRODUCTION' } })
    expect(variables).toEqual({ SECRET: 'value' })
    expect(executors.starts.map((start) => start.runId)).toEqual([here])
  })

  it('that prepares a version says so and keeps the run; one that is silent loses it', async () => {
    const run = await given()
    await pass(startWithinMs - 5_000)
    await heartbeat(run.run.id)
    await pass(startWithinMs - 5_000)
    expect((await environment.run(run.run.id)).status).toBe('DEQUEUED')
    await pass(startWithinMs)
    expect(await environment.run(run.run.id)).toMatchObject({ status: 'PENDING', attemptNumber: 0 })
    expect(await giveBack(run)).toBe(false)
  })

  it('whose process is not heard of any more: the same attempt again, for whoever asks', async () => {
    const run = await given()
    const { snapshot } = await begin(run)
    await pass(heardWithin(false) - 10_000)
    await heartbeat(run.run.id)
    await pass(heardWithin(false) - 10_000)
    expect((await environment.run(run.run.id)).status).toBe('EXECUTING')
    await pass(20_000)
    const [again] = (await ask()) as [DequeuedRun]
    expect(again.run).toMatchObject({ id: run.run.id, attemptNumber: 0 })
    expect((await begin(again)).execution).toMatchObject({ attempt: { number: 1 } })
    const completion = { ok: true, id: run.run.id, output: '1' } as const
    const late = await environment.object.completeAttempt(environment.caller, run.run.id, snapshot.id, completion)
    expect(late.ok, 'what the lost process says does not count').toBe(false)
    expect((await environment.run(run.run.id)).status).toBe('EXECUTING')
  })

  it('gives back what it has not started and what it has, once, and nothing that is somebody else’s', async () => {
    const first = await given()
    expect(await giveBack(first)).toBe(true)
    expect(await giveBack(first)).toBe(false)
    const [second] = (await ask()) as [DequeuedRun]
    await begin(second)
    expect(await giveBack(first)).toBe(false)
    await abortAllDurableObjects()
    expect(await giveBack(second)).toBe(true)
    expect(await environment.run(second.run.id)).toMatchObject({ status: 'PENDING', attemptNumber: 0 })
    const [third] = (await ask()) as [DequeuedRun]
    const { snapshot } = await begin(third)
    const completion = { ok: true, id: third.run.id, output: '1' } as const
    must(await environment.object.completeAttempt(environment.caller, third.run.id, snapshot.id, completion))
    expect(await giveBack(third)).toBe(false)
    expect(await environment.run(third.run.id)).toMatchObject({ status: 'COMPLETED_SUCCESSFULLY', attemptNumber: 1 })
  })

  it('that gives back a cancelled run ends it', async () => {
    const run = await given()
    await begin(run)
    must(await environment.object.cancelRun(environment.caller, run.run.id))
    expect(await giveBack(run)).toBe(true)
    expect((await environment.run(run.run.id)).status).toBe('CANCELED')
    await environment.trigger('there')
    expect(await ask()).toHaveLength(1)
  })
})
