/** The pieces of a single time as an instant. A day without a time begins at 00:00; a time without a day is the next one. */
import { instantOf as instantOfWall, offsetAt } from '../../schedule/zone-clock.ts'
import { daysIn, isDay } from './once.ts'
import type { ClockTime, Piece } from './pieces.ts'
import type { Clock } from './timing.ts'

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000
/** Farther off is a slip, not a plan. */
const FARTHEST_MS = 10 * 366 * DAY_MS

export type InstantResult = { kind: 'at'; at: number; notes: string[] } | { kind: 'problem'; message: string }

/** A day as the start of it by the wall clock; `orLater`: the next such day when its time has passed. */
interface Day {
  wall: number
  orLater?: () => number
}

export function instantOf(pieces: Piece[], { now, timezone }: Clock): InstantResult {
  const clocks = pieces.filter((piece) => piece.kind === 'clock')
  const others = pieces.filter((piece) => piece.kind !== 'clock')
  const times = clocks.flatMap((piece) => piece.times)
  // "tomorrow morning at 8": the part of the day says no more than the time does.
  const time =
    times.length === 2 && clocks.length === 2
      ? narrower(times[0] as ClockTime, times[1] as ClockTime)
      : times.length < 2
        ? times[0]
        : undefined
  if (times.length > 0 && !time) return problem('One run has one time; several are named. For several runs say "every day at …".')
  if (others.length > 1) return problem('Two days or delays are named for one run: use one of them.')
  const piece = others[0]
  const wallNow = now + offsetAt(timezone, now)
  const today = Math.floor(wallNow / DAY_MS) * DAY_MS
  const notes: string[] = []

  if (piece?.kind === 'instant' || piece?.kind === 'wall') {
    if (time) return problem('A full date and time is given and another time beside it: use one of them.')
    const at = piece.kind === 'instant' ? piece.at : instantOfWall(timezone, piece.wall).at
    return at <= now ? problem(`${iso(at)} is past.`) : checked(at, now, notes)
  }
  if (piece?.kind === 'delay' && !time && piece.months === 0) return checked(now + piece.ms, now, notes)

  const day = piece ? dayOf(piece, today, wallNow) : { wall: today, orLater: () => today + DAY_MS }
  if (!day) return problem('Such a time was read that one run cannot have: say a day and a time, such as "on Friday at 9:00".')
  const minutes = time ? time.hour * 60 + time.minute : piece?.kind === 'delay' ? Math.floor((wallNow - today) / MINUTE_MS) : 0
  if (!time && piece && piece.kind !== 'delay') notes.push('No time of day was given: 00:00.')
  let { at, isSkipped } = instantOfWall(timezone, day.wall + minutes * MINUTE_MS)
  if (at <= now && day.orLater) ({ at, isSkipped } = instantOfWall(timezone, day.orLater() + minutes * MINUTE_MS))
  if (at <= now) {
    return problem(
      clocks.some((clock) => clock.isTonight) ? 'Tonight means 20:00, and that is past: name a time.' : `${iso(at)} is past.`,
    )
  }
  if (isSkipped) notes.push('The clock jumps over this time on that day: as long after the jump as it lies behind it.')
  return checked(at, now, notes)
}

/** The one said by the clock of "morning" and "8:00". */
function narrower(one: ClockTime, other: ClockTime): ClockTime | undefined {
  const isPart = ({ hour, minute }: ClockTime): boolean => minute === 0 && [9, 15, 18, 20].includes(hour)
  return isPart(one) ? other : isPart(other) ? one : undefined
}

function dayOf(piece: Piece, today: number, wallNow: number): Day | undefined {
  const date = new Date(today)
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth() + 1]
  if (piece.kind === 'in-days') return { wall: today + piece.count * DAY_MS }
  if (piece.kind === 'weekdays') {
    const wanted = piece.days[0] as number
    const ahead = (wanted - date.getUTCDay() + 7) % 7
    return { wall: today + ahead * DAY_MS, orLater: () => today + (ahead + 7) * DAY_MS }
  }
  if (piece.kind === 'monthdays') {
    const wanted = piece.days[0]
    if (piece.days.length > 1 || typeof wanted !== 'number') return undefined
    return { wall: monthDay(year, month, wanted), orLater: () => monthDay(year, month + 1, wanted) }
  }
  if (piece.kind === 'date') {
    const { month: wanted, day } = piece
    if (piece.year !== undefined) return { wall: Date.UTC(piece.year, wanted - 1, day) }
    const from = (first: number): number => {
      for (let candidate = first; candidate < first + 9; candidate++)
        if (isDay(candidate, wanted, day)) return Date.UTC(candidate, wanted - 1, day)
      return Date.UTC(first, wanted - 1, day)
    }
    return { wall: from(year), orLater: () => from(year + 1) }
  }
  if (piece.kind === 'next') {
    if (piece.unit === 'week') return { wall: today + ((8 - date.getUTCDay()) % 7 || 7) * DAY_MS }
    return { wall: piece.unit === 'month' ? Date.UTC(year, month, 1) : Date.UTC(year + 1, 0, 1) }
  }
  if (piece.kind === 'delay') {
    const later = new Date(wallNow + piece.ms)
    const [toYear, toMonth] = [later.getUTCFullYear(), later.getUTCMonth() + 1 + piece.months]
    const first = new Date(Date.UTC(toYear, toMonth - 1, 1))
    const last = daysIn(first.getUTCMonth() + 1, first.getUTCFullYear())
    return { wall: Date.UTC(toYear, toMonth - 1, Math.min(later.getUTCDate(), last)) }
  }
  return undefined
}

/** The day in that month or the next that has it. */
function monthDay(year: number, month: number, day: number): number {
  for (let ahead = 0; ahead < 3; ahead++) {
    const first = new Date(Date.UTC(year, month - 1 + ahead, 1))
    if (day <= daysIn(first.getUTCMonth() + 1, first.getUTCFullYear())) return Date.UTC(year, month - 1 + ahead, day)
  }
  return Date.UTC(year, month - 1, day)
}

function checked(at: number, now: number, notes: string[]): InstantResult {
  return at - now > FARTHEST_MS ? problem('The time is more than ten years away.') : { kind: 'at', at, notes }
}

function iso(at: number): string {
  return Math.abs(at) < 8.64e15 ? new Date(at).toISOString() : 'The time'
}

function problem(message: string): InstantResult {
  return { kind: 'problem', message }
}
