/**
 * When a cron expression ticks next (engine-behaviour.md 6.11–6.17). Wall-clock time of the zone; strictly after the reference.
 * cron-parser decides the days daylight saving changes: the tests beside this file hold it to the table of 6.16 and 6.17.
 */
import { CronExpressionParser } from 'cron-parser'

const aliases = new Set(['@hourly', '@daily', '@weekly', '@monthly', '@yearly', '@annually'])

/** Nothing when the expression does not tick again within the parser's horizon of some hundred years. */
export function nextTick(cron: string, timezone: string, after: number): number | undefined {
  return upcoming(cron, timezone, after, 1)[0]
}

/** Strictly before the reference. */
export function previousTick(cron: string, timezone: string, before: number): number | undefined {
  const expression = CronExpressionParser.parse(cron, { currentDate: new Date(before), tz: timezone })
  for (;;) {
    const tick = stepped(() => expression.prev())
    if (tick === undefined || tick < before) return tick
  }
}

/** The next `count` ticks after `after`, soonest first; fewer when there are no more. Throws when the expression or the zone is not valid. */
export function upcoming(cron: string, timezone: string, after: number, count: number): number[] {
  const expression = CronExpressionParser.parse(cron, { currentDate: new Date(after), tz: timezone })
  const ticks: number[] = []
  while (ticks.length < count) {
    const tick = stepped(() => expression.next())
    if (tick === undefined) break
    if (tick > (ticks.at(-1) ?? after)) ticks.push(tick)
  }
  return ticks
}

/** The parser gives up with an error on an expression that is well formed and does not tick (any more). */
function stepped(step: () => { getTime(): number }): number | undefined {
  try {
    return step().getTime()
  } catch {
    return undefined
  }
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
