/**
 * Archived runs: many to a row, because rows are what an account pays for. A pack is one JSON document of up to a megabyte,
 * cut into rows when a single run is larger, with the metadata of its runs beside it for lists.
 */
import type { ArchivedRun } from '../contracts/objects.ts'
import type { Packet } from '../contracts/rpc.ts'

/** SQLite in a Durable Object takes values up to 2 MB. */
const chunkBytes = 1_000_000

type Runs = Record<string, ArchivedRun>

export function migrateHistory(sql: SqlStorage): void {
  sql.exec(`CREATE TABLE IF NOT EXISTS history (pack INTEGER NOT NULL, chunk INTEGER NOT NULL, first_id TEXT NOT NULL,
    last_id TEXT NOT NULL, metadata TEXT, data BLOB NOT NULL, PRIMARY KEY (pack, chunk)) WITHOUT ROWID`)
}

export function historyTableExists(sql: SqlStorage): boolean {
  return sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'history'").toArray().length > 0
}

/** A run stored again is read from the newest pack; the older copy goes with the day. */
export function writeArchivedRuns(sql: SqlStorage, runs: { runId: string; run: ArchivedRun }[]): void {
  const sorted = [...runs].sort((a, b) => (a.runId < b.runId ? -1 : 1))
  let pack: Runs = {}
  let size = 0
  for (const { runId, run } of sorted) {
    const length = JSON.stringify(run).length
    if (size > 0 && size + length > chunkBytes) {
      writePack(sql, pack)
      pack = {}
      size = 0
    }
    pack[runId] = run
    size += length
  }
  if (size > 0) writePack(sql, pack)
}

function writePack(sql: SqlStorage, runs: Runs): void {
  const ids = Object.keys(runs)
  const metadata = Object.fromEntries(ids.flatMap((id) => (runs[id]?.metadata ? [[id, runs[id]?.metadata]] : [])))
  const bytes = new TextEncoder().encode(JSON.stringify(runs))
  const { last } = sql.exec<{ last: number | null }>('SELECT max(pack) AS last FROM history').one()
  for (let chunk = 0; chunk * chunkBytes < bytes.length; chunk++) {
    sql.exec(
      'INSERT INTO history (pack, chunk, first_id, last_id, metadata, data) VALUES (?, ?, ?, ?, ?, ?)',
      (last ?? 0) + 1,
      chunk,
      ids[0] as string,
      ids.at(-1) as string,
      chunk === 0 && Object.keys(metadata).length > 0 ? JSON.stringify(metadata) : null,
      bytes.slice(chunk * chunkBytes, (chunk + 1) * chunkBytes).buffer,
    )
  }
}

/** Any run of the day: all of them name the object's home. */
export function anyArchivedId(sql: SqlStorage): string | undefined {
  return sql.exec<{ first_id: string }>('SELECT first_id FROM history LIMIT 1').toArray()[0]?.first_id
}

/** In the order of the ids, up to so many characters of JSON but at least one. Neighbours share a pack, which is opened once. */
export function readArchivedRuns(sql: SqlStorage, runIds: string[], most: number): Record<string, ArchivedRun | null> {
  const found: Record<string, ArchivedRun | null> = {}
  let open: { pack: number; runs: Runs } | undefined
  let size = 0
  for (const runId of runIds) {
    if (size > most) break
    found[runId] = null
    for (const pack of packsOf(sql, runId)) {
      if (open?.pack !== pack) open = { pack, runs: JSON.parse(readPack(sql, pack)) as Runs }
      const run = open.runs[runId]
      if (!run) continue
      found[runId] = run
      size += JSON.stringify(run).length
      break
    }
  }
  return found
}

function readPack(sql: SqlStorage, pack: number): string {
  const decoder = new TextDecoder()
  let text = ''
  const rows = sql.exec<{ data: ArrayBuffer }>('SELECT data FROM history WHERE pack = ? ORDER BY chunk', pack)
  // A character may straddle two chunks.
  for (const { data } of rows) text += decoder.decode(data, { stream: true })
  return text + decoder.decode()
}

export function readArchivedRun(sql: SqlStorage, runId: string): ArchivedRun | undefined {
  for (const pack of packsOf(sql, runId)) {
    const text = readPack(sql, pack)
    const run = text.includes(runId) ? (JSON.parse(text) as Runs)[runId] : undefined
    if (run) return run
  }
  return undefined
}

export function readArchivedMetadata(sql: SqlStorage, runId: string): Packet | undefined {
  for (const pack of packsOf(sql, runId)) {
    const query = 'SELECT metadata FROM history WHERE pack = ? AND chunk = 0'
    const { metadata } = sql.exec<{ metadata: string | null }>(query, pack).one()
    const packet = metadata?.includes(runId) ? (JSON.parse(metadata) as Record<string, Packet>)[runId] : undefined
    if (packet) return packet
  }
  return undefined
}

/** Newest first; several, because a run that stayed live for long is packed later than its neighbours. */
function packsOf(sql: SqlStorage, runId: string): number[] {
  const query = 'SELECT pack FROM history WHERE chunk = 0 AND first_id <= ? AND last_id >= ? ORDER BY pack DESC'
  return [...sql.exec<{ pack: number }>(query, runId, runId)].map((row) => row.pack)
}
