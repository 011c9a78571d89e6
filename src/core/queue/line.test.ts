import { describe, expect, it } from 'vitest'
import { Line, type Waiting } from './line.ts'

const item = (id: string, score: number): Waiting => ({ id, queue: 'q', key: '', score })

describe('a line', () => {
  it('agrees with a sorted array under random changes', () => {
    let seed = 7
    const random = (): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0
      return (seed >>> 0) / 4294967296
    }
    const line = new Line()
    let model: Waiting[] = []
    for (let step = 0; step < 20_000; step++) {
      const roll = random()
      if (roll < 0.55) {
        const arrived = item(`${step}`, Math.floor(step / 10) - (roll < 0.1 ? 50 : 0))
        const isFirst = line.add(arrived)
        model.push(arrived)
        model = model.toSorted((a, b) => a.score - b.score)
        expect(isFirst).toBe(model[0] === arrived)
      } else if (roll < 0.9) {
        if (step < 15_000 && roll > 0.75) continue
        expect(line.take()).toBe(model.shift())
      } else {
        const gone = model[Math.floor(random() * model.length)] ?? item('none', 3)
        const at = model.indexOf(gone)
        // Also when the caller's score is out of date.
        expect(line.remove(roll < 0.95 ? gone : { ...gone, score: gone.score + 1 })).toBe(at < 0 ? undefined : at === 0)
        model = model.filter((other) => other !== gone)
      }
      expect(line.length).toBe(model.length)
      expect(line.first()).toBe(model[0])
    }
    expect(model.length).toBeGreaterThan(1_000)
  })
})
