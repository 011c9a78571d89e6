import { describe, expect, it } from 'vitest'
import { tokensOf } from '../tokens.ts'
import { cronInWords } from './cron-words.ts'
import { readTime } from './read-time.ts'
import { timingOf } from './timing.ts'

const now = Date.parse('2026-11-24T12:00:00Z')

function time(text: string, timezone = 'UTC', at = now): string {
  const phrases = readTime(tokensOf({ strings: [text], values: [] }))
  const timing = timingOf(
    phrases.flatMap(({ pieces }) => pieces),
    { now: at, timezone },
  )
  if (timing.kind === 'problem' || timing.kind === 'none') return timing.kind
  return timing.kind === 'at' ? new Date(timing.at).toISOString().slice(0, 16) : timing.cron
}

describe('a time', () => {
  it.each([
    ['every 20 minutes', '*/20 * * * *'],
    ['every 5m', '*/5 * * * *'],
    ['every 60 minutes', '0 * * * *'],
    ['every 24 hours', '0 0 * * *'],
    ['every 7 days', '0 0 * * 0'],
    ['every third hour', '0 */3 * * *'],
    ['every 3 months on the 5th', '0 0 5 */3 *'],
    ['every hour at minute 15', '15 * * * *'],
    ['every hour between 22 and 6', '0 22,23,0-6 * * *'],
    ['every 2 hours between 9:30 and 17:30', '30 9-17/2 * * *'],
    ['every week on Tuesday at 7', '0 7 * * 2'],
    ['weekly', '0 0 * * 0'],
    ['yearly', '0 0 1 1 *'],
    ['every Monday to Friday at 8', '0 8 * * 1-5'],
    ['mon-fri at 8am', '0 8 * * 1-5'],
    ['on Tuesdays and Fridays at 6:45pm', '45 18 * * 2,5'],
    ['every Sat and Sun at noon', '0 12 * * 0,6'],
    ['on the 31st of every month', '0 0 31 * *'],
    ['every January 15th at 9am', '0 9 15 1 *'],
    ['every 15 minutes during business hours', '*/15 9-17 * * 1-5'],
    ['in 90 seconds', '2026-11-24T12:01'],
    ['in an hour', '2026-11-24T13:00'],
    ['in 1.5 hours', '2026-11-24T13:30'],
    ['in a month', '2026-12-24T12:00'],
    ['in 2 days at 8:15', '2026-11-26T08:15'],
    ['on Tuesday', '2026-12-01T00:00'],
    ['on Tuesday at 13:00', '2026-11-24T13:00'],
    ['next week', '2026-11-30T00:00'],
    ['on the 24th at 9', '2026-12-24T09:00'],
    ['on 29 February', '2028-02-29T00:00'],
    ['on December 1st, 2026 at 10:00', '2026-12-01T10:00'],
    ['at 2026-11-25T10:00:00+02:00', '2026-11-25T08:00'],
    ['tomorrow at 8 in the evening', '2026-11-25T20:00'],
    ['at quarter to five', '2026-11-25T04:45'],
    ['every 25 hours', 'problem'],
    ['every 45 minutes', 'problem'],
    ['every 10 minutes between 9:10 and 17:00', 'problem'],
    ['every Monday on the 1st of each month', 'problem'],
    ['every day at 9 UTC+3', 'problem'],
    ['every day at 9 Europe/Nowhere', 'problem'],
    ['on 31 April', 'problem'],
    ['at 9:75', 'problem'],
    ['at 9am and 5pm', 'problem'],
    ['tomorrow on Friday', 'problem'],
    ['in 20 years', 'problem'],
    ['upload to CDN', 'none'],
    ['in all formats', 'none'],
    ['at 1080p', 'none'],
    ['on 9 servers', 'none'],
    ['at 9 places', 'none'],
    ['march to the second day', 'none'],
    ['rows between 9 and 17', 'none'],
    ['from 9 to 17', 'none'],
    ['the sun and the month', 'none'],
    ['', 'none'],
  ])('%s: %s', (text, expected) => expect(time(text)).toBe(expected))

  it('follows the clock of its zone', () => {
    expect(time('tomorrow at 9am', 'America/New_York')).toBe('2026-11-25T14:00')
    expect(time('tomorrow at 9am in Europe/Berlin', 'America/New_York')).toBe('2026-11-25T08:00')
    // 03:00 there is still the evening before here: "today" is theirs.
    expect(time('today at 5am', 'Asia/Tokyo', Date.parse('2026-11-24T18:00:00Z'))).toBe('2026-11-24T20:00')
    // 02:30 does not exist on that day.
    expect(time('on 2027-03-14 at 2:30', 'America/New_York')).toBe('2027-03-14T07:30')
  })
})

it.each([
  ['* * * * *', 'every minute'],
  ['*/15 9-17 * * 1-5', 'every weekday, every 15 minutes in the hours 9-17'],
  ['15 9,17 * * *', 'every day at 09:15 and 17:15'],
  ['0 0 1,L * *', 'on the 1st and last day of every month at 00:00'],
  ['0 6 * * 1#1', 'on the 1st Monday of every month at 06:00'],
  ['0 8 24 12 *', 'on the 24th of December at 08:00'],
  ['30 9-17/2 * * *', 'every 2 hours at minute 30 from 9 to 17'],
  ['0 0 1 */3 *', 'on the 1st of every 3rd month at 00:00'],
  ['a b c d e', 'a b c d e'],
])('%s is "%s"', (cron, words) => expect(cronInWords(cron)).toBe(words))
