/** Archived runs: one JSON document, cut into rows, with the metadata beside the first of them for lists. */
import type { ArchivedRun } from '../contracts/objects.ts'
import type { Packet } from '../contracts/rpc.ts'

/** SQLite in a Durable Object takes values up to 2 MB. */
const chunkBytes = 1_000_000

export function migrateHistory(sql: SqlStorage): void {
  sql.exec(
    'CREATE TABLE IF NOT EXISTS history (run_id TEXT NOT NULL, chunk INTEGER NOT NULL, metadata TEXT, data BLOB NOT NULL, PRIMARY KEY (run_id, chunk)) WITHOUT ROWID',
  )
}

export function historyTableExists(sql: SqlStorage): boolean {
  return sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'history'").toArray().length > 0
}

export function writeArchivedRun(sql: SqlStorage, runId: string, run: ArchivedRun): void {
  const bytes = new TextEncoder().encode(JSON.stringify(run))
  sql.exec('DELETE FROM history WHERE run_id = ?', runId)
  for (let chunk = 0; chunk * chunkBytes < bytes.length; chunk++) {
    const metadata = chunk === 0 && run.metadata ? JSON.stringify(run.metadata) : null
    const data = bytes.slice(chunk * chunkBytes, (chunk + 1) * chunkBytes)
    sql.exec('INSERT INTO history (run_id, chunk, metadata, data) VALUES (?, ?, ?, ?)', runId, chunk, metadata, data.buffer)
  }
}

export function readArchivedRun(sql: SqlStorage, runId: string): ArchivedRun | undefined {
  const decoder = new TextDecoder()
  let text = ''
  const rows = sql.exec<{ data: ArrayBuffer }>('SELECT data FROM history WHERE run_id = ? ORDER BY chunk', runId)
  // A character may straddle two chunks.
  for (const { data } of rows) text += decoder.decode(data, { stream: true })
  return text ? (JSON.parse(text + decoder.decode()) as ArchivedRun) : undefined
}

export function readArchivedMetadata(sql: SqlStorage, runId: string): Packet | undefined {
  const query = 'SELECT metadata FROM history WHERE run_id = ? AND chunk = 0'
  const row = sql.exec<{ metadata: string | null }>(query, runId).toArray()[0]
  return row?.metadata ? (JSON.parse(row.metadata) as Packet) : undefined
}
