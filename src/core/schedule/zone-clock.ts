/** What the clock of a time zone shows (Intl), and at which instant it shows something. */
const HOUR_MS = 3_600_000
/** Farther than any place is from UTC, plus any change of its clock. No clock changes twice in that time. */
const REACH_MS = 38 * HOUR_MS

const clocks = new Map<string, Intl.DateTimeFormat>()

function clockOf(zone: string): Intl.DateTimeFormat {
  const known = clocks.get(zone)
  if (known) return known
  const numeric = {
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  } as const
  const made = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', ...numeric })
  clocks.set(zone, made)
  return made
}

/** Wall clock minus UTC, in milliseconds. */
export function offsetAt(zone: string, at: number): number {
  if (zone === 'UTC') return 0
  const part: Record<string, number> = {}
  for (const { type, value } of clockOf(zone).formatToParts(at)) part[type] = Number(value)
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(at / 1_000) * 1_000
}

/**
 * When the zone's clock first shows the wall time (an instant as if the zone were UTC). A time the clock jumps over is counted on
 * from before the jump: 02:30 in a gap of an hour is when the clock shows 03:30.
 */
export function instantOf(zone: string, wall: number): { at: number; isSkipped: boolean } {
  const before = offsetAt(zone, wall - REACH_MS)
  const after = offsetAt(zone, wall + REACH_MS)
  if (before === after) return { at: wall - before, isSkipped: false }
  const shown = [before, after].map((offset) => wall - offset).filter((at) => at + offsetAt(zone, at) === wall)
  return shown.length > 0 ? { at: Math.min(...shown), isSkipped: false } : { at: wall - before, isSkipped: true }
}

/** The first instant after `from` (offset `offset`) and not after `to` (another offset) at which the offset is no longer that one. */
export function changeBetween(zone: string, from: number, to: number, offset: number): number {
  let [same, other] = [from, to]
  while (other - same > 1) {
    const middle = Math.floor((same + other) / 2)
    if (offsetAt(zone, middle) === offset) same = middle
    else other = middle
  }
  return other
}
