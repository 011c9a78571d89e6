/** Records of a run's streams: what was written together is one row, because rows are what an account pays for. */
import type { StreamRecord, StreamWrite } from '../contracts/streams.ts'

interface Row extends Record<string, SqlStorageValue> {
  first_seq: number
  at: number
  lines: string
}

export function migrateStreams(sql: SqlStorage): void {
  sql.exec(`CREATE TABLE IF NOT EXISTS records (key TEXT NOT NULL, first_seq INTEGER NOT NULL, count INTEGER NOT NULL, at INTEGER NOT NULL,
    client TEXT NOT NULL, first_index INTEGER NOT NULL, lines TEXT NOT NULL, PRIMARY KEY (key, first_seq)) WITHOUT ROWID`)
}

export function streamsExist(sql: SqlStorage): boolean {
  return sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'records'").toArray().length > 0
}

export function writeRecords(sql: SqlStorage, { key, client, from, lines }: StreamWrite, at: number): void {
  const first = readLastSeq(sql, key) + 1
  sql.exec('INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)', key, first, lines.length, at, client, from, JSON.stringify(lines))
}

export function readLastSeq(sql: SqlStorage, key: string): number {
  const query = 'SELECT first_seq + count - 1 AS last FROM records WHERE key = ? ORDER BY first_seq DESC LIMIT 1'
  return sql.exec<{ last: number }>(query, key).toArray()[0]?.last ?? -1
}

export function readLastIndex(sql: SqlStorage, key: string, client: string): number {
  const query = 'SELECT max(first_index + count - 1) AS last FROM records WHERE key = ? AND client = ?'
  return sql.exec<{ last: number | null }>(query, key, client).one().last ?? -1
}

export function readStreamBytes(sql: SqlStorage): number {
  return sql.exec<{ bytes: number | null }>('SELECT sum(length(lines)) AS bytes FROM records').one().bytes ?? 0
}

/** At least one when there is one, up to so many characters. */
export function readRecords(sql: SqlStorage, key: string, after: number, most: number): StreamRecord[] {
  const records: StreamRecord[] = []
  let size = 0
  // The row the reader is within begins before its place.
  const start = sql
    .exec<{ first: number | null }>(
      'SELECT max(first_seq) AS first FROM records WHERE key = ? AND first_seq <= ?',
      key,
      after + 1,
    )
    .one().first
  const rows = sql.exec<Row>(
    'SELECT first_seq, at, lines FROM records WHERE key = ? AND first_seq >= ? ORDER BY first_seq',
    key,
    start ?? 0,
  )
  for (const { first_seq, at, lines } of rows) {
    for (const [index, data] of (JSON.parse(lines) as string[]).entries()) {
      const seq = first_seq + index
      if (seq <= after) continue
      if (size > 0 && size + data.length > most) return records
      size += data.length
      records.push({ seq, at, data })
    }
  }
  return records
}
