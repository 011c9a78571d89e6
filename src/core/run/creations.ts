/** A guard against runaways: how many runs an environment makes in a minute. Counted in memory, so a reset begins anew. */
const minuteMs = 60_000
const generous = 100_000

export function creationLimit(setting: string | undefined): number {
  if (setting === 'off') return Number.POSITIVE_INFINITY
  return Number(setting) >= 1 ? Math.floor(Number(setting)) : generous
}

export class Creations {
  readonly limit: number
  private since = Number.NEGATIVE_INFINITY
  private count = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Counts one more; false when the minute has had its share. */
  admit(now: number): boolean {
    if (now >= this.since + minuteMs) {
      this.since = now
      this.count = 0
    }
    if (this.count >= this.limit) return false
    this.count += 1
    return true
  }
}
