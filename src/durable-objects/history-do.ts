/**
 * What final runs leave: one object per environment, partition and day of the runs' ids. Nothing here decides anything.
 * What must stay true: a run is stored whole or not at all, storing it again replaces it, and after `expire` nothing is left.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import type { HistoryObject } from '../contracts/objects.ts'
import type { RunDetail, SpanRecord } from '../contracts/rpc.ts'

/** Bytes per row: SQLite in a Durable Object takes values up to 2 MB. */
const CHUNK_BYTES = 1_000_000

interface Entry {
  record: RunDetail
  spans: SpanRecord[]
}

export class HistoryDO extends DurableObject<Env> implements HistoryObject {
  async put(runs: (Entry & { runId: string })[]): Promise<void> {
    const { sql } = this.ctx.storage
    this.ctx.storage.transactionSync(() => {
      // Not in the constructor: an object asked for a day without runs stays empty, and costs nothing.
      sql.exec(
        'CREATE TABLE IF NOT EXISTS history (run_id TEXT NOT NULL, chunk INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run_id, chunk)) WITHOUT ROWID',
      )
      for (const { runId, record, spans } of runs) {
        const bytes = new TextEncoder().encode(JSON.stringify({ record, spans } satisfies Entry))
        sql.exec('DELETE FROM history WHERE run_id = ?', runId)
        for (let chunk = 0; chunk * CHUNK_BYTES < bytes.length; chunk++) {
          const data = bytes.slice(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES)
          sql.exec('INSERT INTO history (run_id, chunk, data) VALUES (?, ?, ?)', runId, chunk, data.buffer)
        }
      }
    })
  }

  async get(runId: string): Promise<Entry | null> {
    if (!this.hasTable()) return null
    const decoder = new TextDecoder()
    let text = ''
    for (const { data } of this.ctx.storage.sql.exec<{ data: ArrayBuffer }>(
      'SELECT data FROM history WHERE run_id = ? ORDER BY chunk',
      runId,
    )) {
      // A character may straddle two chunks.
      text += decoder.decode(data, { stream: true })
    }
    return text ? (JSON.parse(text + decoder.decode()) as Entry) : null
  }

  async expire(at: number): Promise<void> {
    await this.ctx.storage.setAlarm(Math.max(Date.now() + 1, at))
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAlarm()
    await this.ctx.storage.deleteAll()
  }

  private hasTable(): boolean {
    return this.ctx.storage.sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'history'").toArray().length > 0
  }
}
