/** Schedule rows, and the few facts about the environment beside them. */
import type { EnvironmentIdentity } from '../contracts/rpc.ts'
import type { Schedule } from '../core/schedule/schedule.ts'

type Row = {
  id: string
  type: Schedule['type']
  task: string
  cron: string
  timezone: string
  tick_window: string | null
  deduplication_key: string | null
  external_id: string | null
  active: number
  next_at: number
  due_at: number | null
  last_at: number | null
  failures: number
  created_at: number
  payload: string | null
}

export function putSchedule(sql: SqlStorage, schedule: Schedule): void {
  sql.exec(
    `INSERT INTO schedules (id, type, task, cron, timezone, tick_window, deduplication_key, external_id, active, next_at, due_at,
       last_at, failures, created_at, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone, tick_window = excluded.tick_window,
       external_id = excluded.external_id, active = excluded.active, next_at = excluded.next_at, due_at = excluded.due_at,
       failures = excluded.failures, payload = excluded.payload`,
    schedule.id,
    schedule.type,
    schedule.task,
    schedule.cron,
    schedule.timezone,
    schedule.window ?? null,
    schedule.deduplicationKey ?? null,
    schedule.externalId ?? null,
    schedule.active ? 1 : 0,
    schedule.nextAt,
    schedule.dueAt ?? null,
    schedule.lastAt ?? null,
    schedule.failures,
    schedule.createdAt,
    schedule.payload === undefined ? null : JSON.stringify(schedule.payload),
  )
}

/** An id wins over a key that looks like one. */
export function findSchedule(sql: SqlStorage, reference: string): Schedule | undefined {
  return first(sql, 'WHERE id = ?', reference) ?? findByKey(sql, reference)
}

export function findByKey(sql: SqlStorage, deduplicationKey: string): Schedule | undefined {
  return first(sql, 'WHERE deduplication_key = ?', deduplicationKey)
}

export function declaredSchedules(sql: SqlStorage): Schedule[] {
  return select(sql, "WHERE type = 'DECLARATIVE'")
}

export function listSchedules(sql: SqlStorage, offset: number, limit: number): Schedule[] {
  return select(sql, 'ORDER BY created_at, id LIMIT ? OFFSET ?', limit, offset)
}

export function countSchedules(sql: SqlStorage, type?: Schedule['type']): number {
  const count = 'SELECT COUNT(*) AS count FROM schedules'
  const query =
    type === undefined ? sql.exec<{ count: number }>(count) : sql.exec<{ count: number }>(`${count} WHERE type = ?`, type)
  return query.one().count
}

export function dueSchedules(sql: SqlStorage, now: number, limit: number): Schedule[] {
  return select(sql, 'WHERE active = 1 AND due_at <= ? ORDER BY due_at LIMIT ?', now, limit)
}

export function earliestDue(sql: SqlStorage): number | undefined {
  return sql.exec<{ at: number | null }>('SELECT MIN(due_at) AS at FROM schedules WHERE active = 1').one().at ?? undefined
}

/**
 * Moves on from the tick the caller acted on. When the schedule was changed meanwhile and waits for another, that one is no longer
 * ours to move, but a run that was made was made.
 */
export function movePending(
  sql: SqlStorage,
  from: Schedule,
  to: Pick<Schedule, 'nextAt' | 'dueAt' | 'failures'> & { lastAt?: number },
): void {
  const moved = sql.exec(
    `UPDATE schedules SET next_at = ?, due_at = ?, failures = ?, last_at = COALESCE(?, last_at)
     WHERE id = ? AND next_at = ? AND cron = ? AND timezone = ? AND tick_window IS ?`,
    to.nextAt,
    to.dueAt ?? null,
    to.failures,
    to.lastAt ?? null,
    from.id,
    from.nextAt,
    from.cron,
    from.timezone,
    from.window ?? null,
  )
  if (moved.rowsWritten === 0 && to.lastAt !== undefined)
    sql.exec('UPDATE schedules SET last_at = ? WHERE id = ?', to.lastAt, from.id)
}

export function deleteSchedule(sql: SqlStorage, id: string): void {
  sql.exec('DELETE FROM schedules WHERE id = ?', id)
}

export function deleteSchedules(sql: SqlStorage): void {
  sql.exec('DELETE FROM schedules')
}

/** Writes nothing when it is known. */
export function putIdentity(sql: SqlStorage, identity: EnvironmentIdentity): void {
  sql.exec(
    `INSERT INTO state (key, value) VALUES ('identity', ?)
     ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value`,
    JSON.stringify(identity),
  )
}

export function readIdentity(sql: SqlStorage): EnvironmentIdentity | undefined {
  const row = sql.exec<{ value: string }>("SELECT value FROM state WHERE key = 'identity'").toArray()[0]
  return row ? (JSON.parse(row.value) as EnvironmentIdentity) : undefined
}

function first(sql: SqlStorage, rest: string, ...values: SqlStorageValue[]): Schedule | undefined {
  return select(sql, rest, ...values)[0]
}

function select(sql: SqlStorage, rest: string, ...values: SqlStorageValue[]): Schedule[] {
  return sql
    .exec<Row>(`SELECT * FROM schedules ${rest}`, ...values)
    .toArray()
    .map(stored)
}

function stored(row: Row): Schedule {
  return {
    id: row.id,
    type: row.type,
    task: row.task,
    cron: row.cron,
    timezone: row.timezone,
    ...(row.tick_window === null ? {} : { window: row.tick_window }),
    ...(row.deduplication_key === null ? {} : { deduplicationKey: row.deduplication_key }),
    ...(row.external_id === null ? {} : { externalId: row.external_id }),
    active: row.active === 1,
    nextAt: row.next_at,
    ...(row.due_at === null ? {} : { dueAt: row.due_at }),
    ...(row.last_at === null ? {} : { lastAt: row.last_at }),
    failures: row.failures,
    createdAt: row.created_at,
    ...(row.payload === null ? {} : { payload: JSON.parse(row.payload) as Record<string, unknown> }),
  }
}
