/** Which streams a run has: its subscribers find them in the run. What is in them is StreamsDO's. */
import type { RpcResult } from '../../contracts/rpc.ts'
import { streamLimits } from '../../contracts/streams.ts'
import { isFinal } from '../../core/run/statuses.ts'
import { refusal, type Turn, value } from './state.ts'

export function addRunStream(turn: Turn, runId: string, key: string): RpcResult<{ ok: true }> {
  const run = turn.state.find(runId)
  if (!run) return refusal('NOT_FOUND', 'Run not found', 404)
  if (isFinal(run.status)) return refusal('INVALID_REQUEST', 'A run that has ended takes no streams.', 400)
  const known = run.streams ?? []
  if (known.includes(key)) return value({ ok: true })
  if (known.length >= streamLimits.keys) return refusal('UNPROCESSABLE', `A run has at most ${streamLimits.keys} streams.`, 422)
  run.streams = [...known, key]
  turn.state.changed(run, turn.now)
  return value({ ok: true })
}
