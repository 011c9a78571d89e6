/**
 * A seeded random walk over one environment: everything callers and executors may do, in any order, with resets and lost
 * messages in between. After each step the books must balance, and in the end every run has ended exactly once.
 */
/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, expect, it, vi } from 'vitest'
import { mintId } from '../contracts/ids.ts'
import type { StartInput, TriggerOptions } from '../contracts/rpc.ts'
import { isFinal } from '../core/run/statuses.ts'
import type { EnvironmentState } from './environment/state.ts'
import type { EnvironmentDO } from './environment-do.ts'
import { Environment, FakeExecutors, must, newVersion, until } from './testing.ts'

const steps = 140
/** Declared are two; overrides go from one to this. */
const mostOfNarrow = 3

function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 0x1_0000_0000
  }
}

afterEach(() => vi.restoreAllMocks())

it.each([1, 2, 3, 4, 5, 6])('seed %i', async (seed) => {
  const random = seeded(seed)
  const pick = <T>(list: T[]): T | undefined => list[Math.floor(random() * list.length)]
  const executors = new FakeExecutors()
  const environment = new Environment(executors)
  const { caller, object: _first } = environment
  const version = newVersion(['a', 'b'])
  const isLimited = seed % 2 === 0
  if (isLimited) Object.assign(version.tasks[0] as object, { rateLimit: { limit: 5, period: '1s' } })
  await environment.object.setVersion(environment.identity, version, {})

  const runs: string[] = []
  const tokens: string[] = []
  const ended = new Map<string, string>()
  /** Starts the executor still works on. */
  const open = (): StartInput[] => [...executors.sessions.values()].map((session) => session.input)

  function debounce(): TriggerOptions['debounce'] {
    const mode = random() < 0.5 ? ('leading' as const) : ('trailing' as const)
    const delayMs = random() * 80
    return { key: `d${Math.floor(random() * 3)}`, delayMs, mode, ...(random() < 0.3 ? { maxDelayMs: delayMs + 20 } : {}) }
  }

  async function changeLimit(): Promise<void> {
    const narrow = { by: 'name', value: 'narrow' } as const
    if (random() < 0.3) await environment.object.resetQueue(caller, narrow)
    else must(await environment.object.overrideQueue(caller, narrow, { limit: 1 + Math.floor(random() * mostOfNarrow) }))
  }

  async function trigger(): Promise<void> {
    const parent = random() < 0.3 ? pick(open()) : undefined
    const waits = parent !== undefined && random() < 0.5
    const id = environment.mint()
    const result = await environment.object.trigger(caller, {
      runId: id,
      operationId: id,
      task: random() < 0.5 ? 'a' : 'b',
      options: {
        payload: { data: '1', dataType: 'application/json' },
        ...(random() < 0.4 ? { queue: 'narrow' } : {}),
        ...(random() < 0.3 ? { concurrencyKey: `k${Math.floor(random() * 3)}` } : {}),
        ...(random() < 0.2 ? { delayUntil: Date.now() + random() * 60 } : {}),
        ...(random() < 0.2 ? { debounce: debounce() } : {}),
        ...(random() < 0.1 ? { ttl: '1s' } : {}),
        ...(random() < 0.2 ? { priorityMs: 5_000 } : {}),
        ...(random() < 0.2 ? { idempotencyKey: `key${Math.floor(random() * 5)}` } : {}),
        ...(parent ? { parentRunId: parent.runId, resumeParentOnCompletion: waits } : {}),
      },
    })
    if (result.ok && !result.value.isCached) runs.push(result.value.id)
  }

  async function finish(kind: 'ok' | 'fail' | 'retry' | 'lost'): Promise<void> {
    const input = pick(open())
    if (!input) return
    if (kind === 'lost') {
      const { runId, attempt, lease } = input
      executors.sessions.delete(lease)
      await environment.object.finish({ runId, attempt, lease, lost: { reason: 'gone' }, spans: [] })
      return
    }
    const error = { type: 'STRING_ERROR', raw: 'no' } as const
    const retry = kind === 'retry' ? { retry: { timestamp: Date.now() + random() * 30, delay: 10 } } : {}
    await environment.finishLease(input, kind === 'ok' ? { ok: true, output: '1' } : { ok: false, error, ...retry })
    // Reported twice.
    if (random() < 0.2) await environment.finishLease(input, { ok: true, output: '"twice"' })
  }

  async function waitForToken(): Promise<void> {
    const input = pick(open())
    if (!input) return
    const id = mintId('waitpoint', environment.identity.locator)
    tokens.push(id)
    must(await environment.object.createToken(caller, { id, ...(random() < 0.3 ? { timeoutAt: Date.now() + 50 } : {}) }))
    await environment.object.waitForToken({ ...caller, run: { runId: input.runId, lease: input.lease } }, input.runId, id)
  }

  async function completeToken(): Promise<void> {
    const id = pick(tokens)
    if (id) await environment.object.completeToken(caller, id, undefined)
  }

  const actions: [number, () => Promise<unknown>][] = [
    [10, trigger],
    [8, () => finish('ok')],
    [2, () => finish('fail')],
    [2, () => finish('retry')],
    [1, () => finish('lost')],
    [3, waitForToken],
    [3, completeToken],
    [2, async () => void (await environment.object.cancelRun(caller, pick(runs) ?? environment.mint()))],
    [1, () => environment.object.pauseQueue(caller, { by: 'name', value: 'narrow' }, random() < 0.5)],
    [1, changeLimit],
    [1, () => environment.object.setPaused(random() < 0.3)],
    [2, () => Promise.all([environment.object.wake(), environment.object.wake()])],
    [1, async () => void executors.faults.push(random() < 0.5 ? 'answer lost' : 'never arrives')],
    [1, () => abortAllDurableObjects()],
  ]
  const chosen = actions.flatMap(([weight, action]) => Array.from({ length: weight }, () => action))
  const choose = (): (() => Promise<unknown>) => pick(chosen) as () => Promise<unknown>

  async function check(): Promise<void> {
    const { stub } = environment
    await runInDurableObject(stub as DurableObjectStub<EnvironmentDO>, (instance) => {
      const { state } = instance as unknown as { state: EnvironmentState }
      const holders = [...state.live.values()].filter((run) => run.engine.holdsSlot)
      expect(state.admission.running).toBe(holders.length)
      expect(holders.filter((run) => run.queue === 'narrow' && !run.concurrencyKey).length).toBeLessThanOrEqual(mostOfNarrow)
      const debounced = [...state.live.values()].filter((run) => run.status === 'DELAYED' && run.engine.debounce)
      for (const run of debounced) expect(state.debounced.find(run.task, run.engine.debounce?.key as string)).toBe(run.id)
      const leased = [...state.live.values()].filter((run) => run.engine.lease > 0)
      expect([...state.slots.values()].reduce((sum, members) => sum + members.size, 0)).toBe(leased.length)
      expect(new Set(leased.map((run) => run.engine.lease)).size).toBe(leased.length)
      for (const run of leased) expect(['EXECUTING', 'WAITING_TO_RESUME', 'CANCELED']).toContain(run.status)
      const waiting = [...state.admission.subQueues.values()].flatMap((sub) => [...sub.waiting].map((item) => item.id))
      expect(new Set(waiting).size).toBe(waiting.length)
      for (const id of waiting) expect(state.live.has(id)).toBe(true)
      for (const id of runs) {
        const { status } = state.find(id) as { status: Parameters<typeof isFinal>[0] }
        const before = ended.get(id)
        if (before) expect(status).toBe(before)
        else if (isFinal(status)) ended.set(id, status)
      }
    })
  }

  for (let step = 0; step < steps; step++) {
    await choose()()
    await check()
  }

  // The end: nothing is broken or paused any more, and everybody finishes.
  executors.faults = []
  must(await environment.object.pauseQueue(caller, { by: 'name', value: 'narrow' }, false))
  await environment.object.setPaused(false)
  await until(async () => {
    for (const id of tokens) await environment.object.completeToken(caller, id, undefined)
    for (const input of open()) {
      const run = await environment.run(input.runId)
      if (run.status !== 'WAITING_TO_RESUME') await environment.finishLease(input)
    }
    await environment.object.wake()
    await check()
    return runs.every((id) => ended.has(id))
  }, 15_000)
  expect(runs.length).toBeGreaterThan(20)
  const all = await Promise.all(runs.map((id) => environment.run(id)))
  const starts = all
    .flatMap((run) => (isLimited && run.task === 'a' && run.startedAt ? [run.startedAt] : []))
    .sort((x, y) => x - y)
  // Whatever was reset: in no window more than the bucket holds and gets meanwhile.
  for (const [first, from] of starts.entries())
    for (const [index, to] of starts.slice(first).entries()) expect(index + 1).toBeLessThanOrEqual(5 + (to - from) / 200 + 0.01)
})
