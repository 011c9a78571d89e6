import { describe, expect, it } from 'vitest'
import type { RunStatus } from '../../contracts/rpc.ts'
import { isFinal } from '../run/statuses.ts'
import { admitNext, enqueue, newAdmission, occupy } from './admission.ts'
import { type Wait, waitingReason } from './waiting-reason.ts'

type Run = Parameters<typeof waitingReason>[0]
const run = (change: Partial<Run> & { engine?: Partial<Run['engine']> } = {}): Run => ({
  task: 't',
  status: 'PENDING',
  queue: 'q',
  ...change,
  engine: { waits: [], ...change.engine },
})
const at = 1_800_000_000_000
const time = '2027-01-15T08:00:00.000Z'

describe('the reason a run waits', () => {
  const waits: Wait[] = [
    { kind: 'run', runId: 'run_1' },
    { kind: 'token', waitpointId: 'waitpoint_1' },
  ]
  it.each<[string | undefined, Run]>([
    [`delayed until ${time}`, run({ status: 'DELAYED', delayUntil: at, engine: { waits: [], dueAt: at } })],
    ['waits for a version: no version has task t', run({ status: 'PENDING_VERSION', waitingReason: 'no version has task t' })],
    [`retry at ${time}`, run({ engine: { waits: [], dueAt: at } })],
    [`retry at ${time}`, run({ status: 'EXECUTING', engine: { waits: [], dueAt: at } })],
    [`starting again: lost, at ${time}`, run({ waitingReason: 'starting again: lost', engine: { waits: [], dueAt: at } })],
    ['waits for child run_1 and 1 more', run({ status: 'WAITING_TO_RESUME', engine: { waits } })],
    ['waits for token waitpoint_1', run({ status: 'WAITING_TO_RESUME', engine: { waits: waits.slice(1) } })],
    ['waits for batch b', run({ status: 'WAITING_TO_RESUME', engine: { waits: [{ kind: 'batch', batchId: 'b' }] } })],
    [
      `waits until ${time}`,
      run({ status: 'WAITING_TO_RESUME', engine: { waits: [{ kind: 'datetime', waitpointId: 'w', until: at }] } }),
    ],
    [undefined, run({ status: 'EXECUTING' })],
  ])('%s', (reason, waiting) => {
    expect(waitingReason(waiting, newAdmission(1, 1))).toBe(reason)
  })

  it('is none at the end', () => {
    const finals: RunStatus[] = ['CANCELED', 'COMPLETED_SUCCESSFULLY', 'CRASHED', 'EXPIRED']
    for (const status of finals) {
      expect(isFinal(status)).toBe(true)
      expect(
        waitingReason(run({ status, waitingReason: 'old', engine: { waits, dueAt: at } }), newAdmission(1, 1)),
      ).toBeUndefined()
    }
  })

  it('of a queued run is what admission goes by', () => {
    const admission = newAdmission(2, 1.5)
    admission.limits.set('q', 1)
    enqueue(admission, { id: 'waits', queue: 'q', key: '', score: 1 })
    occupy(admission, 'q', '')
    const explained = (waiting = run()): string | undefined => {
      expect(admitNext(admission, at)).toBeUndefined()
      return waitingReason(waiting, admission)
    }
    expect(explained()).toBe('queue limit: 1 of 1 runs of q execute')
    occupy(admission, 'q', 'x')
    expect(explained(run({ concurrencyKey: 'x' }))).toBe('concurrency key limit: 1 of 1 runs of q with key "x" execute')
    expect(explained(run({ status: 'WAITING_TO_RESUME', engine: { waits, resuming: true } }))).toBe(
      'all waits are done; queue limit: 1 of 1 runs of q execute',
    )
    occupy(admission, 'other', '')
    admission.limits.delete('q')
    expect(explained()).toBe('environment limit: 3 of 3 runs execute')
    admission.paused.add('q')
    expect(explained()).toBe('queue q is paused')
    expect(explained(run({ waitingReason: 'starting again: lost' }))).toBe('starting again: lost; queue q is paused')
    admission.environmentPaused = true
    expect(explained()).toBe('the environment is paused')
  })
})
