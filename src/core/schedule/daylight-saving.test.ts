/** Two years in ten time zones: against what each zone's clock shows, and against cron-parser where that is right. */
import { CronExpressionParser } from 'cron-parser'
import { describe, expect, it } from 'vitest'
import { nextTick, upcoming } from './next-tick.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const start = Date.parse('2025-01-01T00:00Z')
const end = Date.parse('2027-01-01T00:00Z')

/** Gaps and folds of an hour and of half an hour, at night and at midnight, a second pair for Ramadan, and zones with none. */
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
/** cron-parser leaves out days in Chatham and stops for ever on Lord Howe: these are held against the clock only. */
const parserIsWrong = ['Australia/Lord_Howe', 'Pacific/Chatham']

interface Reading {
  at: number
  wall: number
}

/** What the clock shows at each quarter of an hour: every change of every zone is at one. */
function readings(zone: string): Reading[] {
  const numeric = { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit' } as const
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, ...numeric })
  const offset = (at: number): number => Date.parse(`${format.format(at).replace(' ', 'T')}Z`) - at
  const list: Reading[] = []
  for (let day = start; day < end; day += DAY) {
    const [first, last] = [offset(day), offset(day + DAY)]
    for (let at = day; at < day + DAY; at += HOUR / 4) list.push({ at, wall: at + (first === last ? first : offset(at)) })
  }
  return list
}

/** A time of each day: the first instant the clock shows it; in a gap, as long after the jump as it lies behind its beginning. */
function daily(clock: Reading[], time: number): number[] {
  const ticks: number[] = []
  let done = Number.NEGATIVE_INFINITY
  clock.forEach(({ at, wall }, index) => {
    const before = clock[index - 1]
    const asked = Math.floor(wall / DAY) * DAY + time
    if (!before || asked <= done || wall < asked) return
    if (wall === asked) ticks.push(at)
    // At a jump the reading before shows a quarter less than where the gap begins.
    else if (before.wall < asked) ticks.push(at + asked - (before.wall + HOUR / 4))
    else return
    done = asked
  })
  return ticks
}

function iso(ticks: number[]): string[] {
  return ticks.map((at) => new Date(at).toISOString())
}

/** All of the two years but the first and last day, whose neighbours are not known. */
function inside(ticks: number[]): number[] {
  return ticks.filter((at) => at > start + DAY && at < end - DAY)
}

describe.each(zones)('two years in %s', { timeout: 60_000 }, (zone) => {
  const clock = readings(zone)
  const offsets = clock.map(({ at, wall }) => wall - at)
  const changes = clock.filter((_, index) => index > 0 && offsets[index] !== offsets[index - 1])

  it('a daily tick comes once a day, also where the clock jumps over it or shows it twice', () => {
    for (const time of [0, 1.5, 2, 2.5, 2.75, 9].map((hours) => hours * HOUR)) {
      const cron = `${(time % HOUR) / MINUTE} ${Math.floor(time / HOUR)} * * *`
      const ticks = inside(upcoming(cron, zone, start, 731))
      expect(iso(ticks), cron).toEqual(iso(inside(daily(clock, time))))
    }
  })

  it('a tick of every hour comes whenever the clock shows it', () => {
    const shown = (minutes: number[]): Reading[] => clock.filter(({ wall }) => minutes.includes((wall % HOUR) / MINUTE))
    const hourly = upcoming('0 * * * *', zone, start, 17_600)
    expect(iso(inside(hourly))).toEqual(iso(inside(shown([0]).map(({ at }) => at))))
    for (const { at } of changes) {
      const expected = shown([15, 45]).filter((reading) => reading.at > at - DAY)
      expect(iso(upcoming('15,45 0-23 * * *', zone, at - DAY, 100))).toEqual(iso(expected.slice(0, 100).map((one) => one.at)))
    }
  })

  it('any minutes of any hours come in order, each once', () => {
    // Every subset of the quarters with every run of the first five hours.
    for (let quarters = 1; quarters < 16; quarters++) {
      const minutes = [0, 15, 30, 45].filter((_, index) => quarters & (1 << index))
      const hours = [0, 1, 2, 3, 4].slice(quarters % 4, (quarters % 4) + 1 + (quarters % 3))
      const times = hours.flatMap((hour) => minutes.map((minute) => hour * HOUR + minute * MINUTE))
      for (const change of changes) {
        const near = clock.filter(({ at }) => Math.abs(at - change.at) < 3 * DAY)
        const [first, last] = [change.at - 2 * DAY, change.at + 2 * DAY]
        const expected = [...new Set(times.flatMap((time) => daily(near, time)))].sort((a, b) => a - b)
        const cron = `${minutes} ${hours} * * *`
        const ticks = upcoming(cron, zone, first, 200).filter((at) => at < last)
        expect(iso(ticks), cron).toEqual(iso(expected.filter((at) => at > first && at < last)))
      }
    }
  })

  it('asked one tick at a time around each change, gives the same ticks', () => {
    for (const cron of ['30 1,2 * * *', '*/15 0-3 * * *', '0 * * * *']) {
      for (const { at } of changes) {
        const walked = upcoming(cron, zone, at - DAY, 20)
        let from = at - DAY
        for (const tick of walked) {
          expect(nextTick(cron, zone, from)).toBe(tick)
          // From between two ticks as well.
          expect(nextTick(cron, zone, tick - 1)).toBe(tick)
          from = tick
        }
      }
    }
  })

  it.skipIf(parserIsWrong.includes(zone))('cron-parser says the same around each change', () => {
    const crons = [
      '30 2 * * *',
      '0,30 1-3 * * *',
      '*/20 */2 * * *',
      '15 0,1 * * *',
      '0 2 * * SUN',
      '5 * * * *',
      '*/10 * * * *',
      '0 0 L * *',
    ]
    for (const cron of crons) {
      for (const from of [start, ...changes.map(({ at }) => at - 8 * HOUR)]) {
        const expression = CronExpressionParser.parse(cron, { currentDate: new Date(from), tz: zone })
        const count = cron.startsWith('*/') ? 100 : 20
        const theirs = Array.from({ length: count }, () => expression.next().getTime())
        expect(iso(upcoming(cron, zone, from, count)), `${cron} from ${new Date(from).toISOString()}`).toEqual(
          iso([...new Set(theirs)]),
        )
      }
    }
  })
})

describe('a tick that is always on the day the clock changes', () => {
  it.each([
    ['30 2 * 3 0#2', 'America/New_York', ['2027-03-14T07:30', '2028-03-12T07:30']],
    ['30 1 * 3 0L', 'Europe/London', ['2027-03-28T01:30', '2028-03-26T01:30']],
    ['0,30 1 * 3 0L', 'Europe/London', ['2027-03-28T01:00', '2027-03-28T01:30', '2028-03-26T01:00']],
    ['30 1 * 11 0#1', 'America/New_York', ['2027-11-07T05:30', '2028-11-05T05:30']],
    ['0 2 * 10 0#1', 'Australia/Lord_Howe', ['2027-10-02T15:30', '2028-09-30T15:30']],
    [
      '10,20,35 2 * 10 0#1',
      'Australia/Lord_Howe',
      ['2027-10-02T15:35', '2027-10-02T15:40', '2027-10-02T15:50', '2028-09-30T15:35'],
    ],
    ['*/30 * * 3 0#2', 'America/New_York', ['2027-03-14T05:00', '2027-03-14T05:30']],
  ])('%s in %s', (cron, zone, expected) => {
    const ticks = upcoming(cron, zone, Date.parse('2026-11-24T12:00Z'), expected.length)
    expect(iso(ticks)).toEqual(expected.map((time) => `${time}:00.000Z`))
  })
})
