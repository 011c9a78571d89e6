import { describe, expect, it } from 'vitest'
import { mintId } from '../../contracts/ids.ts'
import type { RunStatus } from '../../contracts/rpc.ts'
import { executionStatus, judgeCompletion, judgeStart, type Remote, snapshotId, snapshotNumber } from './snapshots.ts'

const runId = mintId('run', 'abcdef')
const held = (status: RunStatus, remote: Partial<Remote>, lease = 7): Parameters<typeof judgeStart>[0] => ({
  status,
  attemptNumber: 1,
  engine: { lease, remote: { worker: 'worker_x', snapshot: 1, dequeuedWith: 1, ...remote } },
})

describe('snapshot ids', () => {
  it('name their run and their number', () => {
    for (const number of [0, 1, 35, 36, 1_000_000]) expect(snapshotNumber(runId, snapshotId(runId, number))).toBe(number)
    expect(snapshotId(runId, 1).split('_')).toHaveLength(2)
  })

  it('of another run, or none at all, have no number', () => {
    const other = mintId('run', 'abcdef')
    for (const id of [snapshotId(other, 1), 'snapshot_', 'snapshot_x', 'snapshot_x_1', '', runId, `snapshot_${runId.slice(4)}`])
      expect(snapshotNumber(runId, id), id).toBeUndefined()
  })
})

it.each<[RunStatus, number, string]>([
  ['PENDING', 0, 'QUEUED'],
  ['PENDING_VERSION', 0, 'QUEUED'],
  ['DELAYED', 0, 'DELAYED'],
  ['DEQUEUED', 1, 'PENDING_EXECUTING'],
  ['EXECUTING', 1, 'EXECUTING'],
  ['WAITING_TO_RESUME', 1, 'EXECUTING_WITH_WAITPOINTS'],
  ['CANCELED', 1, 'PENDING_CANCEL'],
  ['CANCELED', 0, 'FINISHED'],
  ['COMPLETED_SUCCESSFULLY', 0, 'FINISHED'],
  ['EXPIRED', 0, 'FINISHED'],
])('a run that is %s under lease %i has the execution status %s', (status, lease, expected) => {
  expect(executionStatus({ status, engine: { lease } })).toBe(expected)
})

describe('a start', () => {
  it('is taken on the newest snapshot of a run that was dequeued, or that retries in its process', () => {
    expect(judgeStart(held('DEQUEUED', { snapshot: 3 }), 3)).toBe('go')
    expect(judgeStart(held('EXECUTING', { snapshot: 5, startedOn: 3, isRetrying: true }), 5)).toBe('go')
  })
  it('is answered again when it is repeated', () => {
    expect(judgeStart(held('EXECUTING', { snapshot: 4, startedOn: 3 }), 3)).toBe('repeated')
  })
  it.each<[RunStatus, Partial<Remote>, number, number]>([
    ['DEQUEUED', { snapshot: 3 }, 2, 7],
    ['DEQUEUED', { snapshot: 3 }, 4, 7],
    ['DEQUEUED', { snapshot: 3 }, 3, 0],
    ['EXECUTING', { snapshot: 4, startedOn: 3 }, 4, 7],
    ['EXECUTING', { snapshot: 5, startedOn: 3, isRetrying: true }, 3, 7],
    ['WAITING_TO_RESUME', { snapshot: 4, startedOn: 3 }, 4, 7],
    ['CANCELED', { snapshot: 4 }, 4, 7],
    ['PENDING', { snapshot: 4 }, 4, 0],
  ])('of a run that is %s with %o on %i under lease %i is stale', (status, remote, on, lease) => {
    expect(judgeStart(held(status, remote, lease), on)).toBe('stale')
  })
})

describe('a completion', () => {
  it('is taken on any snapshot since its own start', () => {
    for (const on of [4, 5, 6]) {
      expect(judgeCompletion(held('EXECUTING', { snapshot: 6, startedOn: 3 }), on)).toBe('go')
      expect(judgeCompletion(held('CANCELED', { snapshot: 6, startedOn: 3 }), on)).toBe('go')
    }
  })
  it('is answered again when it is repeated, also after the run went on', () => {
    const completed = { on: 4, attempt: 1, attemptStatus: 'RETRY_IMMEDIATELY' as const }
    expect(judgeCompletion(held('EXECUTING', { snapshot: 6, startedOn: 5, completed }), 4)).toBe('repeated')
  })
  it.each<[RunStatus, Partial<Remote>, number, number]>([
    ['DEQUEUED', { snapshot: 3 }, 3, 7],
    ['EXECUTING', { snapshot: 6, startedOn: 5 }, 4, 7],
    ['EXECUTING', { snapshot: 6, startedOn: 5 }, 7, 7],
    ['EXECUTING', { snapshot: 6, startedOn: 3, isRetrying: true }, 5, 7],
    ['COMPLETED_SUCCESSFULLY', { snapshot: 6, startedOn: 3 }, 5, 0],
  ])('of a run that is %s with %o on %i under lease %i is stale', (status, remote, on, lease) => {
    expect(judgeCompletion(held(status, remote, lease), on)).toBe('stale')
  })
})
