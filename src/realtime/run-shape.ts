/**
 * A run as the row of a shape, as the SDK's embedded shape client reads it (realtime-protocol.md §2): every value is text or null, told
 * apart by the schema in a header.
 */
import type { RunDetail, RunStatus } from '../contracts/rpc.ts'

type Column = { type: string; dims?: number }

export const columns: Readonly<Record<string, Column>> = {
  id: { type: 'text' },
  friendlyId: { type: 'text' },
  taskIdentifier: { type: 'text' },
  status: { type: 'text' },
  createdAt: { type: 'timestamp' },
  updatedAt: { type: 'timestamp' },
  startedAt: { type: 'timestamp' },
  delayUntil: { type: 'timestamp' },
  queuedAt: { type: 'timestamp' },
  expiredAt: { type: 'timestamp' },
  completedAt: { type: 'timestamp' },
  number: { type: 'int4' },
  isTest: { type: 'bool' },
  usageDurationMs: { type: 'int4' },
  costInCents: { type: 'float8' },
  baseCostInCents: { type: 'float8' },
  ttl: { type: 'text' },
  payload: { type: 'text' },
  payloadType: { type: 'text' },
  metadata: { type: 'text' },
  metadataType: { type: 'text' },
  output: { type: 'text' },
  outputType: { type: 'text' },
  runTags: { type: 'text', dims: 1 },
  error: { type: 'jsonb' },
  realtimeStreams: { type: 'text', dims: 1 },
}

/** Every SDK's row schema needs them. */
const kept = new Set(['id', 'taskIdentifier', 'friendlyId', 'status', 'createdAt', 'updatedAt'])

/** The columns a client wants, by the comma list of those it does not. */
export function wantedColumns(skip: string | undefined): string[] {
  const skipped = new Set((skip ?? '').split(',').map((name) => name.trim()))
  return Object.keys(columns).filter((name) => kept.has(name) || !skipped.has(name))
}

export function schemaHeader(names: string[]): string {
  return JSON.stringify(Object.fromEntries(names.map((name) => [name, columns[name]])))
}

/** `isModern`: of SDK 4 and later, which knows all statuses. */
export function rowOf(run: RunDetail, names: string[], isModern: boolean): Record<string, string | null> {
  const output = run.status === 'COMPLETED_SUCCESSFULLY' ? run.output : undefined
  const all: Record<string, string | null> = {
    id: run.id,
    friendlyId: run.id,
    taskIdentifier: run.task,
    status: statusOf(run.status, isModern),
    createdAt: timestamp(run.createdAt),
    updatedAt: timestamp(run.updatedAt),
    startedAt: timestamp(run.startedAt),
    delayUntil: timestamp(run.delayUntil),
    queuedAt: timestamp(run.queuedAt),
    expiredAt: timestamp(run.expiredAt),
    completedAt: timestamp(run.completedAt),
    number: '0',
    isTest: run.isTest ? 't' : 'f',
    usageDurationMs: String(Math.round(run.durationMs)),
    costInCents: String(run.costInCents),
    baseCostInCents: String(run.baseCostInCents),
    ttl: run.ttl ?? null,
    payload: run.payload?.data ?? null,
    payloadType: run.payload?.dataType ?? null,
    metadata: run.metadata?.data ?? null,
    metadataType: run.metadata ? 'application/json' : null,
    output: output?.data ?? null,
    outputType: output?.dataType ?? null,
    runTags: array(run.tags),
    error: run.error ? JSON.stringify(run.error) : null,
    realtimeStreams: array(run.streams ?? []),
  }
  return Object.fromEntries(names.map((name) => [name, all[name] ?? null]))
}

export type Message =
  | { key: string; value: Record<string, string | null>; headers: { operation: 'insert' | 'update' } }
  | { headers: { control: 'up-to-date' } }

export const upToDate: Message = { headers: { control: 'up-to-date' } }

export function rowMessage(row: Record<string, string | null>, operation: 'insert' | 'update'): Message {
  return { key: `"public"."TaskRun"/"${row.id}"`, value: row, headers: { operation } }
}

/** An offset is the revision of the newest row that was sent. */
export function offsetOf(revision: number): string {
  return `${revision}_0`
}
export function revisionOf(offset: string | undefined): number | undefined {
  const match = /^(\d{1,15})_\d+$/.exec(offset ?? '')
  return match ? Number(match[1]) : undefined
}

/** SDK 3 fails on the two it does not know. */
function statusOf(status: RunStatus, isModern: boolean): string {
  if (isModern) return status
  if (status === 'DEQUEUED') return 'EXECUTING'
  return status === 'PENDING_VERSION' ? 'WAITING_FOR_DEPLOY' : status
}

/** Without a zone: the SDK adds it. */
function timestamp(at: number | undefined): string | null {
  return at === undefined ? null : new Date(at).toISOString().slice(0, -1)
}

/** Postgres' way of writing an array. */
function array(items: string[]): string {
  return `{${items.map((item) => `"${item.replace(/["\\]/g, (char) => `\\${char}`)}"`).join(',')}}`
}
