import { describe, expect, it } from 'vitest'
import { nextTick, upcoming, validateCron, validateTimezone } from './next-tick.ts'

const newYork = 'America/New_York'
const london = 'Europe/London'
const at = (text: string): number => Date.parse(text)

type Case = [cron: string, timezone: string, after: string, ticks: string[]]

const daylightSaving: Case[] = [
  ['30 2 * * *', newYork, '2025-03-08T12:00Z', ['2025-03-09T07:30Z', '2025-03-10T06:30Z']],
  ['0 2 * * *', newYork, '2025-03-08T12:00Z', ['2025-03-09T07:00Z', '2025-03-10T06:00Z']],
  ['30 1 * * *', london, '2025-03-29T12:00Z', ['2025-03-30T01:30Z', '2025-03-31T00:30Z']],
  ['*/30 * * * *', newYork, '2025-03-09T06:00Z', ['2025-03-09T06:30Z', '2025-03-09T07:00Z', '2025-03-09T07:30Z']],
  ['30 1 * * *', newYork, '2025-11-01T12:00Z', ['2025-11-02T05:30Z', '2025-11-03T06:30Z']],
  ['30 1 * * *', london, '2025-10-25T12:00Z', ['2025-10-26T00:30Z', '2025-10-27T01:30Z']],
  ['0 * * * *', newYork, '2025-11-02T04:00Z', ['2025-11-02T05:00Z', '2025-11-02T06:00Z', '2025-11-02T07:00Z']],
  ['*/30 * * * *', newYork, '2025-11-02T05:00Z', ['2025-11-02T05:30Z', '2025-11-02T06:00Z', '2025-11-02T06:30Z']],
]

const calendar: Case[] = [
  ['0 0 13 * 5', 'UTC', '2025-01-15', ['2025-01-17', '2025-01-24', '2025-01-31', '2025-02-07']],
  ['0 0 L * *', 'UTC', '2025-01-15', ['2025-01-31', '2025-02-28', '2025-03-31', '2025-04-30']],
  ['0 0 * * 1L', 'UTC', '2025-01-15', ['2025-01-27', '2025-02-24', '2025-03-31', '2025-04-28']],
  ['0 0 * * 1#2', 'UTC', '2025-01-15', ['2025-02-10', '2025-03-10']],
  ['0 0 31 * *', 'UTC', '2025-01-31', ['2025-03-31', '2025-05-31']],
  ['0 0 29 2 *', 'UTC', '2025-01-15', ['2028-02-29']],
  ['*/7 * * * *', 'UTC', '2025-01-15T00:50Z', ['2025-01-15T00:56Z', '2025-01-15T01:00Z']],
  ['5/15 * * * *', 'UTC', '2025-01-15', ['2025-01-15T00:05Z', '2025-01-15T00:20Z', '2025-01-15T00:35Z', '2025-01-15T00:50Z']],
  ['0 9 * * *', 'Asia/Tokyo', '2025-01-15', ['2025-01-16T00:00Z']],
  ['@daily', 'UTC', '2025-01-15', ['2025-01-16']],
]

describe('upcoming', () => {
  it.each([...daylightSaving, ...calendar])('%s in %s after %s', (cron, timezone, after, ticks) => {
    expect(upcoming(cron, timezone, at(after), ticks.length)).toEqual(ticks.map(at))
  })

  it('asked one tick at a time gives the same ticks', () => {
    for (const [cron, timezone, after, ticks] of [...daylightSaving, ...calendar]) {
      let from = at(after)
      for (const tick of ticks) {
        from = nextTick(cron, timezone, from) as number
        expect(new Date(from).toISOString(), cron).toBe(new Date(tick).toISOString())
      }
    }
  })

  it('is strictly after the reference, to the millisecond', () => {
    const noon = at('2025-01-15T12:00Z')
    expect(nextTick('0 * * * *', 'UTC', noon - 1)).toBe(noon)
    expect(nextTick('0 * * * *', 'UTC', noon)).toBe(noon + 3_600_000)
    expect(nextTick('0 * * * *', 'UTC', noon + 1)).toBe(noon + 3_600_000)
  })

  it('does not tick again in the hour that repeats', () => {
    expect(nextTick('30 1 * * *', newYork, at('2025-11-02T05:45Z'))).toBe(at('2025-11-03T06:30Z'))
  })
})

describe('validateCron', () => {
  it.each(['* * * * *', '0 0 * JAN-MAR MON', '0 0 L * ?', '0 0 ? * 5L', '0 0 * * 7', '1,2,5-9/2 * * * *', '@hourly', '@yearly'])(
    'accepts %s',
    (cron) => expect(validateCron(cron)).toBeUndefined(),
  )
  it.each([
    '',
    '     ',
    '* * * *',
    '0 * * * * *',
    '0  0 * * *',
    'H * * * *',
    'H/5 * * * *',
    '@reboot',
    '@secondly',
    '0 22-2 * * *',
    '*/0 * * * *',
    '60 * * * *',
    '0 0 30 2 *',
    '0 0 15W * *',
    '? * * * *',
    '0 0 * * 8',
  ])('refuses "%s"', (cron) => expect(validateCron(cron)).toMatch(/^Invalid cron expression: /))
  it('says why six fields are refused', () => expect(validateCron('0 * * * * *')).toContain('seconds'))
})

it('validateTimezone knows IANA names', () => {
  expect(validateTimezone('Europe/Berlin')).toBeUndefined()
  expect(validateTimezone('Asia/Kolkata')).toBeUndefined()
  expect(validateTimezone('Mars/Base')).toContain('Mars/Base')
  // Known to the parser or to Intl, and no place.
  for (const zone of ['', 'local', 'system', 'UTC+3', 'utc+3', '+03:00'])
    expect(validateTimezone(zone), zone).toContain('Invalid IANA timezone')
})
