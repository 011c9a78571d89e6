import { expect, it } from 'vitest'
import { Creations, creationLimit } from './creations.ts'

it.each([
  [undefined, 100_000],
  ['', 100_000],
  ['many', 100_000],
  ['0', 100_000],
  ['500', 500],
  ['off', Number.POSITIVE_INFINITY],
])('the setting %s is a limit of %d', (setting, limit) => {
  expect(creationLimit(setting)).toBe(limit)
})

it('lets as many be made in a minute, and as many in the next', () => {
  const creations = new Creations(3)
  const made = (at: number): number => [1, 2, 3, 4, 5].filter(() => creations.admit(at)).length
  expect([made(1_000), made(60_999), made(61_000), made(61_001)]).toEqual([3, 0, 3, 0])
})
