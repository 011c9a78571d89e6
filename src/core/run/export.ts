/** A run on its way out of an environment and into another. What a run refers to goes where the run goes. */
import type { ExportedRun } from '../../contracts/export.ts'
import { locatorOf, relocateId, timeOf } from '../../contracts/ids.ts'
import type { RunPackets, RunRecord, SpanRecord } from '../../contracts/rpc.ts'
import { isFinal } from './statuses.ts'

/** What is not of the engine, which nobody else could go on with. */
export function exportedRun(
  stored: RunRecord & { engine?: { lockToVersion?: string; parked?: { externalId: string } } },
  packets: RunPackets & { spans: SpanRecord[] },
): ExportedRun {
  const { engine, waitingReason: _reason, ...run } = stored
  const { payload, metadata, output, error, spans } = packets
  return {
    run,
    ...(payload ? { payload } : {}),
    ...(metadata ? { metadata } : {}),
    ...(output ? { output } : {}),
    ...(error ? { error } : {}),
    spans,
    ...(engine?.lockToVersion ? { lockToVersion: engine.lockToVersion } : {}),
    ...(engine?.parked ? { externalDeploymentId: engine.parked.externalId } : {}),
  }
}

/** The same id in the same environment; in another, one that the old id decides, so that a second import finds the first. */
export function relocatedRun(run: RunRecord, locator: string): RunRecord {
  const moved = (id: string): string => relocateId(id, locator)
  const { batchId, parentRunId, rootRunId, replayOf, bulkActionIds } = run
  const isAtHome = locatorOf(run.id) === locator
  return {
    ...run,
    id: moved(run.id),
    ...(batchId ? { batchId: moved(batchId) } : {}),
    ...(parentRunId ? { parentRunId: moved(parentRunId) } : {}),
    ...(rootRunId ? { rootRunId: moved(rootRunId) } : {}),
    ...(replayOf ? { replayOf: moved(replayOf) } : {}),
    ...(bulkActionIds ? { bulkActionIds: bulkActionIds.map(moved) } : {}),
    ...(isAtHome ? {} : { importedFrom: run.importedFrom ?? run.id }),
  }
}

export type Verdict = 'import' | 'queueAgain' | 'known' | 'unfinished' | 'madeByParent' | 'expired'

export function importVerdict(
  { run, isMadeByUnfinished }: Pick<ExportedRun, 'run' | 'isMadeByUnfinished'>,
  { isKnown, cutoff, queueUnfinished }: { isKnown: boolean; cutoff: number; queueUnfinished: boolean },
): Verdict {
  if (isKnown) return 'known'
  if (!isFinal(run.status)) {
    if (!queueUnfinished) return 'unfinished'
    return isMadeByUnfinished ? 'madeByParent' : 'queueAgain'
  }
  return (timeOf(run.id) ?? 0) < cutoff ? 'expired' : 'import'
}
