/**
 * When a cron expression ticks next (engine-behaviour.md 6.11–6.17). Wall-clock time of the zone; strictly after the reference.
 * cron-parser reads the expression and walks over wall-clock times as if they were UTC; what a change of the clock does to them
 * is decided here. The parser's own answers are wrong where a clock changes by half an hour or not at a full hour: days without
 * a tick, and none ever again (Lord Howe, Chatham). The tests hold both against each other everywhere else.
 */
import { type CronExpression, CronExpressionParser } from 'cron-parser'
import { changeBetween, instantOf, offsetAt } from './zone-clock.ts'

const aliases = new Set(['@hourly', '@daily', '@weekly', '@monthly', '@yearly', '@annually'])
const HOURS = 24
const MINUTE_MS = 60_000
/** No clock jumps farther: where a walk has to begin to see the times that a jump before its reference moved behind it. */
const LONGEST_JUMP_MS = 3 * 3_600_000

/** Nothing when the expression does not tick again within the parser's horizon of some hundred years. */
export function nextTick(cron: string, timezone: string, after: number): number | undefined {
  return upcoming(cron, timezone, after, 1)[0]
}

/** The next `count` ticks after `after`, soonest first; fewer when there are no more. Throws when the expression or the zone is not valid. */
export function upcoming(cron: string, timezone: string, after: number, count: number): number[] {
  const ticks: number[] = []
  if (count < 1) return ticks
  for (const tick of ticksAfter(cron, timezone, after)) if (ticks.push(tick) === count) break
  return ticks
}

export type TicksOf = typeof upcoming

/**
 * Many schedules have one cron and are due together: their ticks are computed once. A tick is at a full minute, so what comes after
 * any moment of a minute comes after its beginning, but for that beginning itself.
 */
export function sharedTicks(): TicksOf {
  const known = new Map<string, { ticks: number[]; asked: number }>()
  return (cron, timezone, after, count) => {
    const from = Math.floor(after / MINUTE_MS) * MINUTE_MS
    const key = `${from} ${timezone} ${cron}`
    let found = known.get(key)
    if (!found || found.asked < count) {
      found = { ticks: upcoming(cron, timezone, from, count), asked: count }
      known.set(key, found)
    }
    return found.ticks.slice(0, count)
  }
}

/** The last tick after `after` and not after `until`, if there is one. */
export function latestTick(cron: string, timezone: string, after: number, until: number): number | undefined {
  let latest: number | undefined
  for (const tick of ticksAfter(cron, timezone, after)) {
    if (tick > until) break
    latest = tick
  }
  return latest
}

/** An expression for every hour follows real time through a change of the clock; one for certain hours means the clock's. */
function ticksAfter(cron: string, timezone: string, after: number): Generator<number> {
  const isEveryHour = wallClock(cron, after).fields.hour.values.length === HOURS
  return isEveryHour ? everyHour(cron, timezone, after) : certainHours(cron, timezone, after)
}

/** Each time the clock shows it: not in a gap, twice where an hour repeats. */
function* everyHour(cron: string, zone: string, after: number): Generator<number> {
  let from = after
  for (let offset = offsetAt(zone, from); ; offset = offsetAt(zone, from + 1)) {
    let change: number | undefined
    for (const wall of walls(cron, from + offset)) {
      const at = wall - offset
      if (offsetAt(zone, at) !== offset) {
        change = changeBetween(zone, from, at, offset)
        break
      }
      yield at
    }
    if (change === undefined) return
    from = change - 1
  }
}

/** Once for each time: the first where it repeats, as long after a jump as it lies in the gap where the clock jumps over it. */
function* certainHours(cron: string, zone: string, after: number): Generator<number> {
  let last = after
  // Times of a gap land among the hours behind it: held back until those have passed them, or are over.
  let held: number[] = []
  let heldUntil = Number.NEGATIVE_INFINITY
  for (const wall of walls(cron, after + offsetAt(zone, after) - LONGEST_JUMP_MS)) {
    const { at, isSkipped } = instantOf(zone, wall)
    const isBehind = wall > heldUntil || (!isSkipped && at > Math.max(...held))
    const isHeld = isSkipped || !isBehind
    if (isBehind) {
      for (const tick of inOrder(isHeld ? held : [...held, at], last)) {
        last = tick
        yield tick
      }
      held = []
    }
    if (isHeld) held.push(at)
    if (isSkipped) heldUntil = wall + LONGEST_JUMP_MS
  }
  yield* inOrder(held, last)
}

function inOrder(ticks: number[], after: number): number[] {
  return [...new Set(ticks)].filter((tick) => tick > after).sort((one, other) => one - other)
}

/** Wall-clock times as if they were UTC, strictly after the reference. The parser gives up with an error when there are no more. */
function* walls(cron: string, after: number): Generator<number> {
  const expression = wallClock(cron, after)
  for (;;) {
    let wall: number
    try {
      wall = expression.next().getTime()
    } catch {
      return
    }
    if (wall > after) yield wall
  }
}

function wallClock(cron: string, after: number): CronExpression {
  return CronExpressionParser.parse(cron, { currentDate: new Date(after), tz: 'UTC' })
}

/** What is wrong with an expression, in words; undefined when nothing is. */
export function validateCron(cron: string): string | undefined {
  if (cron.startsWith('@')) return aliases.has(cron) ? undefined : `Invalid cron expression: "${cron}" is not a known alias`
  const parts = cron.split(' ')
  if (parts.length > 5) return 'Invalid cron expression: seconds are not allowed, use exactly 5 fields'
  if (parts.length < 5 || parts.some((part) => part.trim() === '')) return 'Invalid cron expression: 5 fields are needed'
  // The parser knows more than upstream accepts: hashed values, and `?` in any field.
  if (parts.some((part) => /H(?:\(|\/|,|$)/.test(part))) return 'Invalid cron expression: H is not supported'
  if (parts.some((part, index) => part.includes('?') && index !== 2 && index !== 4)) {
    return 'Invalid cron expression: ? is allowed for the day of month and the day of week only'
  }
  try {
    // An expression can be well formed and never tick.
    return nextTick(cron, 'UTC', 0) === undefined ? 'Invalid cron expression: it never ticks' : undefined
  } catch (error) {
    return `Invalid cron expression: ${error instanceof Error ? error.message : String(error)}`
  }
}

/**
 * What is wrong with a zone, in words; undefined when it is an IANA name. The parser knows more than those ("local", "UTC+3"),
 * and offsets like "+03:00" are zones for Intl: neither names a place whose clock can be followed.
 */
export function validateTimezone(timezone: string): string | undefined {
  const problem = `Invalid IANA timezone: '${timezone}'. GET /api/v1/timezones lists the names.`
  if (!/^[A-Za-z]/.test(timezone)) return problem
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone })
    return undefined
  } catch {
    return problem
  }
}
