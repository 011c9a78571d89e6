import { describe, expect, it } from 'vitest'
import type { BulkActionRecord } from '../../contracts/objects.ts'
import {
  abort,
  advance,
  bulkChunkSize,
  bulkPageSize,
  doneCount,
  mayAdvance,
  mayReplay,
  newBulkAction,
  nextPage,
} from './progress.ts'

const make = (total: number, extra: Partial<BulkActionRecord> = {}): BulkActionRecord => ({
  ...newBulkAction({ id: 'bulk_1', type: 'CANCEL' }, total, 1_000),
  ...extra,
})

describe('a bulk action', () => {
  for (const total of [1, bulkPageSize - 1, bulkPageSize, bulkChunkSize, bulkChunkSize + 1, 2_345]) {
    it(`takes each of ${total} items once and in order`, () => {
      let action = make(total)
      const seen: number[] = []
      for (let page = nextPage(action); page; page = nextPage(action)) {
        const { chunk, start, end } = page
        expect(end).toBeGreaterThan(start)
        expect(end).toBeLessThanOrEqual(bulkChunkSize)
        const items = Array.from({ length: end - start }, (_, index) => chunk * bulkChunkSize + start + index)
        seen.push(...items)
        action = advance(
          action,
          items.map((item) => item % 3 > 0),
          2_000,
        )
      }
      expect(seen).toEqual(Array.from({ length: total }, (_, index) => index))
      expect(action).toMatchObject({ status: 'COMPLETED', completedAt: 2_000, failure: Math.ceil(total / 3) })
      expect(doneCount(action)).toBe(total)
    })
  }

  it('is over at once when nothing fits', () => {
    expect(make(0)).toMatchObject({ status: 'COMPLETED', total: 0, completedAt: 1_000 })
    expect(nextPage(make(0))).toBeUndefined()
  })

  it('counts a page only where it was planned, and never after its end', () => {
    const action = make(10)
    expect(mayAdvance(action, 0)).toBe(true)
    const further = advance(action, [true, false], 2_000)
    expect(mayAdvance(further, 0)).toBe(false)
    expect(mayAdvance(further, 2)).toBe(true)
    const aborted = abort(further, 3_000) as BulkActionRecord
    expect(aborted).toMatchObject({ status: 'ABORTED', success: 1, failure: 1, completedAt: 3_000 })
    expect(mayAdvance(aborted, 2)).toBe(false)
    expect(nextPage(aborted)).toBeUndefined()
    expect(abort(aborted, 4_000)).toBeUndefined()
    expect(abort(advance(make(1), [true], 2_000), 4_000)).toBeUndefined()
    expect(mayAdvance(undefined, 0)).toBe(false)
  })

  it('of replays only three move at a time', () => {
    const replay = make(5, { type: 'REPLAY' })
    expect(mayReplay([replay, replay], 2_000)).toBe(true)
    expect(mayReplay([replay, replay, replay], 2_000)).toBe(false)
    expect(mayReplay([replay, replay, make(5)], 2_000)).toBe(true)
    // One that has stood still for half an hour is none.
    expect(mayReplay([replay, replay, replay], 1_000 + 30 * 60_000)).toBe(true)
  })
})
