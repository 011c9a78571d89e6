/** Batches in two phases: created with a count, filled by index, sealed when every index is in. */
import type { BatchCreateInput, BatchItem } from '../../contracts/objects.ts'
import type { RpcResult } from '../../contracts/rpc.ts'
import { end } from './endings.ts'
import { refusal, type StoredBatch, sealMs, type Turn, value } from './state.ts'
import { trigger } from './trigger.ts'
import { blockOn, checkWaits } from './waits.ts'

const keyMs = 86_400_000

export function createBatch(
  turn: Turn,
  input: BatchCreateInput,
): RpcResult<{ id: string; runCount: number; isCached: boolean; idempotencyKey?: string }> {
  const { state, now } = turn
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
    ...(input.idempotencyKey ? { idempotencyKey: input.idempotencyKey } : {}),
    ...(input.parentRunId ? { parentRunId: input.parentRunId } : {}),
  }
  state.putBatch(batch)
  state.openBatch(batch)
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
  let accepted = 0
  let known = 0
  const outside = items.find((item) => item.index >= batch.runCount)
  if (outside) return refusal('UNPROCESSABLE', `Item index ${outside.index} exceeds batch runCount ${batch.runCount}`, 422)
  for (const item of items) {
    if (batch.items[item.index] !== undefined) {
      known += 1
      continue
    }
    const id = addItem(turn, batch, item)
    batch.items[item.index] = id
    batch.runs.push(id)
    state.countInBatch(id, batch.id)
    accepted += 1
  }
  batch.updatedAt = now
  if (Object.keys(batch.items).length === batch.runCount) {
    batch.sealed = true
    batch.status = 'PROCESSING'
    batch.processingCompletedAt = now
    batch.runs = Array.from({ length: batch.runCount }, (_, index) => batch.items[index] as string)
    complete(turn, batch)
  }
  state.putBatch(batch)
  if (batch.status === 'COMPLETED') wakeWaiting(turn, batch.id)
  return value({
    itemsAccepted: accepted,
    itemsDeduplicated: known,
    sealed: batch.sealed,
    enqueuedCount: Object.keys(batch.items).length,
    expectedCount,
  })
}

function addItem(turn: Turn, batch: StoredBatch, item: BatchItem): string {
  const place = {
    batch: { id: batch.id, index: item.index },
    // Runs of one batch start in index order when a limit holds them back (2.87).
    createdAt: batch.createdAt + item.index,
    ...(batch.parentRunId && !item.options.parentRunId ? { parentRunId: batch.parentRunId } : {}),
  }
  const result = trigger(turn, { ...item, options: { ...item.options, ...place } })
  if (result.ok) return result.value.id
  // A refused item takes its place as a run that failed before it began, so that counts and order hold (2.86).
  const { payload } = item.options
  const failed = trigger(turn, { ...item, options: { payload, ...place, delayUntil: Number.MAX_SAFE_INTEGER } })
  const run = failed.ok ? turn.state.find(failed.value.id) : undefined
  if (!run) throw new Error(`A batch item could not be recorded: ${result.error.message}`)
  run.status = 'PENDING'
  end(
    turn,
    run,
    'SYSTEM_FAILURE',
    { type: 'INTERNAL_ERROR', code: 'BATCH_ITEM_COULD_NOT_TRIGGER', message: result.error.message },
    [],
  )
  batch.errors.push({
    index: item.index,
    taskIdentifier: item.task,
    error: result.error.message,
    errorCode: 'BATCH_ITEM_COULD_NOT_TRIGGER',
  })
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
  turn.state.putBatch(batch)
  wakeWaiting(turn, batchId)
}

function wakeWaiting(turn: Turn, batchId: string): void {
  for (const run of turn.state.takeWaiters(`batch:${batchId}`)) checkWaits(turn, run)
}

function keyOf(batch: StoredBatch): { idempotencyKey?: string } {
  return batch.idempotencyKey ? { idempotencyKey: batch.idempotencyKey } : {}
}
