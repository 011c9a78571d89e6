/** A run that waits: its slot is free, its executor stays. It goes on when every blocker is done and a slot is free again. */
import type { WaitpointRecord } from '../../contracts/objects.ts'
import type { CompletedWaitpoint, Packet, RpcResult, RunPackets } from '../../contracts/rpc.ts'
import type { Wait } from '../../core/queue/waiting-reason.ts'
import { isFinal, move } from '../../core/run/statuses.ts'
import { findWaitpointKey, putDocument, putWaitpointKey, readDocument } from '../../storage/document-table.ts'
import { readPackets, type StoredRun } from '../../storage/run-table.ts'
import { type EnvironmentState, refusal, type Turn, value } from './state.ts'

export function blockOn(turn: Turn, runId: string, wait: Wait): void {
  const { state, now } = turn
  const run = state.live.get(runId)
  if (!run || isFinal(run.status) || run.engine.lease === 0) return
  run.engine.waits.push(wait)
  state.addWaiter(run.id, wait)
  if (wait.kind === 'datetime') state.due.add({ at: wait.until, kind: 'datetime', id: run.id })
  if (wait.kind === 'token') state.watchToken(wait.waitpointId)
  if (run.status === 'EXECUTING') {
    run.status = move(run.status, 'WAITING_TO_RESUME')
    state.releaseSlot(run)
    turn.executors.remote.blocked(run)
  }
  state.changed(run, now)
  checkWaits(turn, run)
}

export function checkWaits(turn: Turn, run: StoredRun): void {
  const { state, now } = turn
  if (run.status !== 'WAITING_TO_RESUME' || run.engine.resuming || run.engine.waits.length === 0) return
  if (!run.engine.waits.every((wait) => isDone(state, wait, now))) return
  run.engine.resuming = true
  run.engine.lost = 0
  state.changed(run, now)
  state.enqueue(run)
}

function isDone(state: EnvironmentState, wait: Wait, now: number): boolean {
  switch (wait.kind) {
    case 'run': {
      const run = state.find(wait.runId)
      return !run || isFinal(run.status)
    }
    case 'batch': {
      const status = state.batch(wait.batchId)?.status
      return status === undefined || status === 'ABORTED' || status === 'COMPLETED'
    }
    case 'datetime':
      return wait.until <= now
    case 'token':
      return readToken(state, wait.waitpointId)?.status !== 'WAITING'
  }
}

/** What the runtime in the isolate is told when the run goes on (cli-engine-protocol §2.10). */
export function completedWaitpoints(
  state: EnvironmentState,
  run: { engine: { waits: Wait[] } },
  now: number,
): CompletedWaitpoint[] {
  return run.engine.waits.flatMap((wait): CompletedWaitpoint[] => {
    if (wait.kind === 'run') return [runWaitpoint(state, wait.runId, now)]
    if (wait.kind === 'datetime') {
      return [{ id: wait.waitpointId, friendlyId: wait.waitpointId, type: 'DATETIME', completedAt: now, outputIsError: false }]
    }
    if (wait.kind === 'token') {
      const token = readToken(state, wait.waitpointId)
      return [
        {
          id: wait.waitpointId,
          friendlyId: wait.waitpointId,
          type: 'MANUAL',
          completedAt: token?.completedAt ?? now,
          outputIsError: token?.outputIsError ?? true,
          ...(token?.output?.data === undefined ? {} : { output: token.output.data, outputType: token.output.dataType }),
        },
      ]
    }
    const batch = state.batch(wait.batchId)
    return Object.entries(batch?.items ?? {}).map(([index, runId]) =>
      runWaitpoint(state, runId, now, { id: wait.batchId, index: Number(index) }),
    )
  })
}

function runWaitpoint(
  state: EnvironmentState,
  runId: string,
  now: number,
  batch?: { id: string; index: number },
): CompletedWaitpoint {
  const run = state.find(runId)
  const packets = readPackets(state.sql, runId)
  const id = runId.replace(/^run_/, 'waitpoint_')
  const failed = run?.status !== 'COMPLETED_SUCCESSFULLY'
  return {
    id,
    friendlyId: id,
    type: 'RUN',
    completedAt: run?.completedAt ?? now,
    outputIsError: failed,
    ...(run && packets.archived ? { archivedRun: runId } : outcome(packets, failed)),
    ...(batch ? { index: batch.index } : {}),
    completedByTaskRun: { friendlyId: runId, ...(batch ? { batch: { friendlyId: batch.id } } : {}) },
  }
}

/** What the waiting code gets of a run that ended. */
export function outcome(packets: RunPackets, failed: boolean): { output?: string; outputType?: string } {
  if (!failed)
    return packets.output?.data === undefined ? {} : { output: packets.output.data, outputType: packets.output.dataType }
  const error = packets.error ?? { type: 'STRING_ERROR', raw: 'The run no longer exists.' }
  return { output: JSON.stringify(error), outputType: 'application/json' }
}

// ---------------------------------------------------------------- tokens and durations

export function readToken(state: EnvironmentState, id: string): WaitpointRecord | undefined {
  return readDocument<WaitpointRecord>(state.sql, 'waitpoints', id)
}

export function createToken(
  turn: Turn,
  input: { id: string; timeoutAt?: number; idempotencyKey?: string; idempotencyKeyExpiresAt?: number; tags?: string[] },
): RpcResult<{ id: string; isCached: boolean }> {
  const { state, now } = turn
  if (input.idempotencyKey) {
    const known = findWaitpointKey(state.sql, `token:${input.idempotencyKey}`)
    if (known && (known.expiresAt === null || known.expiresAt > now)) return value({ id: known.waitpointId, isCached: true })
    putWaitpointKey(state.sql, `token:${input.idempotencyKey}`, input.id, input.idempotencyKeyExpiresAt)
  }
  const record: WaitpointRecord = {
    id: input.id,
    type: 'MANUAL',
    status: 'WAITING',
    createdAt: now,
    tags: input.tags ?? [],
    outputIsError: false,
    ...(input.timeoutAt === undefined ? {} : { completedAfter: input.timeoutAt }),
    ...(input.idempotencyKey ? { idempotencyKey: input.idempotencyKey } : {}),
    ...(input.idempotencyKeyExpiresAt ? { idempotencyKeyExpiresAt: input.idempotencyKeyExpiresAt } : {}),
  }
  putDocument(state.sql, 'waitpoints', record.id, record)
  if (input.timeoutAt !== undefined) state.due.add({ at: input.timeoutAt, kind: 'token', id: record.id })
  return value({ id: record.id, isCached: false })
}

/** First completion wins; a later one is a success that changes nothing. */
export function completeToken(
  turn: Turn,
  id: string,
  output: Packet | undefined,
  isError: boolean,
): RpcResult<{ success: true }> {
  const { state, now } = turn
  const token = readToken(state, id)
  if (!token) return refusal('NOT_FOUND', 'Waitpoint not found', 404)
  if (token.status !== 'WAITING') return value({ success: true })
  token.status = isError ? 'TIMED_OUT' : 'COMPLETED'
  token.completedAt = now
  token.outputIsError = isError
  if (output) token.output = output
  putDocument(state.sql, 'waitpoints', id, token)
  for (const run of state.takeWaiters(`token:${id}`)) checkWaits(turn, run)
  return value({ success: true })
}

export function timeOutToken(turn: Turn, id: string): void {
  const token = readToken(turn.state, id)
  if (token?.status !== 'WAITING' || token.completedAfter === undefined || token.completedAfter > turn.now) return
  const message = `Waitpoint timed out at ${new Date(token.completedAfter).toISOString()}`
  completeToken(
    turn,
    id,
    { data: JSON.stringify({ code: 'TRIGGER_WAITPOINT_TIMEOUT', message }), dataType: 'application/json' },
    true,
  )
}

export function waitForToken(turn: Turn, runId: string, waitpointId: string): RpcResult<{ success: true }> {
  if (!readToken(turn.state, waitpointId)) return refusal('NOT_FOUND', 'Waitpoint not found', 404)
  if (!turn.state.live.has(runId)) return refusal('NOT_FOUND', 'Run not found', 404)
  blockOn(turn, runId, { kind: 'token', waitpointId })
  return value({ success: true })
}

export function waitForDuration(
  turn: Turn,
  runId: string,
  input: { waitpointId: string; until: number; idempotencyKey?: string; idempotencyKeyExpiresAt?: number },
): RpcResult<{ waitUntil: number; waitpointId: string }> {
  const { state, now } = turn
  if (!state.live.has(runId)) return refusal('NOT_FOUND', 'Run not found', 404)
  let { waitpointId, until } = input
  if (input.idempotencyKey) {
    const key = `duration:${input.idempotencyKey}`
    const known = findWaitpointKey(state.sql, key)
    const first = known && (known.expiresAt === null || known.expiresAt > now) ? readToken(state, known.waitpointId) : undefined
    if (first?.completedAfter !== undefined) {
      waitpointId = first.id
      until = first.completedAfter
    } else {
      const record: WaitpointRecord = {
        id: waitpointId,
        type: 'DATETIME',
        status: 'WAITING',
        createdAt: now,
        completedAfter: until,
        tags: [],
        outputIsError: false,
      }
      putDocument(state.sql, 'waitpoints', waitpointId, record)
      putWaitpointKey(state.sql, key, waitpointId, input.idempotencyKeyExpiresAt)
    }
  }
  blockOn(turn, runId, { kind: 'datetime', waitpointId, until })
  return value({ waitUntil: until, waitpointId })
}
