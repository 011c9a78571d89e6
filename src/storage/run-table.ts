/** Run rows: one JSON document beside the few columns something filters by. Packets live apart, so that lists stay small. */
import type { Packet, RunRecord, SpanRecord, TaskRunError } from '../contracts/rpc.ts'
import type { Wait } from '../core/queue/waiting-reason.ts'
import type { Remote } from '../core/run/snapshots.ts'
import { deleteCheckpoints } from './checkpoint-table.ts'

/** Engine state of a run; never leaves the object. */
export interface RunEngine {
  operationId: string
  /** 0 = nobody acts for the run. */
  lease: number
  slot: number
  /** Queue order: time of queueing less the priority. */
  score: number
  holdsSlot: boolean
  waits: Wait[]
  /** All waits are done; queued again to go on where it stands. */
  resuming?: boolean
  /** A retry or a delay is due at this time. */
  dueAt?: number
  ttlAt?: number
  /** Lost by the platform this often in a row without progress. */
  lost: number
  /** The process froze this often in a row while it executed. */
  freezes?: number
  /** This attempt was started more than once: its calls may repeat earlier ones. */
  restarted?: boolean
  lockToVersion?: string
  /** What the key of its task's rate limit is in its payload. */
  rateKey?: string
  /** Waits for the deployment of this external id; `queue` is what the trigger asked for. */
  parked?: { externalId: string; queue?: string }
  /** Delayed: triggers with this key become this run. `since`: when the first came. */
  debounce?: { key: string; since: number; operations: string[] }
  /** Executed, now or last, by a process elsewhere. */
  remote?: Remote
  /** The isolate was killed under it: it restarts alone in a shard of its own. */
  ownShard?: boolean
}
export interface StoredRun extends RunRecord {
  engine: RunEngine
}
export interface StoredPackets {
  payload?: Packet
  metadata?: Packet
  output?: Packet
  error?: TaskRunError
  spans: SpanRecord[]
  /** There is no row: the run was handed over to HistoryDO. */
  archived?: boolean
}

interface PacketRow extends Record<string, SqlStorageValue> {
  payload: string | null
  metadata: string | null
  output: string | null
  error: string | null
  spans: string | null
}

export function isLive(run: StoredRun, final: boolean): boolean {
  return !final || run.engine.lease > 0
}

export function insertRun(
  sql: SqlStorage,
  run: StoredRun,
  live: boolean,
  packets: Pick<StoredPackets, 'payload' | 'metadata'>,
): void {
  sql.exec(
    'INSERT INTO runs (id, task, status, live, parent_id, batch_id, data) VALUES (?, ?, ?, ?, ?, ?, ?)',
    run.id,
    run.task,
    run.status,
    live ? 1 : null,
    run.parentRunId ?? null,
    run.batchId ?? null,
    JSON.stringify(run),
  )
  sql.exec(
    'INSERT INTO packets (run_id, payload, metadata) VALUES (?, ?, ?)',
    run.id,
    packets.payload ? JSON.stringify(packets.payload) : null,
    packets.metadata ? JSON.stringify(packets.metadata) : null,
  )
  writeTags(sql, run.id, run.tags)
}

export function updateRun(sql: SqlStorage, run: StoredRun, live: boolean): void {
  sql.exec(
    'UPDATE runs SET status = ?, live = ?, data = ? WHERE id = ?',
    run.status,
    live ? 1 : null,
    JSON.stringify(run),
    run.id,
  )
}

export function readRun(sql: SqlStorage, id: string): StoredRun | undefined {
  const row = [...sql.exec<{ data: string }>('SELECT data FROM runs WHERE id = ?', id)][0]
  return row ? (JSON.parse(row.data) as StoredRun) : undefined
}

export function* readLiveRuns(sql: SqlStorage): Generator<StoredRun> {
  for (const row of sql.exec<{ data: string }>('SELECT data FROM runs WHERE live = 1 ORDER BY id')) yield JSON.parse(row.data)
}

export function readChildren(sql: SqlStorage, parentId: string): StoredRun[] {
  return [...sql.exec<{ data: string }>('SELECT data FROM runs WHERE parent_id = ? ORDER BY id', parentId)].map((row) =>
    JSON.parse(row.data),
  )
}

export function* newestRuns(sql: SqlStorage, limit: number): Generator<StoredRun> {
  for (const row of sql.exec<{ data: string }>('SELECT data FROM runs ORDER BY id DESC LIMIT ?', limit))
    yield JSON.parse(row.data)
}

export function replaceTags(sql: SqlStorage, runId: string, before: string[], after: string[]): void {
  for (const tag of before) if (!after.includes(tag)) sql.exec('DELETE FROM run_tags WHERE tag = ? AND run_id = ?', tag, runId)
  writeTags(sql, runId, after)
}

/** Lists by tag find the run here. */
export function writeTags(sql: SqlStorage, runId: string, tags: string[]): void {
  for (const tag of tags) sql.exec('INSERT OR IGNORE INTO run_tags VALUES (?, ?)', tag, runId)
}

export function readPackets(sql: SqlStorage, runId: string): StoredPackets {
  const row = [...sql.exec<PacketRow>('SELECT payload, metadata, output, error, spans FROM packets WHERE run_id = ?', runId)][0]
  if (!row) return { spans: [], archived: true }
  return {
    ...(row.payload ? { payload: JSON.parse(row.payload) } : {}),
    ...(row.metadata ? { metadata: JSON.parse(row.metadata) } : {}),
    ...(row.output ? { output: JSON.parse(row.output) } : {}),
    ...(row.error ? { error: JSON.parse(row.error) } : {}),
    spans: row.spans ? JSON.parse(row.spans) : [],
  }
}

/** Another trigger's input for a run that was not started; without metadata, the old stays. */
export function writeInput(sql: SqlStorage, runId: string, input: Pick<StoredPackets, 'payload' | 'metadata'>): void {
  sql.exec('UPDATE packets SET payload = ? WHERE run_id = ?', input.payload ? JSON.stringify(input.payload) : null, runId)
  if (input.metadata) writeMetadata(sql, runId, input.metadata)
}

export function readMetadata(sql: SqlStorage, runId: string): Packet | undefined {
  const row = [...sql.exec<{ metadata: string | null }>('SELECT metadata FROM packets WHERE run_id = ?', runId)][0]
  return row?.metadata ? JSON.parse(row.metadata) : undefined
}

/** What a list shows of a run's packets; they may be in HistoryDO by now. */
export function readListMetadata(sql: SqlStorage, runId: string): { metadata?: Packet; archived?: boolean } {
  const row = [...sql.exec<{ metadata: string | null }>('SELECT metadata FROM packets WHERE run_id = ?', runId)][0]
  if (!row) return { archived: true }
  return row.metadata ? { metadata: JSON.parse(row.metadata) } : {}
}

export function writeMetadata(sql: SqlStorage, runId: string, metadata: Packet): void {
  sql.exec('UPDATE packets SET metadata = ? WHERE run_id = ?', JSON.stringify(metadata), runId)
}

export function writeResult(sql: SqlStorage, runId: string, result: Pick<StoredPackets, 'output' | 'error' | 'spans'>): void {
  sql.exec(
    'UPDATE packets SET output = ?, error = ?, spans = ? WHERE run_id = ?',
    result.output ? JSON.stringify(result.output) : null,
    result.error ? JSON.stringify(result.error) : null,
    result.spans.length > 0 ? JSON.stringify(result.spans) : null,
    runId,
  )
}

/** The task name of used one-time tokens in the table of keys: none a task can have. */
export const oneTimeTokens = '$one-time-token'
/** The same for stored packets whose name does not say whose they are: which runs refer to them. */
const storedPackets = '$stored-packet'
const ownersRead = 20

/** Longer than a stored packet is of use: its run is deleted before. */
const packetOwnerMs = 400 * 86_400_000

export function notePacketOwner(sql: SqlStorage, runId: string, packet: Packet | undefined, now: number): void {
  const path = packet?.dataType === 'application/store' ? packet.data : undefined
  if (path && !path.includes(runId)) putKey(sql, storedPackets, `${path}\n${runId}`, runId, now + packetOwnerMs)
}
export function packetOwners(sql: SqlStorage, path: string): string[] {
  const query = 'SELECT run_id FROM idempotency_keys WHERE task = ? AND key > ? AND key < ? LIMIT ?'
  return [...sql.exec<{ run_id: string }>(query, storedPackets, `${path}\n`, `${path}\n~`, ownersRead)].map((row) => row.run_id)
}

export function findKey(sql: SqlStorage, task: string, key: string): { runId: string; expiresAt: number } | undefined {
  const row = [
    ...sql.exec<{ run_id: string; expires_at: number }>(
      'SELECT run_id, expires_at FROM idempotency_keys WHERE task = ? AND key = ?',
      task,
      key,
    ),
  ][0]
  return row ? { runId: row.run_id, expiresAt: row.expires_at } : undefined
}
export function putKey(sql: SqlStorage, task: string, key: string, runId: string, expiresAt: number): void {
  sql.exec('INSERT OR REPLACE INTO idempotency_keys VALUES (?, ?, ?, ?)', task, key, runId, expiresAt)
}
export function deleteKey(sql: SqlStorage, task: string, key: string): number {
  return sql.exec('DELETE FROM idempotency_keys WHERE task = ? AND key = ?', task, key).rowsWritten
}

/** Runs that still have their packets here, oldest first. */
export function* walkPackets(sql: SqlStorage, after: string, limit: number): Generator<string> {
  for (const row of sql.exec<{ run_id: string }>(
    'SELECT run_id FROM packets WHERE run_id > ? ORDER BY run_id LIMIT ?',
    after,
    limit,
  ))
    yield row.run_id
}
export function deletePackets(sql: SqlStorage, runId: string): void {
  sql.exec('DELETE FROM packets WHERE run_id = ?', runId)
}
/** The run and all that names it. */
export function deleteRun(sql: SqlStorage, run: StoredRun): void {
  sql.exec('DELETE FROM runs WHERE id = ?', run.id)
  deleteCheckpoints(sql, run.id)
  deletePackets(sql, run.id)
  replaceTags(sql, run.id, run.tags, [])
  if (run.idempotencyKey)
    sql.exec('DELETE FROM idempotency_keys WHERE task = ? AND key = ? AND run_id = ?', run.task, run.idempotencyKey, run.id)
}

/** Runs nobody needs: from before the id, not live, and not the child of a live run. */
export function* walkOldRuns(sql: SqlStorage, before: string, limit: number): Generator<StoredRun> {
  const query = `SELECT data FROM runs WHERE id < ? AND live IS NULL
    AND (parent_id IS NULL OR parent_id NOT IN (SELECT id FROM runs WHERE live = 1)) ORDER BY id LIMIT ?`
  for (const row of [...sql.exec<{ data: string }>(query, before, limit)]) yield JSON.parse(row.data)
}
export function hasFinalRuns(sql: SqlStorage, from: string, before: string): boolean {
  return [...sql.exec('SELECT 1 FROM runs WHERE id >= ? AND id < ? AND live IS NULL LIMIT 1', from, before)].length > 0
}
/** Oldest first. */
export function walkRuns(sql: SqlStorage, after: string, before: string, limit: number): StoredRun[] {
  const query = 'SELECT data FROM runs WHERE id > ? AND id < ? ORDER BY id LIMIT ?'
  return [...sql.exec<{ data: string }>(query, after, before, limit)].map((row) => JSON.parse(row.data) as StoredRun)
}
export function oldestRun(sql: SqlStorage): string | undefined {
  return [...sql.exec<{ id: string }>('SELECT id FROM runs ORDER BY id LIMIT 1')][0]?.id
}

export function deleteExpiredTokens(sql: SqlStorage, now: number): void {
  sql.exec('DELETE FROM idempotency_keys WHERE task IN (?, ?) AND expires_at < ?', oneTimeTokens, storedPackets, now)
}
