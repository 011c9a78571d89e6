import { describe, expect, it } from 'vitest'
import { type Debounce, pushBack } from './debounce.ts'

const debounce: Debounce = { key: 'k', delayMs: 5_000, mode: 'leading' }

describe('a trigger of a debounced run', () => {
  it('pushes it back to whole seconds', () => {
    expect(pushBack({ since: 1_000, delayUntil: 6_000 }, debounce, 3_700)).toBe(8_000)
  })

  it('never pulls it forward', () => {
    expect(pushBack({ since: 0, delayUntil: 60_000 }, debounce, 1_000)).toBe(60_000)
    expect(pushBack({ since: 500, delayUntil: 5_500 }, debounce, 500), 'the same instant').toBe(5_500)
  })

  it('leaves it alone once its own maxDelay would be passed', () => {
    const bounded = { ...debounce, maxDelayMs: 8_000 }
    const run = { since: 0, delayUntil: 6_000 }
    expect(pushBack(run, bounded, 3_000)).toBe(8_000)
    expect(pushBack(run, bounded, 3_999)).toBe(8_000)
    expect(pushBack(run, bounded, 4_000)).toBeUndefined()
    expect(pushBack(run, debounce, 4_000), 'each trigger has its own bound').toBe(9_000)
  })

  it('is always due in the future', () => {
    for (let now = 0; now < 2_000; now += 37) {
      expect(pushBack({ since: 0, delayUntil: 0 }, { ...debounce, delayMs: 1_000 }, now)).toBeGreaterThan(now)
    }
  })
})
