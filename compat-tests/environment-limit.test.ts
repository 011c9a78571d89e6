/** A platform of its own, as the limit is one of the whole environment. */
import { queues, runs, tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { deployFixture, finished, type PlatformProcess, startPlatform, until, useEnvironment } from './harness.ts'

let platform: PlatformProcess

beforeAll(async () => {
  platform = await startPlatform({ ENVIRONMENT_CONCURRENCY: '2', MAXIMUM_DEPLOYED_QUEUE_SIZE: '8' })
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

it('refuses a run for a queue that is full, with the number', async () => {
  const queue = { type: 'custom', name: 'pausable' } as const
  await queues.pause(queue)
  for (let i = 0; i < 8; i++) await tasks.trigger('pausable', {})
  await expect(tasks.trigger('pausable', {})).rejects.toMatchObject({
    status: 422,
    message: expect.stringContaining('queue pausable has reached its size limit of 8'),
  })
  expect(await queues.retrieve(queue)).toMatchObject({ queued: 8 })
  await queues.resume(queue)
  await until(async () => (await queues.retrieve(queue)).queued === 0, 'the queue to empty')
  await tasks.trigger('pausable', {})
}, 60_000)

it('ends a chain of runs that trigger themselves at a depth of 100', async () => {
  await tasks.trigger('runaway', { n: 0 })
  const last = await until(
    async () => (await runs.list({ taskIdentifier: 'runaway', status: 'FAILED' })).data[0],
    'the chain to end',
    90_000,
  )
  const run = await runs.retrieve(last.id)
  expect(run).toMatchObject({ depth: 100, payload: { n: 100 } })
  expect(run.error?.message).toContain('at most 100 deep')
}, 120_000)
