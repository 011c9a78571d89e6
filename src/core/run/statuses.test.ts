import { describe, expect, it } from 'vitest'
import { allStatuses, canMove, freesIdempotencyKey, isFinal, move } from './statuses.ts'

/** Mulberry32: the same walk for the same seed. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

describe('run statuses', () => {
  it('has eight final states, and no way out of them', () => {
    expect(allStatuses.filter(isFinal).sort()).toEqual(
      [
        'CANCELED',
        'COMPLETED_SUCCESSFULLY',
        'COMPLETED_WITH_ERRORS',
        'CRASHED',
        'EXPIRED',
        'INTERRUPTED',
        'SYSTEM_FAILURE',
        'TIMED_OUT',
      ].sort(),
    )
    for (const from of allStatuses.filter(isFinal)) for (const to of allStatuses) expect(canMove(from, to)).toBe(false)
  })

  it('throws on every pair that is not in the table', () => {
    for (const from of allStatuses)
      for (const to of allStatuses) if (!canMove(from, to)) expect(() => move(from, to)).toThrow(from)
  })

  it('ends: from every state, a random walk over legal moves reaches a final one', () => {
    const random = seeded(42)
    for (let walk = 0; walk < 500; walk++) {
      let status = allStatuses[Math.floor(random() * allStatuses.length)] as (typeof allStatuses)[number]
      let steps = 0
      while (!isFinal(status)) {
        const next = allStatuses.filter((to) => canMove(status, to))
        status = move(status, next[Math.floor(random() * next.length)] as typeof status)
        expect(++steps).toBeLessThan(1_000)
      }
    }
  })

  it('frees a key on failure and expiry, not on success or cancel', () => {
    expect(allStatuses.filter(freesIdempotencyKey).sort()).toEqual(
      ['COMPLETED_WITH_ERRORS', 'CRASHED', 'EXPIRED', 'INTERRUPTED', 'SYSTEM_FAILURE', 'TIMED_OUT'].sort(),
    )
  })
})
