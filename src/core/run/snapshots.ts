/**
 * Snapshots of a run that somebody else's process executes: what its number means, and which calls may act on it.
 * A number grows with each change the executor has to hear of, and is never used again; calls about a past one change nothing.
 */
import type { AttemptStatus, ExecutionStatus } from '../../contracts/engine.ts'
import type { RunStatus } from '../../contracts/rpc.ts'
import type { Wait } from '../queue/waiting-reason.ts'
import { isFinal } from './statuses.ts'

/** Of a run whose executor is remote; stays with the run when the executor is gone. */
export interface Remote {
  /** The background worker that has its code. */
  worker: string
  snapshot: number
  /** Given to the executor with this one. */
  dequeuedWith: number
  /** The attempt was started on this one. */
  startedOn?: number
  /** The attempt failed and the executor starts the next one by itself. */
  isRetrying?: true
  /** Waits that were done when it was last told to go on. */
  done?: Wait[]
  /** The last completion that was taken, for the executor that did not hear the answer. */
  completed?: { on: number; attempt: number; attemptStatus: AttemptStatus }
}

/** Where a process is expected to start what it was given. */
export const startWithinMs = 30_000

/** Of a process that executes: the CLI says something every 30 s and may sleep with its laptop, a run controller every 20 s. */
export function heardWithin(development: boolean): number {
  return development ? 300_000 : 60_000
}

const idLength = 26

export function snapshotId(runId: string, snapshot: number): string {
  return `snapshot_${runId.slice(4)}${snapshot.toString(36)}`
}

/** Undefined when it is no snapshot of this run. */
export function snapshotNumber(runId: string, id: string): number | undefined {
  const body = /^snapshot_[0-9a-z]+$/.test(id) ? id.slice(9) : ''
  if (body.slice(0, idLength) !== runId.slice(4)) return undefined
  const number = Number.parseInt(body.slice(idLength), 36)
  return Number.isSafeInteger(number) ? number : undefined
}

export function executionStatus(run: { status: RunStatus; engine: { lease: number } }): ExecutionStatus {
  const { status } = run
  if (isFinal(status)) return status === 'CANCELED' && run.engine.lease > 0 ? 'PENDING_CANCEL' : 'FINISHED'
  switch (status) {
    case 'DEQUEUED':
      return 'PENDING_EXECUTING'
    case 'EXECUTING':
      return 'EXECUTING'
    case 'WAITING_TO_RESUME':
      return 'EXECUTING_WITH_WAITPOINTS'
    case 'DELAYED':
      return 'DELAYED'
    default:
      return 'QUEUED'
  }
}

export type Verdict = 'go' | 'repeated' | 'stale'

interface Held {
  status: RunStatus
  attemptNumber: number
  engine: { lease: number; remote?: Remote }
}

/** May the attempt be started on this snapshot? Only on the newest one, and only where a start is awaited. */
export function judgeStart({ status, engine }: Held, on: number): Verdict {
  const { remote, lease } = engine
  if (!remote || lease === 0 || isFinal(status)) return 'stale'
  if (remote.startedOn === on && status === 'EXECUTING' && !remote.isRetrying) return 'repeated'
  const awaited = status === 'DEQUEUED' || (status === 'EXECUTING' && remote.isRetrying === true)
  return awaited && on === remote.snapshot ? 'go' : 'stale'
}

/**
 * May the attempt end on this snapshot? On any since its own start: one that was made meanwhile (a wait, a cancel) says nothing
 * about whether the attempt is over, and a refusal would lose what it did.
 */
export function judgeCompletion({ engine }: Held, on: number): Verdict {
  const { remote, lease } = engine
  if (!remote) return 'stale'
  if (remote.completed?.on === on) return 'repeated'
  const isOfThisAttempt = remote.startedOn !== undefined && on > remote.startedOn && on <= remote.snapshot
  return lease > 0 && !remote.isRetrying && isOfThisAttempt ? 'go' : 'stale'
}
