import { expect, it } from 'vitest'
import { describeCron } from './describe-cron.ts'

it.each([
  ['* * * * *', 'Every minute'],
  ['*/5 * * * *', 'Every 5 minutes'],
  ['0 * * * *', 'Every hour'],
  ['15 * * * *', 'At 15 minutes past the hour'],
  ['0 */2 * * *', 'Every 2 hours'],
  ['30 9 * * *', 'At 09:30 AM'],
  ['0 0 1 * *', 'At 12:00 AM, on day 1 of the month'],
  ['0 17 * * 1-5', 'At 05:00 PM, Monday through Friday'],
  ['5 12 L * *', 'At 12:05 PM, on the last day of the month'],
  ['0 0 1 1 *', 'At 12:00 AM, on day 1 of the month, only in January'],
  ['@weekly', 'At 12:00 AM, only on Sunday'],
  ['0 9,17 * * 1#2', '0 9,17 * * 1#2'],
])('%s is %s', (cron, words) => {
  expect(describeCron(cron)).toBe(words)
})
