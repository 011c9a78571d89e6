/** Bulk actions: one JSON document each, and the ids they work through, many to a row. The ids go when the action is over. */
export function putBulkAction(sql: SqlStorage, action: { id: string }, open: boolean): void {
  sql.exec(
    'INSERT OR REPLACE INTO bulk_actions (id, data, open) VALUES (?, ?, ?)',
    action.id,
    JSON.stringify(action),
    open ? 1 : null,
  )
  if (!open) sql.exec('DELETE FROM bulk_action_runs WHERE bulk_action_id = ?', action.id)
}

export function putBulkRuns(sql: SqlStorage, id: string, chunk: number, runIds: string[]): void {
  sql.exec('INSERT INTO bulk_action_runs (bulk_action_id, chunk, run_ids) VALUES (?, ?, ?)', id, chunk, JSON.stringify(runIds))
}
export function readBulkRuns(sql: SqlStorage, id: string, chunk: number): string[] {
  const query = 'SELECT run_ids FROM bulk_action_runs WHERE bulk_action_id = ? AND chunk = ?'
  const row = [...sql.exec<{ run_ids: string }>(query, id, chunk)][0]
  return row ? (JSON.parse(row.run_ids) as string[]) : []
}

export function readBulkAction<T>(sql: SqlStorage, id: string): T | undefined {
  const row = [...sql.exec<{ data: string }>('SELECT data FROM bulk_actions WHERE id = ?', id)][0]
  return row ? (JSON.parse(row.data) as T) : undefined
}

export function readOpenBulkActions<T>(sql: SqlStorage): T[] {
  return [...sql.exec<{ data: string }>('SELECT data FROM bulk_actions WHERE open = 1 ORDER BY id')].map(
    (row) => JSON.parse(row.data) as T,
  )
}

/** From a cursor, at most `limit`. */
export function listBulkActions<T>(sql: SqlStorage, from: string | undefined, descending: boolean, limit: number): T[] {
  const where = from === undefined ? '' : `WHERE id ${descending ? '<' : '>'} ?`
  const query = `SELECT data FROM bulk_actions ${where} ORDER BY id ${descending ? 'DESC' : 'ASC'} LIMIT ${limit}`
  const rows = sql.exec<{ data: string }>(query, ...(from === undefined ? [] : [from]))
  return [...rows].map((row) => JSON.parse(row.data) as T)
}

export function deleteOldBulkActions(sql: SqlStorage, before: string, limit: number): void {
  sql.exec(
    'DELETE FROM bulk_actions WHERE id IN (SELECT id FROM bulk_actions WHERE id < ? AND open IS NULL ORDER BY id LIMIT ?)',
    before,
    limit,
  )
}
