/** Batches: one JSON document each; the open ones are found by an index, because a parent may wait for any of them. */
export function putBatch(sql: SqlStorage, batch: { id: string }, open: boolean): void {
  sql.exec('INSERT OR REPLACE INTO batches (id, data, open) VALUES (?, ?, ?)', batch.id, JSON.stringify(batch), open ? 1 : null)
}

export function readBatch<T>(sql: SqlStorage, id: string): T | undefined {
  const row = [...sql.exec<{ data: string }>('SELECT data FROM batches WHERE id = ?', id)][0]
  return row ? (JSON.parse(row.data) as T) : undefined
}

export function* readOpenBatches<T>(sql: SqlStorage): Generator<T> {
  for (const row of sql.exec<{ data: string }>('SELECT data FROM batches WHERE open = 1 ORDER BY id')) yield JSON.parse(row.data)
}

/** Newest first. */
export function* recentBatches<T>(sql: SqlStorage, limit: number): Generator<T> {
  for (const row of sql.exec<{ data: string }>('SELECT data FROM batches ORDER BY id DESC LIMIT ?', limit))
    yield JSON.parse(row.data)
}

export function deleteOldBatches(sql: SqlStorage, before: string, limit: number): void {
  sql.exec(
    'DELETE FROM batches WHERE id IN (SELECT id FROM batches WHERE id < ? AND open IS NULL ORDER BY id LIMIT ?)',
    before,
    limit,
  )
}
