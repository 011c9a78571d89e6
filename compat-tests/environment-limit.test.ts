/** A platform of its own, as the limit is one of the whole environment. */
import { tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { deployFixture, finished, type PlatformProcess, startPlatform, useEnvironment } from './harness.ts'

let platform: PlatformProcess

beforeAll(async () => {
  platform = await startPlatform({ ENVIRONMENT_CONCURRENCY: '2' })
  await deployFixture(platform, 'plain')
  useEnvironment(platform)
}, 180_000)

afterAll(() => platform?.stop())

it('A33 runs no more than the environment allows, over all queues', async () => {
  const ids = []
  for (let i = 0; i < 3; i++) {
    ids.push((await tasks.trigger('two-at-a-time', { ms: 500 })).id)
    ids.push((await tasks.trigger('per-key', { ms: 500 }, { concurrencyKey: `k${i}` })).id)
  }
  const spans = await Promise.all(ids.map(async (id) => (await finished(id)).output as unknown as { start: number; end: number }))
  const together = spans.map((span) => spans.filter((other) => other.start <= span.start && other.end > span.start).length)
  expect(Math.max(...together)).toBe(2)
}, 60_000)
