/**
 * The buckets of an environment's rate limits, and the lanes that stand aside because theirs is empty. A bucket belongs to a
 * task, or to one value of the key its limit names; what changed is collected for whoever keeps it.
 */
import { Heap } from '../heap.ts'
import type { Lane } from './lanes.ts'
import { capped, nextTokenAt, type RateLimit, takeToken, tokensAt } from './token-bucket.ts'

/** What a run's start takes a token from; only its first start takes one. */
export function bucketOf(
  run: { task: string; startedAt?: number; engine: { rateKey?: string } },
  tokens: Pick<Tokens, 'rateOf'>,
): string | undefined {
  const rate = tokens.rateOf(run.task)
  if (run.startedAt !== undefined || !rate) return undefined
  // A version without the key may have come since the trigger.
  const rateKey = rate.isKeyed ? run.engine.rateKey : undefined
  return rateKey === undefined ? run.task : `${run.task}\n${rateKey}`
}

function taskOf(bucket: string): string {
  const end = bucket.indexOf('\n')
  return end < 0 ? bucket : bucket.slice(0, end)
}

export class Tokens {
  /** By task. */
  private rates = new Map<string, RateLimit>()
  /** Bucket → when it is full again; one that is not here is full. */
  readonly fullAt = new Map<string, number>()
  readonly changed = new Set<string>()
  private readonly aside = new Map<string, Set<Lane>>()
  /** When a bucket with lanes aside has a token: hints. */
  private readonly due = new Heap<{ at: number; bucket: string }>((left, right) => left.at < right.at)

  rateOf(bucket: string): RateLimit | undefined {
    return this.rates.get(taskOf(bucket))
  }

  count(bucket: string, now: number): number {
    const rate = this.rateOf(bucket)
    return rate ? tokensAt(rate, this.fullAt.get(bucket) ?? 0, now) : Number.POSITIVE_INFINITY
  }

  take(bucket: string, now: number): void {
    const rate = this.rateOf(bucket)
    if (!rate) return
    this.fullAt.set(bucket, takeToken(rate, this.fullAt.get(bucket) ?? 0, now))
    this.changed.add(bucket)
  }

  /** When the bucket gives a token, by what is known. */
  nextAt(bucket: string): number {
    const rate = this.rateOf(bucket)
    return rate ? nextTokenAt(rate, this.fullAt.get(bucket) ?? 0) : 0
  }

  standAside(lane: Lane): void {
    lane.lanes.stepAside(lane)
    const lanes = this.aside.get(lane.bucket)
    if (lanes) lanes.add(lane)
    else {
      this.aside.set(lane.bucket, new Set([lane]))
      this.due.add({ at: this.nextAt(lane.bucket), bucket: lane.bucket })
    }
  }
  leave(lane: Lane): void {
    const lanes = this.aside.get(lane.bucket)
    lanes?.delete(lane)
    if (lanes?.size === 0) this.aside.delete(lane.bucket)
  }

  /** All lanes of a bucket that has a token: whose turn it is decides who takes it, and the others stand aside again. */
  comeBack(now: number): Lane[] {
    const back: Lane[] = []
    for (let first = this.due.first(); first && first.at <= now; first = this.due.first()) {
      const { bucket } = first
      this.due.take()
      const lanes = this.aside.get(bucket)
      if (!lanes) continue
      if (this.count(bucket, now) < 1) {
        this.due.add({ at: Math.max(now + 1, this.nextAt(bucket)), bucket })
        continue
      }
      this.aside.delete(bucket)
      for (const lane of lanes) lane.lanes.stepBack(lane)
      back.push(...lanes)
    }
    return back
  }

  /** When the next lane that stands aside may come back. */
  earliest(): number | undefined {
    for (let first = this.due.first(); first; first = this.due.first()) {
      const isWanted = this.aside.has(first.bucket)
      const at = this.nextAt(first.bucket)
      if (isWanted && at <= first.at) return first.at
      this.due.take()
      if (isWanted) this.due.add({ at, bucket: first.bucket })
    }
    return undefined
  }

  /** Every lane is tried anew under the new limits. */
  setRates(rates: Map<string, RateLimit>, now: number): void {
    this.rates = rates
    for (const [bucket, fullAt] of this.fullAt) {
      const rate = this.rateOf(bucket)
      if (rate) this.fullAt.set(bucket, capped(rate, fullAt, now))
    }
    for (const lanes of this.aside.values()) for (const lane of lanes) lane.lanes.stepBack(lane)
    this.aside.clear()
  }

  /** Buckets that are full again are as good as unknown. */
  forgetFull(now: number): void {
    for (const [bucket, fullAt] of this.fullAt) if (fullAt <= now) this.fullAt.delete(bucket)
  }
}
