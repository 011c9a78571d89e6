/** Small JSON documents by id: waitpoints and settings of an environment. */
type Table = 'waitpoints'

export function putDocument(sql: SqlStorage, table: Table, id: string, value: unknown): void {
  sql.exec(`INSERT OR REPLACE INTO ${table} (id, data) VALUES (?, ?)`, id, JSON.stringify(value))
}
export function readDocument<T>(sql: SqlStorage, table: Table, id: string): T | undefined {
  const row = [...sql.exec<{ data: string }>(`SELECT data FROM ${table} WHERE id = ?`, id)][0]
  return row ? (JSON.parse(row.data) as T) : undefined
}
export function* walkDocuments<T>(
  sql: SqlStorage,
  table: Table,
  from: string | undefined,
  descending: boolean,
  limit: number,
): Generator<T> {
  const where = from === undefined ? '' : `WHERE id ${descending ? '<' : '>'} ?`
  const query = `SELECT data FROM ${table} ${where} ORDER BY id ${descending ? 'DESC' : 'ASC'} LIMIT ${limit}`
  for (const row of sql.exec<{ data: string }>(query, ...(from === undefined ? [] : [from]))) yield JSON.parse(row.data)
}

export function putSetting(sql: SqlStorage, name: string, value: unknown): void {
  sql.exec('INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)', name, JSON.stringify(value))
}
export function readSetting<T>(sql: SqlStorage, name: string): T | undefined {
  const row = [...sql.exec<{ value: string }>('SELECT value FROM settings WHERE name = ?', name)][0]
  return row ? (JSON.parse(row.value) as T) : undefined
}

export function deleteSetting(sql: SqlStorage, name: string): void {
  sql.exec('DELETE FROM settings WHERE name = ?', name)
}

export function findWaitpointKey(sql: SqlStorage, key: string): { waitpointId: string; expiresAt: number | null } | undefined {
  const row = [
    ...sql.exec<{ waitpoint_id: string; expires_at: number | null }>(
      'SELECT waitpoint_id, expires_at FROM waitpoint_keys WHERE key = ?',
      key,
    ),
  ][0]
  return row ? { waitpointId: row.waitpoint_id, expiresAt: row.expires_at } : undefined
}
export function putWaitpointKey(sql: SqlStorage, key: string, waitpointId: string, expiresAt: number | undefined): void {
  sql.exec('INSERT OR REPLACE INTO waitpoint_keys VALUES (?, ?, ?)', key, waitpointId, expiresAt ?? null)
}
/** Completed ones from before the id, with the keys that name them. */
export function deleteOldWaitpoints(sql: SqlStorage, before: string, limit: number): void {
  const query = `SELECT id FROM waitpoints WHERE id < ? AND json_extract(data, '$.status') <> 'WAITING' ORDER BY id LIMIT ?`
  const old = [...sql.exec<{ id: string }>(query, before, limit)].map((row) => row.id)
  for (const id of old) {
    sql.exec('DELETE FROM waitpoints WHERE id = ?', id)
    sql.exec('DELETE FROM waitpoint_keys WHERE waitpoint_id = ?', id)
  }
}
