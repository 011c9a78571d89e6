/** The rows of a file tree. Paths are apart from contents, so that looking through them reads little. */
import type { FileEntry } from '../contracts/files.ts'

export interface FileRow extends FileEntry {
  /** In the bucket, when the contents are not in a row here. */
  object: string | undefined
}

type Columns = { path: string; size: number; modified_at: number; object: string | null }

export function migrateFiles(sql: SqlStorage): void {
  sql.exec(`CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified_at INTEGER NOT NULL,
    object TEXT) WITHOUT ROWID`)
  sql.exec('CREATE TABLE IF NOT EXISTS contents (path TEXT PRIMARY KEY, bytes BLOB NOT NULL)')
  sql.exec('CREATE TABLE IF NOT EXISTS garbage (object TEXT PRIMARY KEY, due_at INTEGER NOT NULL) WITHOUT ROWID')
  sql.exec('CREATE TABLE IF NOT EXISTS totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID')
}

export function filesExist(sql: SqlStorage): boolean {
  return sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'files'").toArray().length > 0
}

export function putFile(sql: SqlStorage, row: FileRow, bytes: Uint8Array | undefined): void {
  const { path, size, modifiedAt, object } = row
  sql.exec('INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)', path, size, modifiedAt, object ?? null)
  if (bytes) sql.exec('INSERT OR REPLACE INTO contents VALUES (?, ?)', path, bytes)
  else sql.exec('DELETE FROM contents WHERE path = ?', path)
}

export function deleteFile(sql: SqlStorage, path: string): void {
  sql.exec('DELETE FROM files WHERE path = ?', path)
  sql.exec('DELETE FROM contents WHERE path = ?', path)
}

export function readFile(sql: SqlStorage, path: string): FileRow | undefined {
  const row = sql.exec<Columns>('SELECT * FROM files WHERE path = ?', path).toArray()[0]
  return row && entryOf(row)
}

export function readContents(sql: SqlStorage, path: string): Uint8Array | undefined {
  const row = sql.exec<{ bytes: ArrayBuffer }>('SELECT bytes FROM contents WHERE path = ?', path).toArray()[0]
  return row && new Uint8Array(row.bytes)
}

/** In the order of their paths, from `from` (or after it) to before `to`. */
export function* walkFiles(sql: SqlStorage, from: string, to: string, limit: number, isAfter = false): Generator<FileRow> {
  const query = `SELECT * FROM files WHERE path ${isAfter ? '>' : '>='} ? AND path < ? ORDER BY path LIMIT ?`
  for (const row of sql.exec<Columns>(query, from, to, limit)) yield entryOf(row)
}

function entryOf({ path, size, modified_at, object }: Columns): FileRow {
  return { path, size, modifiedAt: modified_at, object: object ?? undefined }
}

export function readTotal(sql: SqlStorage, name: 'bytes' | 'files'): number {
  return sql.exec<{ value: number }>('SELECT value FROM totals WHERE name = ?', name).toArray()[0]?.value ?? 0
}

export function addToTotal(sql: SqlStorage, name: 'bytes' | 'files', by: number): void {
  if (by === 0) return
  sql.exec('INSERT INTO totals VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value', name, by)
}

export function putGarbage(sql: SqlStorage, object: string, dueAt: number): void {
  sql.exec('INSERT OR REPLACE INTO garbage VALUES (?, ?)', object, dueAt)
}

export function deleteGarbage(sql: SqlStorage, objects: string[]): number {
  let found = 0
  for (const object of objects) found += sql.exec('DELETE FROM garbage WHERE object = ?', object).rowsWritten > 0 ? 1 : 0
  return found
}

export function dueGarbage(sql: SqlStorage, now: number, limit: number): string[] {
  const query = 'SELECT object FROM garbage WHERE due_at <= ? ORDER BY due_at LIMIT ?'
  return [...sql.exec<{ object: string }>(query, now, limit)].map(({ object }) => object)
}

export function nextGarbageAt(sql: SqlStorage): number | undefined {
  return sql.exec<{ due: number | null }>('SELECT min(due_at) AS due FROM garbage').one().due ?? undefined
}
