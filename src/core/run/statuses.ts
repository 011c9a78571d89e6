/**
 * The states of a run as a table: every legal move, and nothing else. No status string is compared anywhere but through
 * the predicates here. Snapshot states (PENDING_EXECUTING, SUSPENDED …) of the wire are derived from status and lease.
 */
import type { RunStatus } from '../../contracts/rpc.ts'

const moves: Record<RunStatus, readonly RunStatus[]> = {
  DELAYED: ['PENDING', 'CANCELED', 'EXPIRED'],
  PENDING: ['EXECUTING', 'DEQUEUED', 'PENDING_VERSION', 'CANCELED', 'EXPIRED', 'SYSTEM_FAILURE'],
  PENDING_VERSION: ['PENDING', 'DELAYED', 'CANCELED', 'EXPIRED'],
  WAITING_FOR_DEPLOY: ['PENDING', 'CANCELED', 'EXPIRED'],
  DEQUEUED: ['EXECUTING', 'PENDING', 'CANCELED', 'SYSTEM_FAILURE'],
  EXECUTING: [
    'WAITING_TO_RESUME',
    'PENDING',
    'COMPLETED_SUCCESSFULLY',
    'COMPLETED_WITH_ERRORS',
    'CANCELED',
    'CRASHED',
    'SYSTEM_FAILURE',
    'TIMED_OUT',
  ],
  WAITING_TO_RESUME: [
    'EXECUTING',
    'PENDING',
    'COMPLETED_SUCCESSFULLY',
    'COMPLETED_WITH_ERRORS',
    'CANCELED',
    'CRASHED',
    'SYSTEM_FAILURE',
    'TIMED_OUT',
  ],
  RETRYING_AFTER_FAILURE: ['EXECUTING', 'PENDING', 'CANCELED', 'SYSTEM_FAILURE'],
  PAUSED: ['PENDING', 'EXECUTING', 'CANCELED'],
  CANCELED: [],
  INTERRUPTED: [],
  COMPLETED_SUCCESSFULLY: [],
  COMPLETED_WITH_ERRORS: [],
  SYSTEM_FAILURE: [],
  CRASHED: [],
  EXPIRED: [],
  TIMED_OUT: [],
}

export const allStatuses = Object.keys(moves) as RunStatus[]

export function canMove(from: RunStatus, to: RunStatus): boolean {
  return moves[from].includes(to)
}

/** The status after a move; an illegal one is a bug and throws. */
export function move(from: RunStatus, to: RunStatus): RunStatus {
  if (!canMove(from, to)) throw new Error(`A run cannot go from ${from} to ${to}.`)
  return to
}

export function isFinal(status: RunStatus): boolean {
  return moves[status].length === 0
}

/** In the queue, never given to an executor: the only state a TTL can end. */
export function isQueued(status: RunStatus): boolean {
  return status === 'PENDING'
}

/** Final states that free an idempotency key at the next trigger (engine-behaviour 2.61). CANCELED and success keep it. */
export function freesIdempotencyKey(status: RunStatus): boolean {
  return isFinal(status) && status !== 'CANCELED' && status !== 'COMPLETED_SUCCESSFULLY'
}
