/** What a run's code stores on its way, so that a later attempt need not do it again. */
import { limits } from '../../contracts/limits.ts'
import type { RpcResult } from '../../contracts/rpc.ts'
import { countCheckpoints, putCheckpoint as write } from '../../storage/checkpoint-table.ts'
import { refusal, type Turn, value } from './state.ts'

export function putCheckpoint(
  turn: Turn,
  runId: string,
  { name, data }: { name: string; data: string },
): RpcResult<{ ok: true }> {
  const { state, now } = turn
  const run = state.live.get(runId)
  if (!run) {
    const known = state.find(runId)
    return known
      ? refusal('UNPROCESSABLE', 'The run is over: a checkpoint is stored while it executes.', 422)
      : refusal('NOT_FOUND', 'Run not found', 404)
  }
  if (countCheckpoints(state.sql, runId, name) >= limits.checkpoints)
    return refusal('UNPROCESSABLE', `A run has at most ${limits.checkpoints} checkpoints.`, 422)
  write(state.sql, runId, { name, data, attempt: run.attemptNumber, createdAt: now })
  state.changed(run, now)
  return value({ ok: true })
}
