/** Durations, delays and periods as the wire writes them (api-surface.md §7). */
const unitMs: Record<string, number> = { w: 604_800_000, d: 86_400_000, hr: 3_600_000, h: 3_600_000, m: 60_000, s: 1_000 }

/** Nothing lasts longer: what is added to a clock must stay a date, and an alarm. */
const longestMs = 100 * 365 * 86_400_000
/** The year 2255: the latest time an alarm can be set for is a little later. */
const latest = 9_000_000_000_000

export function parseDuration(text: string): number | undefined {
  if (text.length > 100 || !/^(\d+(w|d|hr|h|m|s))+$/.test(text)) return undefined
  let total = 0
  const seen = new Set<string>()
  for (const [, count, unit] of text.matchAll(/(\d+)(w|d|hr|h|m|s)/g)) {
    if (seen.has(unit as string)) continue
    seen.add(unit as string)
    total += Number(count) * (unitMs[unit as string] as number)
  }
  return Math.min(total, longestMs)
}

/** Seconds in the longest units that fit: 3600 is `1h`, 90 is `1m30s`. */
export function formatDuration(seconds: number): string {
  let rest = Math.floor(seconds)
  let text = ''
  for (const unit of ['w', 'd', 'h', 'm', 's']) {
    const size = (unitMs[unit] as number) / 1_000
    const count = Math.floor(rest / size)
    if (count > 0) text += `${count}${unit}`
    rest -= count * size
  }
  return text || '0s'
}

/** A duration from now, a date, or a time in epoch milliseconds; undefined = unreadable. */
export function parseInstant(value: string | number, now: number): number | undefined {
  const duration = typeof value === 'string' ? parseDuration(value) : undefined
  if (duration !== undefined) return now + duration
  const time = new Date(value).getTime()
  return Number.isNaN(time) ? undefined : Math.min(time, latest)
}

/** `idempotencyKeyTTL`: one unit only; unreadable is ignored by the caller. */
export function parseKeyTtl(text: string | undefined): number | undefined {
  return text && /^\d+[smhd]$/.test(text) ? parseDuration(text) : undefined
}
