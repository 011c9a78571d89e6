/**
 * The lines of an exported environment (NDJSON), also of the objects expired runs are written to. One object per line; a reader
 * skips fields it does not know, and a change of meaning is a new format.
 */
import type { RunPackets, RunRecord, SpanRecord } from './rpc.ts'

export const exportFormat = 1

/** The first line, of every piece. */
export interface EnvironmentLine {
  kind: 'environment'
  format: number
  exportedAt: number
  id: string
  projectRef: string
  slug: string
  branchName?: string
}
export interface VariableLine {
  kind: 'variable'
  name: string
  value: string
  isSecret: boolean
}
/** Only what somebody set: the rest is declared by a deployment. */
export interface QueueSettings {
  name: string
  paused: boolean
  override?: { limit?: number; percent?: number }
}
export interface QueueLine extends QueueSettings {
  kind: 'queue'
}
/** Made over the API; declared ones come with a deployment. */
export interface ScheduleLine {
  kind: 'schedule'
  id: string
  task: string
  cron: string
  timezone: string
  window?: string
  externalId?: string
  deduplicationKey?: string
  /** Of a schedule made from a sentence. */
  payload?: Record<string, unknown>
  active: boolean
}
/** A piece of a stored payload or output, before the run that refers to it. Base64, so that the bytes stay the same. */
export interface PacketLine {
  kind: 'packet'
  path: string
  contentType: string
  /** Of the whole packet, in bytes. */
  size: number
  offset: number
  data: string
}
export interface ExportedRun extends RunPackets {
  run: RunRecord
  spans: SpanRecord[]
  idempotencyKeyExpiresAt?: number
  lockToVersion?: string
  /** It waited for this deployment. */
  externalDeploymentId?: string
  /** Its parent was not final: begun again, the parent makes it again. */
  isMadeByUnfinished?: boolean
}
export interface RunLine extends ExportedRun {
  kind: 'run'
}
/** The last line; without it the file was cut off. `next`: there are more runs, after this one. */
export interface EndLine {
  kind: 'end'
  runs: number
  next?: string
}

export type ExportLine = EnvironmentLine | VariableLine | QueueLine | ScheduleLine | PacketLine | RunLine | EndLine

/** Of the runs of an import, each in one of these. */
export interface ImportedRuns {
  imported: number
  /** Not final, made again as runs of this environment. */
  queuedAgain: number
  /** Here already, from an earlier import or because the file is from here. */
  known: number
  /** Not final, and not asked for. */
  unfinished: number
  /** Not made again because their parent, begun again, makes them. */
  madeByParent: number
  /** Past the retention of this environment: they would be deleted at once. */
  expired: number
  refused: { id: string; reason: string }[]
}
