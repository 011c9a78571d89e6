import { describe, expect, it } from 'vitest'
import { isFrozen } from './watchdog.ts'

describe('a workerd that does not answer', () => {
  it('is frozen when it was busy meanwhile, not when the machine gave it no time', () => {
    expect(isFrozen(9_000, 9_000)).toBe(false)
    expect(isFrozen(11_000, 10_500)).toBe(true)
    expect(isFrozen(11_000, 900)).toBe(false)
    expect(isFrozen(59_000, 900)).toBe(false)
    expect(isFrozen(61_000, 900)).toBe(true)
  })
  it('is judged by the clock alone where nobody tells its CPU time', () => {
    expect(isFrozen(9_000, Number.NaN)).toBe(false)
    expect(isFrozen(11_000, Number.NaN)).toBe(true)
  })
})
