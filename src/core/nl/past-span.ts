/** Spans of the past: "from yesterday", "since Monday", "in the last 2 hours", "last week", "older than 3 days". */
import { instantOf, offsetAt } from '../schedule/zone-clock.ts'
import { type Atom, numberOf, textAt, unitOf, weekdayOf } from './time/atoms.ts'
import { clockAt } from './time/clock.ts'
import { isDay } from './time/once.ts'
import type { Clock } from './time/timing.ts'

const DAY_MS = 86_400_000
const unitMs: Record<string, number> = {
  minute: 60_000,
  hour: 3_600_000,
  day: DAY_MS,
  week: 7 * DAY_MS,
  month: 30 * DAY_MS,
  year: 365 * DAY_MS,
}

export interface Span {
  from?: number
  /** Exclusive. */
  to?: number
  next: number
}

export function spanAt(atoms: Atom[], at: number, clock: Clock): Span | undefined {
  const text = textAt(atoms, at)
  const has = /^(?:from|since|in|within|over|during|of|on|after|before|until|older|for)$/.test(text)
  let start = has ? at + 1 : at
  if (text === 'older' && textAt(atoms, start) === 'than') start++
  const last = lastUnits(atoms, start, clock)
  if (last) return last
  if (text === 'older') {
    const length = duration(atoms, start)
    return length && { to: clock.now - length.ms, next: length.next }
  }
  const day = dayAt(atoms, start, clock)
  if (!day) return undefined
  const { from, to, next } = day
  if (text === 'since' || text === 'after') return { from, next }
  if (text === 'before' || text === 'until') return { to: from, next }
  return { from, to, next }
}

/** "the last 2 hours", "past hour", "last week", "this month". */
function lastUnits(atoms: Atom[], from: number, { now, timezone }: Clock): Span | undefined {
  const at = textAt(atoms, from) === 'the' ? from + 1 : from
  const word = textAt(atoms, at)
  if (!/^(?:last|past|this|previous)$/.test(word)) return undefined
  const length = word === 'this' ? undefined : duration(atoms, at + 1)
  if (length) return { from: now - length.ms, next: length.next }
  const unit = unitOf(textAt(atoms, at + 1))
  if (!unit || !/^(?:week|month|year|day|hour)$/.test(unit)) return undefined
  const next = at + 2
  // "the last hour" and "the past week" end now; "last week" is the one before this.
  if (word === 'past' || unit === 'hour' || unit === 'day' || (at > from && word === 'last'))
    return { from: now - (unitMs[unit] as number), next }
  const start = startOf(unit, now + offsetAt(timezone, now), word === 'this' ? 0 : -1)
  const end = startOf(unit, now + offsetAt(timezone, now), word === 'this' ? 1 : 0)
  return { from: instantOf(timezone, start).at, ...(word === 'this' ? {} : { to: instantOf(timezone, end).at }), next }
}

/** Weeks begin on Monday. */
function startOf(unit: string, wall: number, shift: number): number {
  const date = new Date(wall)
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  if (unit === 'week') return Date.UTC(year, month, day - ((date.getUTCDay() + 6) % 7) + shift * 7)
  return unit === 'month' ? Date.UTC(year, month + shift, 1) : Date.UTC(year + shift, 0, 1)
}

function duration(atoms: Atom[], at: number): { ms: number; next: number } | undefined {
  const glued = /^(\d{1,6})(\p{L}+)$/u.exec(textAt(atoms, at))
  const gluedMs = glued ? unitMs[unitOf(glued[2] as string) ?? ''] : undefined
  if (glued && gluedMs) return { ms: Number(glued[1]) * gluedMs, next: at + 1 }
  const word = textAt(atoms, at)
  const count = /^(?:a|an)$/.test(word) ? 1 : numberOf(word)
  const ms = unitMs[unitOf(textAt(atoms, at + 1)) ?? '']
  return count !== undefined && count > 0 && count < 1e6 && ms ? { ms: count * ms, next: at + 2 } : undefined
}

function dayAt(atoms: Atom[], at: number, { now, timezone }: Clock): { from: number; to: number; next: number } | undefined {
  const wallNow = now + offsetAt(timezone, now)
  const today = Math.floor(wallNow / DAY_MS) * DAY_MS
  const whole = (wall: number, next: number): { from: number; to: number; next: number } => ({
    from: instantOf(timezone, wall).at,
    to: instantOf(timezone, wall + DAY_MS).at,
    next,
  })
  const text = textAt(atoms, at)
  const isLast = text === 'last'
  if (text === 'today') return whole(today, at + 1)
  if (text === 'yesterday') return whole(today - DAY_MS, at + 1)
  const weekday = weekdayOf(textAt(atoms, isLast ? at + 1 : at))
  if (weekday) {
    const back = (new Date(today).getUTCDay() - weekday.day + 7) % 7 || 7
    return whole(today - back * DAY_MS, isLast ? at + 2 : at + 1)
  }
  const iso = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text)
  if (iso) {
    const [year, month, day] = iso.slice(1).map(Number) as [number, number, number]
    return isDay(year, month, day) ? whole(Date.UTC(year, month - 1, day), at + 1) : undefined
  }
  const clock = clockAt(atoms, at)
  if (!clock || 'message' in clock || clock.isBare) return undefined
  const wall = today + (clock.time.hour * 60 + clock.time.minute) * 60_000
  const from = instantOf(timezone, wall > wallNow ? wall - DAY_MS : wall).at
  return { from, to: now, next: clock.next }
}
