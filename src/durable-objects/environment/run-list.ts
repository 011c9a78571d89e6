/** Pages of runs. A page reads at most 2,000 rows: a sparse filter gives a short page and a cursor to go on from. */
import type { ListRunsInput, ListRunsResult, RunDetail } from '../../contracts/rpc.ts'
import { idBounds, listPath } from '../../core/run/list-path.ts'
import { type ListEntry, rowsPerEntry, walkList } from '../../storage/run-list.ts'
import { readListMetadata, type StoredRun } from '../../storage/run-table.ts'
import { record } from './reads.ts'
import type { EnvironmentState } from './state.ts'

/** Some 5 ms where no index helps; a page of 100 reads the metadata of each run besides. */
const rowsPerWalk = 1_000

export function listRuns(state: EnvironmentState, input: ListRunsInput): ListRunsResult {
  const backwards = input.before !== undefined && input.after === undefined
  const limit = Math.max(1, Math.floor(rowsPerWalk / rowsPerEntry(listPath(input))))
  const found: StoredRun[] = []
  let last: string | undefined
  let scanned = 0
  let isFull = false
  const walk = walkRuns(state, input, limit, backwards)
  for (const { id, run } of walk) {
    if (run && found.length === input.size) {
      isFull = true
      break
    }
    if (run) found.push(run)
    last = id
    scanned += 1
    if (scanned === limit) break
  }
  const isCut = scanned === limit && !isFull
  if (backwards) found.reverse()
  const runs = found.map((run) => ({ ...record(state, run), ...metadataOf(state, run) }))
  const [newest, oldest] = [found[0]?.id, found.at(-1)?.id]
  if (backwards) {
    const previous = isCut ? last : isFull ? newest : undefined
    return { runs, ...(oldest ? { next: oldest } : {}), ...(previous ? { previous } : {}) }
  }
  const next = isCut ? last : isFull ? oldest : undefined
  return { runs, ...(next ? { next } : {}), ...(input.after && newest ? { previous: newest } : {}) }
}

function walkRuns(state: EnvironmentState, input: ListRunsInput, limit: number, backwards = false): Generator<ListEntry> {
  const path = listPath(input)
  const { first, end } = idBounds(input)
  const before = backwards ? end : earlier(input.after, end)
  return walkList(state.sql, {
    path,
    input,
    descending: !backwards,
    liveIds: path.by === 'status' ? liveIds(state, path.live) : [],
    limit,
    ...(before === undefined ? {} : { before }),
    ...(backwards && input.before !== undefined ? { after: input.before } : {}),
    ...(first === undefined ? {} : { first }),
  })
}

/** Ids of all runs that fit, newest first; undefined when there are more to look through than the limit. */
export function runsMatching(state: EnvironmentState, filter: Omit<ListRunsInput, 'size'>, limit: number): string[] | undefined {
  const walk = walkRuns(state, { size: 0, ...filter }, limit + 1)
  const ids: string[] = []
  let scanned = 0
  for (const { id, run } of walk) {
    scanned += 1
    if (scanned > limit) return undefined
    if (run) ids.push(id)
  }
  return ids
}

/** The newest that fit, as they are now. */
export function newestRuns(state: EnvironmentState, filter: Omit<ListRunsInput, 'size'>, most: number): StoredRun[] {
  const found: StoredRun[] = []
  for (const { id, run } of walkRuns(state, { size: 0, ...filter }, most)) if (run) found.push(state.live.get(id) ?? run)
  return found
}

function earlier(left: string | undefined, right: string | undefined): string | undefined {
  if (left === undefined || right === undefined) return left ?? right
  return left < right ? left : right
}

function liveIds(state: EnvironmentState, statuses: readonly string[]): string[] {
  const ids: string[] = []
  for (const run of state.live.values()) if (statuses.includes(run.status)) ids.push(run.id)
  return ids
}

function metadataOf(state: EnvironmentState, run: StoredRun): Pick<RunDetail, 'metadata' | 'archived'> {
  const { metadata, archived } = readListMetadata(state.sql, run.id)
  if (metadata) return { metadata }
  return archived ? { archived: true } : {}
}
