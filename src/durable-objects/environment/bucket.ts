/**
 * Expired runs go to the bucket before they are deleted (RUN_ARCHIVE). What must stay true: a run is deleted only after an
 * object with it was taken; which runs an object has is written down first, so a repeated put replaces it by the same.
 */
import type { Env } from '../../contracts/bindings.ts'
import { type EnvironmentLine, type ExportedRun, exportFormat, type RunLine } from '../../contracts/export.ts'
import { timeOf } from '../../contracts/ids.ts'
import type { EnvironmentIdentity } from '../../contracts/rpc.ts'
import { exportedRun } from '../../core/run/export.ts'
import { bucketChars, bucketKey, bucketRuns, historyDay } from '../../core/run/retention.ts'
import { deleteSetting, putSetting, readSetting } from '../../storage/document-table.ts'
import { deleteRun, readPackets, readRun, type StoredRun } from '../../storage/run-table.ts'
import { historyOf, oldRuns } from './archive.ts'
import type { GroupCommit } from './group-commit.ts'
import { type EnvironmentState, value } from './state.ts'

const planName = 'bucketPlan'

/** One object of runs of one day, oldest first. False when nothing is left to move. */
export async function moveToBucket(env: Env, state: EnvironmentState, group: GroupCommit, cutoff: number): Promise<boolean> {
  const identity = state.identity
  if (!identity) return false
  const planned = readSetting<string[]>(state.sql, planName)
  const runs = planned ? planned.flatMap((id) => readRun(state.sql, id) ?? []) : ofOneDay(oldRuns(state, cutoff, bucketRuns))
  const exported = await complete(env, state, identity.locator, runs)
  const ids = exported.map(({ run }) => run.id)
  const [first] = ids
  if (first === undefined) {
    // A plan whose runs are gone would hold up all others.
    if (planned) await group.decide((turn) => value(clearBucketPlan(turn.state.sql)))
    return planned !== undefined
  }
  if (!planned) await group.decide((turn) => value(putSetting(turn.state.sql, planName, ids)))
  const lines = [header(identity, first), ...exported.map((run): RunLine => ({ kind: 'run', ...run }))]
  await env.BUCKET.put(bucketKey(identity, first), `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`, {
    httpMetadata: { contentType: 'application/x-ndjson' },
  })
  await group.decide((turn) => {
    for (const run of runs) if (ids.includes(run.id)) deleteRun(turn.state.sql, run)
    return value(clearBucketPlan(turn.state.sql))
  })
  return true
}

export function clearBucketPlan(sql: SqlStorage): void {
  if (readSetting(sql, planName) !== undefined) deleteSetting(sql, planName)
}

function ofOneDay(runs: StoredRun[]): StoredRun[] {
  return runs.filter(({ id }) => historyDay(id) === historyDay(runs[0]?.id as string))
}

/** With what HistoryDO has of them, in order, as many as one object takes. */
async function complete(env: Env, state: EnvironmentState, locator: string, runs: StoredRun[]): Promise<ExportedRun[]> {
  const exported: ExportedRun[] = []
  let size = 0
  let waiting = runs
  while (waiting.length > 0 && size < bucketChars) {
    const found = await historyOf(env, locator, waiting[0]?.id as string).getMany(waiting.map(({ id }) => id))
    // Those it did not come to are asked for in the next round.
    const answered = waiting.filter(({ id }) => id in found)
    if (answered.length === 0) throw new Error('the history gave no answer')
    for (const run of answered) {
      const { archived, ...packets } = readPackets(state.sql, run.id)
      const one = exportedRun(run, archived ? (found[run.id] ?? { spans: [] }) : packets)
      exported.push(one)
      size += JSON.stringify(one).length
    }
    waiting = waiting.slice(answered.length)
  }
  return exported
}

/** The same each time, as the rest of the object. */
function header({ id, projectRef, slug, branchName }: EnvironmentIdentity, first: string): EnvironmentLine {
  const exportedAt = timeOf(first) ?? 0
  return { kind: 'environment', format: exportFormat, exportedAt, id, projectRef, slug, ...(branchName ? { branchName } : {}) }
}
