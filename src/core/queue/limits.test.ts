import { describe, expect, it } from 'vitest'
import type { WorkerVersion } from '../../contracts/rpc.ts'
import { type QueueOverride, queueLimits, queueSizes } from './limits.ts'

const version = {
  queues: [{ name: 'five', concurrencyLimit: 5 }, { name: 'none' }, { name: 'huge', concurrencyLimit: 500 }],
  tasks: [
    { id: 'own', queue: { concurrencyLimit: 2 } },
    { id: 'named', queue: { name: 'zero', concurrencyLimit: 0 } },
  ],
} as WorkerVersion

const current = (overrides: Record<string, QueueOverride>, queue: string, environment = 100): unknown =>
  queueLimits(version, new Map(Object.entries(overrides)), environment).get(queue)

describe('the limit of a queue', () => {
  it('is what was declared, at most that of the environment', () => {
    const limits = queueLimits(version, new Map(), 100)
    expect([...limits].map(([name, limit]) => [name, limit.current])).toEqual([
      ['five', 5],
      ['huge', 100],
      ['task/own', 2],
      ['zero', 0],
    ])
  })

  it('is the override while there is one, and knows what it hides', () => {
    const one = { limit: 1, at: 7 }
    expect(current({ five: one }, 'five')).toEqual({ current: 1, base: 5, override: 1, overriddenAt: 7 })
    expect(current({ none: one }, 'none')).toEqual({ current: 1, base: null, override: 1, overriddenAt: 7 })
    expect(current({ five: { limit: 0, at: 7 } }, 'five')).toMatchObject({ current: 0 })
    expect(current({ five: { limit: 80, at: 7 } }, 'five', 10), 'the environment was made smaller').toMatchObject({ current: 10 })
  })

  it.each([
    [50, 100, 50],
    [50, 20, 10],
    [0.1, 20, 1],
    [33.4, 10, 3],
    [100, 7, 7],
  ])('is %d percent of %d', (percent, environment, limit) => {
    expect(current({ five: { percent, at: 1 } }, 'five', environment)).toMatchObject({
      current: limit,
      base: Math.min(5, environment),
    })
  })
})

describe('the size of queues', () => {
  it.each([
    [undefined, undefined, {}],
    ['500', '10000', { development: 500, deployed: 10_000 }],
    ['', '0', {}],
    ['many', '-1', {}],
    ['1.5', '1', { development: 1, deployed: 1 }],
  ])('set to %s and %s', (development, deployed, sizes) => {
    expect(queueSizes(development, deployed)).toEqual(sizes)
  })
})
