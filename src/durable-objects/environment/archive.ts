/**
 * What final runs leave goes to HistoryDO, and at the end of its retention everything of a run is deleted. In passes, from
 * the alarm; a pass that dies is repeated: HistoryDO replaces what it already has, and only what it has taken is deleted here.
 */
import type { Env } from '../../contracts/bindings.ts'
import { firstIdAt, partitionOf, timeOf } from '../../contracts/ids.ts'
import { type ArchivedRun, type HistoryObject, objectNames } from '../../contracts/objects.ts'
import {
  archivesRuns,
  handOverAfterMs,
  handOverBytes,
  handOverRuns,
  historyDay,
  historyEnd,
  mayHandOver,
  retentionCutoff,
  retentionDaysOf,
} from '../../core/run/retention.ts'
import { deleteOldBatches } from '../../storage/batch-table.ts'
import { deleteOldBulkActions } from '../../storage/bulk-table.ts'
import { deleteOldWaitpoints } from '../../storage/document-table.ts'
import {
  deleteExpiredTokens,
  deletePackets,
  deleteRun,
  oldestRun,
  readPackets,
  type StoredRun,
  walkOldRuns,
  walkPackets,
} from '../../storage/run-table.ts'
import { clearBucketPlan, moveToBucket } from './bucket.ts'
import type { GroupCommit } from './group-commit.ts'
import { type EnvironmentState, value } from './state.ts'

const passEveryMs = 600_000
const rowsPerStep = 500
const stepsPerPass = 20

export class Archive {
  private readonly env: Env
  private readonly state: EnvironmentState
  private readonly group: GroupCommit
  private readonly retentionDays: number

  constructor(env: Env, state: EnvironmentState, group: GroupCommit) {
    this.env = env
    this.state = state
    this.group = group
    this.retentionDays = retentionDaysOf(env.RUN_RETENTION_DAYS)
  }

  /** Answers when the next pass is worth it; undefined when there is nothing to keep. */
  async pass(now: number): Promise<number | undefined> {
    let after = ''
    for (let step = 0; step < stepsPerPass; step++) {
      const { runs, last, done } = this.nextRuns(after, now)
      if (runs.length > 0) await this.handOver(runs)
      if (done) break
      after = last
    }
    const more = await this.deleteOld(now)
    if (more) return now + 1_000
    if ([...walkPackets(this.state.sql, '', 1)].length > 0) return now + passEveryMs
    const oldest = oldestRun(this.state.sql)
    return oldest
      ? Math.max(now + passEveryMs, (timeOf(oldest) ?? now) + (now - retentionCutoff(now, this.retentionDays)))
      : undefined
  }

  private nextRuns(after: string, now: number): { runs: StoredRun[]; last: string; done: boolean } {
    const { state } = this
    const tooYoung = firstIdAt('run', now - handOverAfterMs)
    const runs: StoredRun[] = []
    let last = after
    let bytes = 0
    let seen = 0
    for (const id of walkPackets(state.sql, after, rowsPerStep)) {
      if (id >= tooYoung) return { runs, last, done: true }
      seen += 1
      last = id
      const run = state.find(id)
      if (!run || !mayHandOver(run, run.parentRunId !== undefined && state.live.has(run.parentRunId), now)) continue
      runs.push(run)
      bytes += JSON.stringify(readPackets(state.sql, id)).length
      if (runs.length === handOverRuns || bytes > handOverBytes) return { runs, last, done: false }
    }
    return { runs, last, done: seen < rowsPerStep }
  }

  private async handOver(runs: StoredRun[]): Promise<void> {
    const byDay = new Map<string, { runId: string; run: ArchivedRun }[]>()
    for (const { id } of runs) {
      const { archived: _none, ...packets } = readPackets(this.state.sql, id)
      const day = historyDay(id)
      byDay.set(day, [...(byDay.get(day) ?? []), { runId: id, run: packets }])
    }
    const locator = this.state.identity?.locator ?? ''
    for (const entries of byDay.values()) {
      const first = entries[0]?.runId as string
      await historyOf(this.env, locator, first).put(entries, historyEnd(historyDay(first), this.retentionDays))
    }
    await this.group.decide((turn) => {
      for (const { id } of runs) deletePackets(turn.state.sql, id)
      return value(true)
    })
  }

  private async deleteOld(now: number): Promise<boolean> {
    const cutoff = retentionCutoff(now, this.retentionDays)
    const archives = archivesRuns(this.env.RUN_ARCHIVE)
    const result = await this.group.decide((turn) => {
      const { sql } = turn.state
      const old = archives ? [] : oldRuns(turn.state, cutoff, rowsPerStep)
      for (const run of old) deleteRun(sql, run)
      if (!archives) clearBucketPlan(sql)
      deleteExpiredTokens(sql, now)
      deleteOldBulkActions(sql, firstIdAt('bulk', cutoff), rowsPerStep)
      deleteOldBatches(sql, firstIdAt('batch', cutoff), rowsPerStep)
      deleteOldWaitpoints(sql, firstIdAt('waitpoint', cutoff), rowsPerStep)
      return value(old.length === rowsPerStep)
    })
    if (archives) {
      for (let step = 0; step < stepsPerPass; step++)
        if (!(await moveToBucket(this.env, this.state, this.group, cutoff))) return false
      return true
    }
    return result.ok && result.value
  }
}

/** Final runs past their retention that nobody needs, oldest first. */
export function oldRuns(state: EnvironmentState, cutoff: number, limit: number): StoredRun[] {
  return [...walkOldRuns(state.sql, firstIdAt('run', cutoff), limit)].filter((run) => !state.live.has(run.id))
}

export function historyOf(env: Env, locator: string, runId: string): HistoryObject {
  const name = objectNames.history(locator, partitionOf(runId) ?? '0', historyDay(runId))
  return env.HISTORY.get(env.HISTORY.idFromName(name)) as unknown as HistoryObject
}
