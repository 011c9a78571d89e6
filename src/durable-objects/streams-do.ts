/**
 * The streams of one run, apart from its environment: a flood of tokens slows nobody who decides. What must stay true: a line is
 * stored once, however often its writer sends it; readers get each record once and in order; all of it goes with the run.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import type { RpcResult } from '../contracts/rpc.ts'
import { type StreamRecord, type StreamsObject, type StreamWrite, streamLimits } from '../contracts/streams.ts'
import { retentionDaysOf } from '../core/run/retention.ts'
import {
  migrateStreams,
  readLastIndex,
  readLastSeq,
  readRecords,
  readStreamBytes,
  streamsExist,
  writeRecords,
} from '../storage/stream-table.ts'

const dayMs = 86_400_000

export class StreamsDO extends DurableObject<Env> implements StreamsObject {
  /** Readers that wait for something new. */
  private readonly waiting = new Set<() => void>()
  private bytes: number | undefined

  async write(input: StreamWrite): Promise<RpcResult<{ lastIndex: number }>> {
    const { storage } = this.ctx
    if (!streamsExist(storage.sql)) {
      migrateStreams(storage.sql)
      // A run is kept for so many days after its end; a day more for one that takes long.
      await storage.setAlarm(Date.now() + (retentionDaysOf(this.env.RUN_RETENTION_DAYS) + 1) * dayMs)
    }
    const last = readLastIndex(storage.sql, input.key, input.client)
    const known = Math.max(0, last + 1 - input.from)
    const lines = input.lines.slice(known)
    if (lines.length === 0) return { ok: true, value: { lastIndex: last } }
    this.bytes = (this.bytes ?? readStreamBytes(storage.sql)) + lines.reduce((sum, line) => sum + line.length, 0)
    if (this.bytes > streamLimits.bytes) {
      this.bytes = undefined
      const message = `The streams of a run hold at most ${streamLimits.bytes} bytes.`
      return { ok: false, error: { code: 'TOO_LARGE', message, status: 413 } }
    }
    writeRecords(storage.sql, { ...input, from: input.from + known, lines }, Date.now())
    for (const wake of this.waiting) wake()
    return { ok: true, value: { lastIndex: input.from + input.lines.length - 1 } }
  }

  async lastIndex(key: string, client: string): Promise<number> {
    const { sql } = this.ctx.storage
    return streamsExist(sql) ? readLastIndex(sql, key, client) : -1
  }

  async lastSeq(key: string): Promise<number> {
    const { sql } = this.ctx.storage
    return streamsExist(sql) ? readLastSeq(sql, key) : -1
  }

  async read(key: string, after: number, waitMs: number): Promise<StreamRecord[]> {
    const { sql } = this.ctx.storage
    const deadline = Date.now() + waitMs
    for (;;) {
      const records = streamsExist(sql) ? readRecords(sql, key, after, streamLimits.callBytes) : []
      const leftMs = deadline - Date.now()
      if (records.length > 0 || leftMs <= 0) return records
      await this.changed(leftMs)
    }
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAll()
  }

  private changed(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, withinMs)
      this.waiting.add(wake)
    })
  }
}
