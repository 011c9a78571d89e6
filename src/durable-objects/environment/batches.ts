/** Batches in two phases: created with a count, filled by index, sealed when every index is in. Runs begin with the seal. */
import type { BatchCreateInput, BatchItem } from '../../contracts/objects.ts'
import type { RpcResult } from '../../contracts/rpc.ts'
import { deleteSetting, putSetting, readSetting } from '../../storage/document-table.ts'
import { end } from './endings.ts'
import { refusal, type StoredBatch, sealMs, type Turn, value } from './state.ts'
import { oneTimeUsed, queueSizeCode, spendOneTime, trigger } from './trigger.ts'
import { blockOn, checkWaits } from './waits.ts'

const keyMs = 86_400_000

export function createBatch(
  turn: Turn,
  input: BatchCreateInput,
): RpcResult<{ id: string; runCount: number; isCached: boolean; idempotencyKey?: string }> {
  const { state, now } = turn
  if (oneTimeUsed(turn, input.oneTimeToken, input.batchId)) {
    return refusal('UNPROCESSABLE', 'Cannot batch trigger with a one-time use token as it has already been used.', 422)
  }
  const repeated = state.batchKeys.get(`operation:${input.operationId}`)
  const cached = input.idempotencyKey ? state.batchKeys.get(`key:${input.idempotencyKey}`) : undefined
  const known = state.batch(repeated ?? cached ?? '')
  if (known && (repeated || now - known.createdAt < keyMs)) {
    // Upstream leaves a repeated parent unblocked here and it waits for nothing (2.90); ours blocks on the first batch.
    if (input.resumeParentOnCompletion && input.parentRunId)
      blockOn(turn, input.parentRunId, { kind: 'batch', batchId: known.id })
    return value({ id: known.id, runCount: known.runCount, isCached: repeated === undefined, ...keyOf(known) })
  }
  const batch: StoredBatch = {
    id: input.batchId,
    status: 'PENDING',
    createdAt: now,
    updatedAt: now,
    runCount: input.runCount,
    runs: [],
    errors: [],
    operationId: input.operationId,
    sealed: false,
    items: {},
    heldChunks: 0,
    ...(input.idempotencyKey ? { idempotencyKey: input.idempotencyKey } : {}),
    ...(input.parentRunId ? { parentRunId: input.parentRunId } : {}),
  }
  state.putBatch(batch)
  state.openBatch(batch)
  spendOneTime(turn, input.oneTimeToken, batch.id)
  state.due.add({ at: now + sealMs, kind: 'seal', id: batch.id })
  if (input.resumeParentOnCompletion && input.parentRunId) blockOn(turn, input.parentRunId, { kind: 'batch', batchId: batch.id })
  return value({ id: batch.id, runCount: batch.runCount, isCached: false, ...keyOf(batch) })
}

interface ItemsResult {
  itemsAccepted: number
  itemsDeduplicated: number
  sealed: boolean
  enqueuedCount: number
  expectedCount: number
}

export function addBatchItems(turn: Turn, batchId: string, items: BatchItem[]): RpcResult<ItemsResult> {
  const { state, now } = turn
  const batch = state.batch(batchId)
  if (!batch) return refusal('UNPROCESSABLE', `Batch ${batchId} not found`, 422)
  if (batch.status === 'ABORTED')
    return refusal('UNPROCESSABLE', `Batch ${batchId} is not in PENDING status (current: ABORTED)`, 422)
  const expectedCount = batch.runCount
  if (batch.sealed)
    return value({ itemsAccepted: 0, itemsDeduplicated: 0, sealed: true, enqueuedCount: batch.runs.length, expectedCount })
  const outside = items.find((item) => item.index >= batch.runCount)
  if (outside) return refusal('UNPROCESSABLE', `Item index ${outside.index} exceeds batch runCount ${batch.runCount}`, 422)
  const fresh: BatchItem[] = []
  for (const item of items) {
    if (batch.items[item.index] !== undefined) continue
    batch.items[item.index] = ''
    fresh.push(item)
  }
  batch.updatedAt = now
  const enqueuedCount = Object.keys(batch.items).length
  if (enqueuedCount === batch.runCount) seal(turn, batch, fresh)
  else if (fresh.length > 0) {
    putSetting(state.sql, heldName(batch, batch.heldChunks), fresh)
    batch.heldChunks += 1
  }
  state.putBatch(batch)
  if (batch.status === 'COMPLETED') wakeWaiting(turn, batch.id)
  return value({
    itemsAccepted: fresh.length,
    itemsDeduplicated: items.length - fresh.length,
    sealed: batch.sealed,
    enqueuedCount,
    expectedCount,
  })
}

/** An upload that breaks off leaves no runs: items of earlier calls are kept, one row per call, until the last one is in. */
function seal(turn: Turn, batch: StoredBatch, last: BatchItem[]): void {
  const items = [...takeHeld(turn, batch), ...last].sort((a, b) => a.index - b.index)
  for (const item of items) {
    const id = addItem(turn, batch, item)
    batch.items[item.index] = id
    batch.runs.push(id)
    turn.state.countInBatch(id, batch.id)
  }
  batch.sealed = true
  batch.status = 'PROCESSING'
  batch.processingCompletedAt = turn.now
  complete(turn, batch)
}

function takeHeld(turn: Turn, batch: StoredBatch): BatchItem[] {
  const { sql } = turn.state
  const items: BatchItem[] = []
  for (let chunk = 0; chunk < batch.heldChunks; chunk++) {
    items.push(...(readSetting<BatchItem[]>(sql, heldName(batch, chunk)) ?? []))
    deleteSetting(sql, heldName(batch, chunk))
  }
  batch.heldChunks = 0
  return items
}

function heldName(batch: StoredBatch, chunk: number): string {
  return `held:${batch.id}:${chunk}`
}

function addItem(turn: Turn, batch: StoredBatch, item: BatchItem): string {
  const place = {
    batch: { id: batch.id, index: item.index },
    // Runs of one batch start in index order when a limit holds them back (2.87).
    createdAt: batch.createdAt + item.index,
    ...(batch.parentRunId && !item.options.parentRunId ? { parentRunId: batch.parentRunId } : {}),
  }
  const { refused, ...input } = item
  const result = refused ? undefined : trigger(turn, { ...input, options: { ...input.options, ...place } })
  if (result?.ok) return result.value.id
  // A refused item takes its place as a run that failed before it began, so that counts and order hold (2.86).
  const { payload } = item.options
  const message = refused?.message ?? result?.error.message ?? 'refused'
  const isQueueFull = !result?.ok && result?.error.code === queueSizeCode
  const errorCode = refused?.code ?? (isQueueFull ? queueSizeCode : 'BATCH_ITEM_COULD_NOT_TRIGGER')
  // Delayed, so that it never enters the queue on its way to its end.
  const failed = trigger(turn, { ...input, options: { payload, ...place, delayUntil: turn.now + 60_000 } }, true)
  const run = failed.ok ? turn.state.find(failed.value.id) : undefined
  if (!run) throw new Error(`A batch item could not be recorded: ${message}`)
  run.status = 'PENDING'
  delete run.delayUntil
  end(turn, run, 'SYSTEM_FAILURE', { type: 'INTERNAL_ERROR', code: errorCode, message }, [])
  batch.errors.push({ index: item.index, taskIdentifier: item.task, error: message, errorCode })
  return run.id
}

/** The last open run of the batch ended: the batch did, too, once it is sealed. */
export function batchRunsFinished(turn: Turn, batchId: string): void {
  const batch = turn.state.batch(batchId)
  if (!batch?.sealed || batch.status === 'COMPLETED' || !complete(turn, batch)) return
  turn.state.putBatch(batch)
  wakeWaiting(turn, batchId)
}

function complete(turn: Turn, batch: StoredBatch): boolean {
  if (turn.state.hasOpenRuns(batch.id)) return false
  batch.status = 'COMPLETED'
  batch.updatedAt = turn.now
  return true
}

export function abortUnsealed(turn: Turn, batchId: string): void {
  const batch = turn.state.batch(batchId)
  if (!batch || batch.sealed || batch.createdAt + sealMs > turn.now) return
  batch.status = 'ABORTED'
  batch.updatedAt = turn.now
  takeHeld(turn, batch)
  turn.state.putBatch(batch)
  wakeWaiting(turn, batchId)
}

function wakeWaiting(turn: Turn, batchId: string): void {
  for (const run of turn.state.takeWaiters(`batch:${batchId}`)) checkWaits(turn, run)
}

function keyOf(batch: StoredBatch): { idempotencyKey?: string } {
  return batch.idempotencyKey ? { idempotencyKey: batch.idempotencyKey } : {}
}
