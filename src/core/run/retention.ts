/**
 * What becomes of a final run: its packets and trace go to HistoryDO an hour after it ended, its row is deleted at the end of
 * the retention time. Nothing a live run may still read is moved or deleted.
 */
import { timeOf } from '../../contracts/ids.ts'
import type { RunRecord } from '../../contracts/rpc.ts'
import { isFinal } from './statuses.ts'

const dayMs = 86_400_000
/** A final run's metadata takes changes for an hour; a little later nothing writes to it any more. */
export const handOverAfterMs = 65 * 60_000
export const defaultRetentionDays = 30
/** Runs of one hand-over, and the bytes they may have together: one call to one object. */
export const handOverRuns = 200
export const handOverBytes = 4_194_304

export function mayHandOver(run: RunRecord, parentIsLive: boolean, now: number): boolean {
  return isFinal(run.status) && !parentIsLive && run.completedAt !== undefined && run.completedAt <= now - handOverAfterMs
}

/** The day, in UTC, that names a run's HistoryDO: yyyymmdd of the run's id. */
export function historyDay(runId: string): string {
  return new Date(timeOf(runId) ?? 0).toISOString().slice(0, 10).replaceAll('-', '')
}

/** When all of a day is past its retention. */
export function historyEnd(day: string, retentionDays: number): number {
  const start = Date.UTC(Number(day.slice(0, 4)), Number(day.slice(4, 6)) - 1, Number(day.slice(6, 8)))
  return start + (1 + retentionDays) * dayMs
}

export function retentionCutoff(now: number, retentionDays: number): number {
  return now - retentionDays * dayMs
}
