import { queues, runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { finished, hasStatus, plain, unique, until, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

interface Span {
  start: number
  end: number
}

/** The most spans that overlap at one instant. */
function overlap(spans: Span[]): number {
  return Math.max(...spans.map((span) => spans.filter((other) => other.start <= span.start && other.end > span.start).length))
}

async function spansOf(task: string, count: number, ms: number, options: (i: number) => object = () => ({})): Promise<Span[]> {
  const handles = []
  for (let i = 0; i < count; i++) handles.push(await tasks.trigger(task, { ms }, options(i)))
  return Promise.all(handles.map(async (handle) => (await finished(handle.id)).output as unknown as Span))
}

describe('queues', () => {
  it('A30 never run more than their limit, in trigger order', async () => {
    const spans = await spansOf('two-at-a-time', 6, 400)
    expect(overlap(spans)).toBeLessThanOrEqual(2)
    expect(spans.map((span) => span.start)).toEqual([...spans.map((span) => span.start)].sort((a, b) => a - b))
  })

  it('A31 are shared by tasks', async () => {
    const [one, two] = await Promise.all([spansOf('one-at-a-time', 2, 300), spansOf('shares-queue', 2, 300)])
    expect(overlap([...one, ...two])).toBe(1)
  })

  it('A32 have a line for each concurrency key', async () => {
    const [x, y] = [unique('x'), unique('y')]
    const spans = await spansOf('per-key', 6, 400, (i) => ({ concurrencyKey: i % 2 ? x : y }))
    expect(overlap(spans.filter((_, i) => i % 2 === 0))).toBe(1)
    expect(overlap(spans.filter((_, i) => i % 2 === 1))).toBe(1)
    expect(overlap(spans)).toBe(2)
  })

  it('A29 prefer priority', async () => {
    const blocker = await tasks.trigger('one-at-a-time', { ms: 2_500 })
    await hasStatus(blocker.id, 'EXECUTING')
    const low = await tasks.trigger('one-at-a-time', { ms: 50 })
    const high = await tasks.trigger('one-at-a-time', { ms: 50 }, { priority: 60 })
    const first = (await finished(high.id)).output as unknown as Span
    const second = (await finished(low.id)).output as unknown as Span
    expect(first.start).toBeLessThan(second.start)
  })

  it('A34 are paused and resumed', async () => {
    const paused = await queues.pause({ type: 'custom', name: 'pausable' })
    expect(paused.paused).toBe(true)
    const handle = await tasks.trigger('pausable', {})
    await new Promise((done) => setTimeout(done, 1_000))
    expect((await runs.retrieve(handle.id)).status).toBe('QUEUED')
    expect(await queues.retrieve({ type: 'custom', name: 'pausable' })).toMatchObject({ paused: true, queued: 1 })
    expect((await queues.resume({ type: 'custom', name: 'pausable' })).paused).toBe(false)
    expect((await finished(handle.id)).output).toBe('ran')
  })

  it('are listed with their limits', async () => {
    const names = new Map<string, number | null | undefined>()
    for (let page = 1; ; page++) {
      const result = await queues.list({ page, perPage: 50 })
      for (const item of result.data) names.set(item.name, item.concurrencyLimit)
      if (page >= result.pagination.totalPages) break
    }
    expect(names.get('narrow')).toBe(1)
    expect(names.has('add-one')).toBe(true)
    expect(await queues.retrieve({ type: 'task', name: 'two-at-a-time' })).toMatchObject({ type: 'task', concurrencyLimit: 2 })
  })

  it('that do not exist answer 404', async () => {
    await expect(queues.retrieve({ type: 'custom', name: 'unknown-queue' })).rejects.toMatchObject({ status: 404 })
  })

  it('take a run sent to another queue', async () => {
    const handle = await tasks.trigger('add-one', { n: 1 }, { queue: 'pausable' })
    const found = await until(async () => {
      const page = await runs.list({ queue: { type: 'custom', name: 'pausable' }, taskIdentifier: 'add-one' } as never)
      return page.data.find((run) => run.id === handle.id)
    }, 'the run in the list of its queue')
    expect(found.taskIdentifier).toBe('add-one')
  })
})
