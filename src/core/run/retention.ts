/**
 * What becomes of a final run: its packets and trace go to HistoryDO an hour after it ended, its row is deleted at the end of
 * the retention time. Nothing a live run may still read is moved or deleted.
 */
import { firstIdAt, timeOf } from '../../contracts/ids.ts'
import type { EnvironmentIdentity, RunRecord } from '../../contracts/rpc.ts'
import { isFinal } from './statuses.ts'

const dayMs = 86_400_000
/** A final run's metadata takes changes for an hour; a little later nothing writes to it any more. */
export const handOverAfterMs = 65 * 60_000
export const defaultRetentionDays = 30
/** Runs of one object in the bucket, and the characters they may have together: all of them are in memory once. */
export const bucketRuns = 200
export const bucketChars = 8_388_608
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

export function retentionDaysOf(setting: string | undefined): number {
  return Number(setting) || defaultRetentionDays
}

export function archivesRuns(setting: string | undefined): boolean {
  return setting === 'on' || setting === 'true'
}

/** The first and the last run of a day, as bounds of ids: from the first, before the second. */
export function dayBounds(day: string): [from: string, before: string] {
  const end = historyEnd(day, 0)
  return [firstIdAt('run', end - dayMs), firstIdAt('run', end)]
}

/** The object a chunk of expired runs is written to. The chunk is fixed before, so writing it again replaces it by itself. */
export function bucketKey(identity: Pick<EnvironmentIdentity, 'projectRef' | 'id'>, firstRunId: string): string {
  return `archive/${identity.projectRef}/${identity.id}/${historyDay(firstRunId)}/${firstRunId}.ndjson`
}

export function retentionCutoff(now: number, retentionDays: number): number {
  return now - retentionDays * dayMs
}
