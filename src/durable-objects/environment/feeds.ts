/** Feeds of many runs. Nothing is kept for one but who waits for it: each question says what it has seen. */
import { type FeedPage, type FeedQuery, feedLimits } from '../../contracts/feed.ts'
import type { RunDetail } from '../../contracts/rpc.ts'
import { readPackets, type StoredPackets, type StoredRun } from '../../storage/run-table.ts'
import { record } from './reads.ts'
import { newestRuns } from './run-list.ts'
import type { EnvironmentState } from './state.ts'

/** What changes together is told together: looking through a feed costs some milliseconds. */
const gatherMs = 100

export function fits({ tags, batchId, from }: FeedQuery, run: StoredRun): boolean {
  if (batchId !== undefined && run.batchId !== batchId) return false
  if (from !== undefined && run.createdAt < from) return false
  return (tags ?? []).every((tag) => run.tags.includes(tag))
}

export function feedPage(state: EnvironmentState, query: FeedQuery, after: number, now: number): FeedPage {
  const { tags, batchId, from } = query
  // One tag is enough to find them; the rest is looked at.
  const filter = { ...(tags ? { tags: tags.slice(0, 1) } : {}), ...(batchId ? { batchId } : {}), ...(from ? { from } : {}) }
  const changed = newestRuns(state, filter, feedLimits.runs)
    .filter((run) => run.updatedAt > after && fits(query, run))
    .sort((one, other) => one.updatedAt - other.updatedAt)
  const runs: RunDetail[] = []
  let size = 0
  for (const run of changed) {
    const last = runs.at(-1)
    const isFull = runs.length >= feedLimits.pageRuns || size > feedLimits.pageChars
    // The next page begins after a revision, so those of one stay together.
    if (isFull && last && last.updatedAt < run.updatedAt) return { runs, revision: last.updatedAt, isCut: true }
    const stored: Partial<StoredPackets> = state.pendingPackets(run.id) ?? readPackets(state.sql, run.id)
    const { spans: _spans, ...packets } = stored
    size += [packets.payload, packets.metadata, packets.output].reduce((sum, packet) => sum + (packet?.data?.length ?? 0), 500)
    runs.push({ ...record(state, run), ...packets })
  }
  // Another run may still change within this millisecond: then this one's is told again.
  const revision = Math.min(runs.at(-1)?.updatedAt ?? after, now - 1)
  return { runs, revision: Math.max(after, revision), isCut: false }
}

export class FeedWatchers {
  private readonly waiting = new Set<{ query: FeedQuery; wake: () => void }>()

  changed(run: StoredRun): void {
    for (const each of this.waiting) if (fits(each.query, run)) each.wake()
  }

  get isEmpty(): boolean {
    return this.waiting.size === 0
  }

  /** Until a run of the feed changes, and a moment longer, or for this long. */
  wait(query: FeedQuery, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.waiting.delete(entry)
        resolve()
      }
      const entry = {
        query,
        wake: (): void => {
          // The first change counts: a feed that never rests is told all the same.
          if (isWoken) return
          isWoken = true
          clearTimeout(timer)
          timer = setTimeout(end, gatherMs)
        },
      }
      let isWoken = false
      let timer = setTimeout(end, waitMs)
      this.waiting.add(entry)
    })
  }
}
