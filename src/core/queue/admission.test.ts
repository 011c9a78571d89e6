import { describe, expect, it } from 'vitest'
import { admitNext, enqueue, holdOf, newAdmission, occupy, release, type Waiting, withdraw } from './admission.ts'

function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return (state >>> 0) / 4294967296
  }
}
const item = (id: string, queue: string, key: string, score: number): Waiting => ({ id, queue, key, score })

describe('admission', () => {
  it('keeps the burst limit for the environment and the base limit for one queue', () => {
    const state = newAdmission(2, 2)
    for (let i = 0; i < 6; i++) {
      enqueue(state, item(`a${i}`, 'a', '', i))
      enqueue(state, item(`b${i}`, 'b', '', i))
    }
    const admitted = []
    for (let next = admitNext(state); next; next = admitNext(state)) admitted.push(next.queue)
    expect(admitted.sort()).toEqual(['a', 'a', 'b', 'b'])
    expect(holdOf(state, 'a', '')).toEqual({ hold: 'queue-limit', running: 2, limit: 2 })
    expect(holdOf(state, 'c', '')).toEqual({ hold: 'environment-limit', running: 4, limit: 4 })
  })

  it('starves no key: fifty keys of one beside one key of a thousand', () => {
    const state = newAdmission(1, 1)
    for (let i = 0; i < 1_000; i++) enqueue(state, item(`big${i}`, 'q', 'big', i))
    for (let i = 0; i < 50; i++) enqueue(state, item(`small${i}`, 'q', `k${i}`, 10_000 + i))
    const order: string[] = []
    for (let i = 0; i < 60; i++) {
      const next = admitNext(state) as Waiting
      order.push(next.id)
      release(state, next.queue, next.key)
    }
    expect(order.filter((id) => id.startsWith('small'))).toHaveLength(50)
  })

  it('agrees with a naive model under random arrivals, finishes, pauses and limit changes', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = seeded(seed)
      const state = newAdmission(3, 2)
      const running: Waiting[] = []
      const waiting: Waiting[] = []
      for (let step = 0; step < 300; step++) {
        const roll = random()
        const queue = `q${Math.floor(random() * 3)}`
        if (roll < 0.5) {
          const arrived = item(`${step}`, queue, `k${Math.floor(random() * 3)}`, step)
          enqueue(state, arrived)
          waiting.push(arrived)
        } else if (roll < 0.8 && running.length > 0) {
          const [done] = running.splice(Math.floor(random() * running.length), 1) as [Waiting]
          release(state, done.queue, done.key)
        } else if (roll < 0.87) {
          if (state.paused.has(queue)) state.paused.delete(queue)
          else state.paused.add(queue)
        } else if (roll < 0.93) {
          state.limits.set(queue, Math.floor(random() * 4))
        } else if (waiting.length > 0) {
          const [gone] = waiting.splice(Math.floor(random() * waiting.length), 1) as [Waiting]
          withdraw(state, gone)
        }
        const before = new Map(running.map((run) => [run.id, run]))
        for (let next = admitNext(state); next; next = admitNext(state)) {
          const first = waiting.find((other) => other.queue === next.queue && other.key === next.key)
          expect(next.id, 'order within a key').toBe(first?.id)
          waiting.splice(waiting.indexOf(first as Waiting), 1)
          running.push(next)
          const same = running.filter((run) => run.queue === next.queue && run.key === next.key).length
          expect(same).toBeLessThanOrEqual(Math.min(state.limits.get(next.queue) ?? 99, 3))
          expect(state.paused.has(next.queue)).toBe(false)
        }
        expect(running.length).toBeLessThanOrEqual(Math.max(6, before.size))
        expect(state.running).toBe(running.length)
        for (const left of waiting) {
          const same = running.filter((run) => run.queue === left.queue && run.key === left.key).length
          const free =
            running.length < 6 && !state.paused.has(left.queue) && same < Math.min(state.limits.get(left.queue) ?? 99, 3)
          expect(free, 'a runnable run is left while a slot is free').toBe(false)
        }
      }
    }
  })

  it('counts what was running before a restart', () => {
    const state = newAdmission(1, 1)
    occupy(state, 'q', '')
    enqueue(state, item('a', 'q', '', 1))
    expect(admitNext(state)).toBeUndefined()
    release(state, 'q', '')
    expect(admitNext(state)?.id).toBe('a')
  })
})
