/**
 * The rate limits of an environment's tasks: which runs need a token, and the buckets kept through a reset. A bucket is kept
 * some tokens ahead, so that a reset costs those, and most starts write nothing.
 */

import type { WorkerVersion } from '../../contracts/rpc.ts'
import { type AdmissionState, nextTokenAt, setRates } from '../../core/queue/admission.ts'
import { ratesOf } from '../../core/queue/rate-limits.ts'
import { tokenMs } from '../../core/queue/token-bucket.ts'
import { bucketOf } from '../../core/queue/tokens.ts'
import type { DueList } from '../../core/run/due-list.ts'
import { deleteFullBuckets, putBucket, readBuckets } from '../../storage/rate-table.ts'
import type { StoredRun } from '../../storage/run-table.ts'

/** A limit of fewer is kept exactly. */
const aheadShare = 10
/** Tokens may come faster; runs then start some at a time, and the alarm is not set for each. */
const shortestWakeMs = 100
const leastSwept = 1_000

export class RateLimits {
  /** Bucket → what its row says. */
  private readonly kept = new Map<string, number>()
  /** Queued run → the bucket it is queued with. */
  private readonly queued = new Map<string, string>()
  private wakeAt: number | undefined
  private sweepAbove = leastSwept

  load(sql: SqlStorage, admission: AdmissionState, now: number): void {
    this.queued.clear()
    this.kept.clear()
    this.wakeAt = undefined
    deleteFullBuckets(sql, now)
    for (const { bucket, fullAt } of readBuckets(sql)) {
      admission.tokens.fullAt.set(bucket, fullAt)
      this.kept.set(bucket, fullAt)
    }
  }

  apply(version: WorkerVersion | undefined, admission: AdmissionState, now: number): void {
    setRates(admission, ratesOf(version?.tasks ?? []), now)
  }

  enter(run: StoredRun, admission: AdmissionState): string | undefined {
    const bucket = bucketOf(run, admission.tokens)
    if (bucket !== undefined) this.queued.set(run.id, bucket)
    return bucket
  }
  bucketIn(runId: string): string | undefined {
    return this.queued.get(runId)
  }
  leave(runId: string): void {
    this.queued.delete(runId)
  }

  /** In the transaction of the starts. */
  write(sql: SqlStorage, { tokens }: AdmissionState, now: number): void {
    for (const bucket of tokens.changed) {
      const [fullAt, rate] = [tokens.fullAt.get(bucket), tokens.rateOf(bucket)]
      if (fullAt === undefined || !rate || fullAt <= (this.kept.get(bucket) ?? 0)) continue
      const ahead = fullAt + Math.floor(rate.limit / aheadShare) * tokenMs(rate)
      putBucket(sql, bucket, ahead)
      this.kept.set(bucket, ahead)
    }
    tokens.changed.clear()
    if (this.kept.size > this.sweepAbove) this.sweep(sql, tokens, now)
  }

  /** A key for each user makes many buckets: when there are twice as many as last time, those that are full go. */
  private sweep(sql: SqlStorage, tokens: AdmissionState['tokens'], now: number): void {
    tokens.forgetFull(now)
    for (const [bucket, fullAt] of this.kept) if (fullAt <= now) this.kept.delete(bucket)
    deleteFullBuckets(sql, now)
    this.sweepAbove = Math.max(leastSwept, 2 * this.kept.size)
  }

  /** After a reset nobody knows which runs lack a token: the first turn finds out. */
  planFirst(due: DueList, now: number): void {
    if (this.queued.size === 0) return
    this.wakeAt = now
    due.add({ at: now, kind: 'rate', id: '' })
  }

  /** When nothing but a token is missing. */
  plan(admission: AdmissionState, due: DueList, now: number): void {
    const next = nextTokenAt(admission)
    if (next === undefined) return
    const at = Math.max(next, now + shortestWakeMs)
    if (this.wakeAt !== undefined && this.wakeAt <= at) return
    this.wakeAt = at
    due.add({ at, kind: 'rate', id: '' })
  }
  woken(): void {
    this.wakeAt = undefined
  }
}
