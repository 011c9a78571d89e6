/** What a scheduled run is given (engine-behaviour.md 6.18, 6.19, 6.23). */
import type { Packet } from '../../contracts/rpc.ts'
import { type TicksOf, upcoming } from './next-tick.ts'
import type { Schedule } from './schedule.ts'

/** engine-behaviour.md 6.19 */
const UPCOMING = 10

/**
 * superjson by hand: dates are the only values JSON does not have. The upcoming ticks of a late run start in the future. `ticksOf`
 * lets many schedules with one cron share the work.
 */
export function tickPayload(schedule: Schedule, now: number, ticksOf: TicksOf = upcoming): Packet {
  const ticks = ticksOf(schedule.cron, schedule.timezone, Math.max(schedule.nextAt, now), UPCOMING)
  const values: Record<string, ['Date']> = { timestamp: ['Date'] }
  if (schedule.lastAt !== undefined) values.lastTimestamp = ['Date']
  for (const index of ticks.keys()) values[`upcoming.${index}`] = ['Date']
  const json = {
    scheduleId: schedule.id,
    type: schedule.type,
    timestamp: new Date(schedule.nextAt).toISOString(),
    ...(schedule.lastAt === undefined ? {} : { lastTimestamp: new Date(schedule.lastAt).toISOString() }),
    ...(schedule.externalId === undefined ? {} : { externalId: schedule.externalId }),
    timezone: schedule.timezone,
    upcoming: ticks.map((tick) => new Date(tick).toISOString()),
    ...schedule.payload,
  }
  // A field of its own in the place of a date is what it is.
  for (const name of Object.keys(values))
    if (Object.hasOwn(schedule.payload ?? {}, name.split('.')[0] as string)) delete values[name]
  return { data: JSON.stringify({ json, meta: { values } }), dataType: 'application/super+json' }
}
