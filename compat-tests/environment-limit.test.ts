/** A platform of its own, as the limit is one of the whole environment. */
import { tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { deployFixture, finished, type PlatformProcess, startPlatform, useEnvironment } from './harness.ts'

let platform: PlatformProcess

beforeAll(async () => {
  platform = await startPlatform({ ENVIRONMENT_CONCURRENCY: '2' })
  await deployFixture(platform, 'plain')
  useEnvironment(platform)
}, 300_000)

afterAll(() => platform?.stop())

interface Span {
  start: number
  end: number
}

async function spansOf(...ids: string[]): Promise<Record<string, Span[]>> {
  const handles = []
  for (let i = 0; i < 6; i++) for (const id of ids) handles.push({ id, run: (await tasks.trigger(id, { ms: 700 })).id })
  const spans: Record<string, Span[]> = {}
  for (const { id, run } of handles) {
    const { output } = await finished(run)
    spans[id] = [...(spans[id] ?? []), output as unknown as Span]
  }
  return spans
}

function together(spans: Span[]): number {
  return Math.max(...spans.map((span) => spans.filter((other) => other.start <= span.start && other.end > span.start).length))
}

it('A33 gives one queue the limit of the environment, several together twice as much', async () => {
  const alone = await spansOf('unlimited-one')
  expect(together(alone['unlimited-one'] ?? [])).toBe(2)
  const { 'unlimited-one': one = [], 'unlimited-two': two = [] } = await spansOf('unlimited-one', 'unlimited-two')
  expect(together(one)).toBeLessThanOrEqual(2)
  expect(together(two)).toBeLessThanOrEqual(2)
  expect(together([...one, ...two])).toBeGreaterThan(2)
  expect(together([...one, ...two])).toBeLessThanOrEqual(4)
}, 90_000)
