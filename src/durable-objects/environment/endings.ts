/** How a run ends: by itself, cancelled, expired. One transaction for all that a final state means. */
import type { RunStatus, TaskRunError } from '../../contracts/rpc.ts'
import { handOverAfterMs } from '../../core/run/retention.ts'
import { isFinal, isQueued, move } from '../../core/run/statuses.ts'
import { readChildren, readPackets, type StoredRun, writeResult } from '../../storage/run-table.ts'
import { batchRunsFinished } from './batches.ts'
import type { Turn } from './state.ts'
import { checkWaits } from './waits.ts'

export function cancel(turn: Turn, run: StoredRun, reason: string): void {
  const { state, now } = turn
  if (isFinal(run.status)) return
  const error: TaskRunError = { type: 'STRING_ERROR', raw: reason }
  const stored = readPacketsOf(turn, run)
  // Given to a process that has not begun: what it begins later is refused.
  if (run.engine.lease === 0 || run.status === 'DEQUEUED') {
    end(turn, run, 'CANCELED', error, stored.spans)
    return
  }
  // The API says CANCELED at once; the slot is kept until the executor confirms or a minute has passed.
  run.status = move(run.status, 'CANCELED')
  run.engine.waits = []
  run.engine.resuming = undefined
  run.waitingReason = undefined
  state.withdraw(run)
  writeResult(state.sql, run.id, { error, spans: stored.spans })
  state.changed(run, now)
  state.due.add({ at: now + 60_000, kind: 'cancel', id: run.id })
  turn.executors.cancel(turn, run, reason)
}

export function expire(turn: Turn, run: StoredRun): void {
  const { ttlAt, parked } = run.engine
  // A run that was taken out of the queue and put back has a later end than the item that brought us here.
  if (run.startedAt !== undefined || ttlAt === undefined || ttlAt > turn.now) return
  if (!isQueued(run.status) && !parked) return
  run.expiredAt = turn.now
  const raw = parked
    ? `No deployment with the external id '${parked.externalId}' came in time (EXTERNAL_DEPLOYMENT_NOT_FOUND)`
    : `Run expired because the TTL (${run.ttl}) was reached`
  end(turn, run, 'EXPIRED', { type: 'STRING_ERROR', raw }, readPacketsOf(turn, run).spans)
}

function readPacketsOf(turn: Turn, run: StoredRun): ReturnType<typeof readPackets> {
  turn.state.flushRun(run.id)
  return readPackets(turn.state.sql, run.id)
}

export function end(
  turn: Turn,
  run: StoredRun,
  status: RunStatus,
  error: TaskRunError,
  spans: ReturnType<typeof readPackets>['spans'],
): void {
  turn.state.flushRun(run.id)
  writeResult(turn.state.sql, run.id, { error, spans })
  run.status = move(run.status, status)
  finalise(turn, run)
}

/** One transaction for all that a final state means: slot, parent, batch, children of a cancelled run. */
export function finalise(turn: Turn, run: StoredRun): void {
  const { state, now } = turn
  state.withdraw(run)
  state.releaseSlot(run)
  state.releaseExecutor(run)
  state.debounced.remove(run)
  run.completedAt ??= now
  state.planArchive(now + handOverAfterMs)
  run.waitingReason = undefined
  run.engine.dueAt = undefined
  run.engine.ttlAt = undefined
  state.changed(run, now)
  if (run.status === 'CANCELED') {
    const { error } = readPackets(state.sql, run.id)
    const reason = error?.type === 'STRING_ERROR' ? error.raw : 'Canceled by user'
    for (const child of readChildren(state.sql, run.id)) {
      const current = state.find(child.id)
      if (current) cancel(turn, current, reason)
    }
  }
  for (const batchId of state.takeDoneBatches(run.id)) batchRunsFinished(turn, batchId)
  for (const waiting of state.takeWaiters(`run:${run.id}`)) checkWaits(turn, waiting)
}
