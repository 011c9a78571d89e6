import { describe, expect, it } from 'vitest'
import { capped, nextTokenAt, takeToken, tokensAt } from './token-bucket.ts'

const start = 1_800_000_000_000

describe('a token bucket', () => {
  it.each([
    [1, 1_000],
    [7, 60_000],
    [100, 60_000],
    [3, 1_000],
    [1_000_000, 86_400_000],
  ])('of %d per %d ms is full at first, then gives one each share of the period', (limit, periodMs) => {
    const rate = { limit, periodMs }
    let fullAt = 0
    expect(tokensAt(rate, fullAt, start)).toBe(limit)
    for (let i = 0; i < Math.min(limit, 1_000); i++) fullAt = takeToken(rate, fullAt, start)
    expect(tokensAt(rate, fullAt, start)).toBe(limit - Math.min(limit, 1_000))
    if (limit > 1_000) return
    const next = nextTokenAt(rate, fullAt)
    expect(next).toBe(Math.ceil(start + periodMs / limit - 0.01))
    expect(tokensAt(rate, fullAt, next - 1)).toBe(0)
    expect(tokensAt(rate, fullAt, next)).toBe(1)
    expect(tokensAt(rate, fullAt, start + periodMs)).toBe(limit)
    expect(tokensAt(rate, fullAt, start + 10 * periodMs)).toBe(limit)
  })

  it('holds nobody longer than a period after the limit was changed', () => {
    const rate = { limit: 10, periodMs: 1_000 }
    expect(tokensAt(rate, capped(rate, start + 3_600_000, start), start + 1_000)).toBe(10)
  })
})
