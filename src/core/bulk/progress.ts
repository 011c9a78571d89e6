/**
 * A bulk action is a list of run ids, fixed when it is created, and how far it is. What must hold: each id is counted once, as
 * success or failure, and an action that is not pending never moves again.
 */
import type { BulkActionRecord } from '../../contracts/objects.ts'

/** Items of one transaction; between two of them everybody else gets a turn. */
export const bulkPageSize = 50
/** Ids in one row of the table; a multiple of the page. */
export const bulkChunkSize = 1_000
const replaysAtOnce = 3
/** A replay that stood still for longer does not count as in progress (8.12). */
const stalledMs = 30 * 60_000

export function newBulkAction(
  input: Pick<BulkActionRecord, 'id' | 'type' | 'name' | 'targetRegion'>,
  total: number,
  now: number,
): BulkActionRecord {
  const pending: BulkActionRecord = { ...input, status: 'PENDING', total, success: 0, failure: 0, createdAt: now, updatedAt: now }
  return total === 0 ? { ...pending, status: 'COMPLETED', completedAt: now } : pending
}

export function mayReplay(open: BulkActionRecord[], now: number): boolean {
  const moving = open.filter((one) => one.type === 'REPLAY' && one.status === 'PENDING' && now - one.updatedAt < stalledMs)
  return moving.length < replaysAtOnce
}

export function doneCount(action: BulkActionRecord): number {
  return action.success + action.failure
}

/** Where the next page lies in the stored chunks; undefined when there is nothing to do. */
export function nextPage(action: BulkActionRecord): { chunk: number; start: number; end: number } | undefined {
  const done = doneCount(action)
  if (action.status !== 'PENDING' || done >= action.total) return undefined
  const start = done % bulkChunkSize
  const end = Math.min(start + bulkPageSize, bulkChunkSize, start + action.total - done)
  return { chunk: Math.floor(done / bulkChunkSize), start, end }
}

/** What was done counts only from the place it was planned for: a page that comes twice, or after an abort, changes nothing. */
export function mayAdvance(action: BulkActionRecord | undefined, plannedAt: number): action is BulkActionRecord {
  return action?.status === 'PENDING' && doneCount(action) === plannedAt
}

export function advance(action: BulkActionRecord, outcomes: boolean[], now: number): BulkActionRecord {
  const success = action.success + outcomes.filter(Boolean).length
  const failure = action.failure + outcomes.filter((one) => !one).length
  const finished = success + failure >= action.total
  return { ...action, success, failure, updatedAt: now, ...(finished ? { status: 'COMPLETED', completedAt: now } : {}) }
}

/** Undefined: there is nothing left to abort. */
export function abort(action: BulkActionRecord, now: number): BulkActionRecord | undefined {
  return action.status === 'PENDING' ? { ...action, status: 'ABORTED', updatedAt: now, completedAt: now } : undefined
}
