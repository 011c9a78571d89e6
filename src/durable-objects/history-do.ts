/**
 * What final runs leave: one object per environment, partition and day of the runs' ids. Nothing here decides anything.
 * What must stay true: a run is stored whole or not at all, storing it again replaces it, and after the end of its retention
 * nothing is left of the day; where runs go to the bucket first, not before the last of them is there.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import { locatorOf, partitionOf } from '../contracts/ids.ts'
import {
  type ArchivedRun,
  type DirectoryObject,
  type EnvironmentObject,
  type HistoryObject,
  objectNames,
  timerNames,
} from '../contracts/objects.ts'
import type { Packet } from '../contracts/rpc.ts'
import { archivesRuns, handOverBytes, historyDay, historyEnd, retentionDaysOf } from '../core/run/retention.ts'
import {
  anyArchivedId,
  historyTableExists,
  migrateHistory,
  readArchivedMetadata,
  readArchivedRun,
  readArchivedRuns,
  writeArchivedRuns,
} from '../storage/history-table.ts'

const hourMs = 3_600_000

export class HistoryDO extends DurableObject<Env> implements HistoryObject {
  async put(runs: { runId: string; run: ArchivedRun }[], expiresAt: number): Promise<void> {
    const { storage } = this.ctx
    const isNew = !historyTableExists(storage.sql)
    if (isNew) await this.noteTimers(runs[0]?.runId, expiresAt)
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

  async getMany(runIds: string[]): Promise<Record<string, ArchivedRun | null>> {
    const { sql } = this.ctx.storage
    if (!historyTableExists(sql)) return Object.fromEntries(runIds.map((id) => [id, null]))
    return readArchivedRuns(sql, runIds, handOverBytes)
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
    await this.end()
  }

  async wake(): Promise<boolean> {
    const { storage } = this.ctx
    if (!historyTableExists(storage.sql)) return false
    if ((await storage.getAlarm()) === null) await this.end()
    return historyTableExists(storage.sql)
  }

  /** Deletes the day, or says when to look again: the retention may have become longer since. */
  private async end(): Promise<void> {
    const { storage } = this.ctx
    const runId = historyTableExists(storage.sql) ? anyArchivedId(storage.sql) : undefined
    const now = Date.now()
    const isOurs = runId !== undefined && locatorOf(runId) !== undefined
    const endsAt = isOurs ? historyEnd(historyDay(runId), retentionDaysOf(this.env.RUN_RETENTION_DAYS)) : now
    if (endsAt > now) {
      await this.noteTimers(runId, endsAt)
      await storage.setAlarm(endsAt)
    } else if (isOurs && (await this.isNeeded(runId))) await storage.setAlarm(now + hourMs)
    else await storage.deleteAll()
  }

  /** Runs that are not in the bucket yet are completed from here. */
  private async isNeeded(runId: string): Promise<boolean> {
    if (!archivesRuns(this.env.RUN_ARCHIVE)) return false
    const name = objectNames.environment(locatorOf(runId) as string, partitionOf(runId))
    const environment = this.env.ENVIRONMENT.get(this.env.ENVIRONMENT.idFromName(name)) as unknown as EnvironmentObject
    return environment.holdsRunsOf(historyDay(runId)).catch(() => true)
  }

  /** For the minute cron, should the alarm be lost. Only that is lost with it, so a failure stops nothing. */
  private async noteTimers(runId: string | undefined, expiresAt: number): Promise<void> {
    const locator = runId === undefined ? undefined : locatorOf(runId)
    if (runId === undefined || locator === undefined) return
    const name = timerNames.history(objectNames.history(locator, partitionOf(runId) as string, historyDay(runId)))
    const directory = this.env.DIRECTORY.get(this.env.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject
    await directory.noteTimers(name, expiresAt + hourMs).catch((error) => console.error('timer not noted', String(error)))
  }
}
