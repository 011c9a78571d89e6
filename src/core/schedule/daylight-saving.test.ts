/** Two years in ten time zones, against what each zone's clock shows (Intl) and against a parser that walks on. */
import { CronExpressionParser } from 'cron-parser'
import { describe, expect, it } from 'vitest'
import { nextTick, upcoming } from './next-tick.ts'

const HOUR = 3_600_000
const start = Date.parse('2025-01-01T00:00Z')
const end = Date.parse('2027-01-01T00:00Z')

/** Gaps and folds of an hour and of half an hour, at night and at midnight, a second one in Ramadan, and zones with neither. */
const zones = [
  'America/New_York',
  'Europe/London',
  'Australia/Lord_Howe',
  'America/Santiago',
  'Africa/Cairo',
  'Asia/Beirut',
  'Africa/Casablanca',
  'Pacific/Chatham',
  'Asia/Kathmandu',
  'UTC',
]

/** Instants of two years with the wall clock of each, every quarter of an hour: no zone changes its clock in between. */
function clock(zone: string): { at: number; wall: number }[] {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  })
  const shown = (at: number): number => {
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]))
    return Date.UTC(part.year as number, (part.month as number) - 1, part.day, part.hour, part.minute)
  }
  // A day without a change needs no more than its first and last offset.
  const list: { at: number; wall: number }[] = []
  for (let day = start; day < end; day += 24 * HOUR) {
    const [first, last] = [shown(day) - day, shown(day + 24 * HOUR) - day - 24 * HOUR]
    for (let at = day; at < day + 24 * HOUR; at += HOUR / 4) {
      list.push({ at, wall: first === last ? at + first : shown(at) })
    }
  }
  return list
}

/** `hour:minute` each day: at its first occurrence; when the clock jumps over it, as long after the jump as it lies in the gap. */
function daily(readings: { at: number; wall: number }[], hour: number, minute: number): number[] {
  const ticks: number[] = []
  let done = Number.NEGATIVE_INFINITY
  for (let index = 1; index < readings.length; index++) {
    const before = readings[index - 1] as { at: number; wall: number }
    const now = readings[index] as { at: number; wall: number }
    const midnight = Math.floor(now.wall / (24 * HOUR)) * 24 * HOUR
    const asked = midnight + hour * HOUR + minute * 60_000
    if (asked <= done) continue
    if (now.wall === asked) {
      ticks.push(now.at)
      done = asked
    } else if (before.wall < asked && asked < now.wall) {
      ticks.push(now.at + (asked - before.wall - HOUR / 4))
      done = asked
    }
  }
  return ticks
}

describe.each(zones)('two years in %s', (zone) => {
  const readings = clock(zone)
  const within = (at: number): boolean => at > start + 24 * HOUR && at < end - 24 * HOUR

  it.each([
    [0, 0],
    [0, 30],
    [1, 30],
    [2, 0],
    [2, 30],
    [2, 45],
    [9, 15],
    [23, 45],
  ])('a daily tick at %i:%i comes once a day', (hour, minute) => {
    const cron = `${minute} ${hour} * * *`
    const expected = daily(readings, hour, minute).filter(within)
    const walked = upcoming(cron, zone, start, 731).filter(within)
    const stepped: number[] = []
    for (let at = start; stepped.length < 731; stepped.push(at)) at = nextTick(cron, zone, at) as number
    const iso = (list: number[]): string[] => list.map((at) => new Date(at).toISOString())
    expect(iso(stepped.filter(within))).toEqual(iso(walked))
    expect(iso(walked)).toEqual(iso(expected))
  })

  it('ticks of every hour and half hour follow real time', () => {
    for (const cron of ['*/30 * * * *', '0 * * * *']) {
      const wanted = readings.filter(({ wall }) => wall % (cron === '0 * * * *' ? HOUR : HOUR / 2) === 0).map(({ at }) => at)
      const around = wanted.filter((at) => within(at))
      const expression = CronExpressionParser.parse(cron, { currentDate: new Date(start + 24 * HOUR), tz: zone })
      for (const at of around) expect(new Date(expression.next().getTime()).toISOString(), cron).toBe(new Date(at).toISOString())
    }
  })
})
