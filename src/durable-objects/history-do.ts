/**
 * What final runs leave: one object per environment, partition and day of the runs' ids. Nothing here decides anything.
 * What must stay true: a run is stored whole or not at all, storing it again replaces it, and after the end of its retention
 * nothing is left of the day.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import type { ArchivedRun, HistoryObject } from '../contracts/objects.ts'
import type { Packet } from '../contracts/rpc.ts'
import {
  historyTableExists,
  migrateHistory,
  readArchivedMetadata,
  readArchivedRun,
  writeArchivedRuns,
} from '../storage/history-table.ts'

export class HistoryDO extends DurableObject<Env> implements HistoryObject {
  async put(runs: { runId: string; run: ArchivedRun }[], expiresAt: number): Promise<void> {
    const { storage } = this.ctx
    const isNew = !historyTableExists(storage.sql)
    storage.transactionSync(() => {
      // Not in the constructor: an object asked for a day without runs stays empty, and costs nothing.
      migrateHistory(storage.sql)
      writeArchivedRuns(storage.sql, runs)
    })
    if (isNew || (await storage.getAlarm()) === null) await storage.setAlarm(Math.max(Date.now() + 1, expiresAt))
  }

  async get(runId: string): Promise<ArchivedRun | null> {
    const { sql } = this.ctx.storage
    return historyTableExists(sql) ? (readArchivedRun(sql, runId) ?? null) : null
  }

  async getMetadata(runIds: string[]): Promise<Record<string, Packet>> {
    const { sql } = this.ctx.storage
    if (!historyTableExists(sql)) return {}
    const found: Record<string, Packet> = {}
    for (const runId of runIds) {
      const metadata = readArchivedMetadata(sql, runId)
      if (metadata) found[runId] = metadata
    }
    return found
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAll()
  }
}
