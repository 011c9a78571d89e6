/** What a run's code stored on its way, by name: a later attempt of the run finds it. Goes with the run. */
export interface Checkpoint {
  name: string
  /** JSON. */
  data: string
  attempt: number
  createdAt: number
}

export function countCheckpoints(sql: SqlStorage, runId: string, except: string): number {
  const query = 'SELECT count(*) AS count FROM checkpoints WHERE run_id = ? AND name <> ?'
  return sql.exec<{ count: number }>(query, runId, except).one().count
}

/** The one stored last is the last, also when its name is used again. */
export function putCheckpoint(sql: SqlStorage, runId: string, { name, data, attempt, createdAt }: Checkpoint): void {
  const next = 'SELECT coalesce(max(number), 0) + 1 FROM checkpoints WHERE run_id = ?'
  sql.exec(
    `INSERT OR REPLACE INTO checkpoints (run_id, name, number, data, attempt, created_at) VALUES (?, ?, (${next}), ?, ?, ?)`,
    runId,
    name,
    runId,
    data,
    attempt,
    createdAt,
  )
}

export function readCheckpoints(sql: SqlStorage, runId: string): Checkpoint[] {
  const query = 'SELECT name, data, attempt, created_at AS createdAt FROM checkpoints WHERE run_id = ? ORDER BY number'
  return [...sql.exec<Checkpoint & Record<string, SqlStorageValue>>(query, runId)]
}

export function deleteCheckpoints(sql: SqlStorage, runId: string): void {
  sql.exec('DELETE FROM checkpoints WHERE run_id = ?', runId)
}
