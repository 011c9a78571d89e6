import { describe, expect, it } from 'vitest'
import { admitNext, enqueue, holdOf, newAdmission, occupy, release, type Waiting } from './admission.ts'

const item = (id: string, queue: string, key: string, score: number): Waiting => ({ id, queue, key, score })

describe('admission', () => {
  it('keeps the burst limit for the environment and the base limit for one queue', () => {
    const state = newAdmission(2, 2)
    for (let i = 0; i < 6; i++) {
      enqueue(state, item(`a${i}`, 'a', '', i))
      enqueue(state, item(`b${i}`, 'b', '', i))
    }
    const admitted = []
    for (let next = admitNext(state, 0); next; next = admitNext(state, 0)) admitted.push(next.queue)
    expect(admitted.sort()).toEqual(['a', 'a', 'b', 'b'])
    expect(holdOf(state, 'a', '')).toEqual({ hold: 'queue-limit', running: 2, limit: 2 })
    expect(holdOf(state, 'c', '')).toEqual({ hold: 'environment-limit', running: 4, limit: 4 })
  })

  it('counts what was running before a restart', () => {
    const state = newAdmission(1, 1)
    occupy(state, 'q', '')
    enqueue(state, item('a', 'q', '', 1))
    expect(admitNext(state, 0)).toBeUndefined()
    release(state, 'q', '')
    expect(admitNext(state, 0)?.id).toBe('a')
  })
})
