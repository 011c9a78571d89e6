/**
 * A token bucket as one number: the instant at which it is full again. `limit` tokens when full, one more every
 * `periodMs / limit`. In any window of w ms at most limit + w × limit / periodMs are taken.
 */
export interface RateLimit {
  limit: number
  periodMs: number
  /** One bucket for each value of a key. */
  isKeyed?: boolean
}

/** What floating point may be off by; far below a clock's millisecond, which no token comes in less than. */
const toleranceMs = 0.01

export function tokenMs({ limit, periodMs }: RateLimit): number {
  return periodMs / limit
}

/** Under a limit that was changed: nobody waits longer than an empty bucket makes one wait. */
export function capped(rate: RateLimit, fullAt: number, now: number): number {
  return Math.min(fullAt, now + rate.periodMs)
}

export function tokensAt(rate: RateLimit, fullAt: number, now: number): number {
  const filledMs = rate.periodMs - Math.max(0, fullAt - now)
  return Math.max(0, Math.floor((filledMs + toleranceMs) / tokenMs(rate)))
}

export function takeToken(rate: RateLimit, fullAt: number, now: number): number {
  return Math.max(now, fullAt) + tokenMs(rate)
}

/** When it has one token; in the past when it has one already. */
export function nextTokenAt(rate: RateLimit, fullAt: number): number {
  return Math.ceil(fullAt - (rate.limit - 1) * tokenMs(rate) - toleranceMs)
}
