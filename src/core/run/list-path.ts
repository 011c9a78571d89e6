/**
 * Which index a list of runs walks. Every path gives the runs in the order of their ids, so a cursor is an id on all of them;
 * what the path does not decide is a condition on each row it reads.
 */
import { firstIdAt } from '../../contracts/ids.ts'
import type { ListRunsInput, RunStatus } from '../../contracts/rpc.ts'
import { isFinal } from './statuses.ts'

/** Final states that are rare beside success: they have an index, and only they pay for it. In the order of its migration. */
export const indexedEndings: readonly RunStatus[] = [
  'CANCELED',
  'COMPLETED_WITH_ERRORS',
  'CRASHED',
  'EXPIRED',
  'INTERRUPTED',
  'SYSTEM_FAILURE',
  'TIMED_OUT',
]

export type ListPath =
  | { by: 'batch'; batchId: string }
  | { by: 'tag'; tags: string[] }
  /** Runs that are not final are in memory, the rest in the index of endings. */
  | { by: 'status'; live: RunStatus[]; endings: RunStatus[] }
  | { by: 'task'; tasks: string[] }
  | { by: 'id' }

export function listPath(input: ListRunsInput): ListPath {
  if (input.batchId !== undefined) return { by: 'batch', batchId: input.batchId }
  if (input.tags) return { by: 'tag', tags: [...new Set(input.tags)] }
  if (input.statuses?.every((status) => !isFinal(status) || indexedEndings.includes(status))) {
    const statuses = [...new Set(input.statuses)]
    return {
      by: 'status',
      live: statuses.filter((status) => !isFinal(status)),
      endings: statuses.filter((status) => isFinal(status)),
    }
  }
  if (input.tasks) return { by: 'task', tasks: [...new Set(input.tasks)] }
  return { by: 'id' }
}

/** A run may be created this long after the time in its id: a schedule that catches up, a batch that is sent slowly. */
const createdLateMs = 6 * 3_600_000
/** The id is made by a Worker whose clock may be ahead of the object's. */
const clocksApartMs = 60_000

/** Between these ids lie all runs created in the period. */
export function idBounds(input: Pick<ListRunsInput, 'from' | 'to'>): { first?: string; end?: string } {
  const { from, to } = input
  return {
    ...(from === undefined ? {} : { first: firstIdAt('run', Math.max(0, from - createdLateMs)) }),
    ...(to === undefined ? {} : { end: firstIdAt('run', Math.max(0, to + clocksApartMs)) }),
  }
}
