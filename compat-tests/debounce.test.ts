import { batch, runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { finished, http, plain, unique, until, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms))

interface Handle {
  id: string
  isCached?: boolean
}

async function threeTriggers(mode: 'leading' | 'trailing'): Promise<{ handles: Handle[]; lastAt: number; key: string }> {
  const key = unique(mode)
  const handles: Handle[] = []
  let lastAt = 0
  for (let n = 1; n <= 3; n++) {
    if (n > 1) await pause(1_000)
    const tags = [`${key}-${n}`]
    handles.push(await tasks.trigger('counted', { n }, { debounce: { key, delay: '3s', mode }, tags }))
    lastAt = Date.now()
  }
  return { handles, lastAt, key }
}

describe.concurrent('debounce', () => {
  it.each(['leading', 'trailing'] as const)('A48 makes one run of triggers that follow each other: %s', async (mode) => {
    const { handles, lastAt, key } = await threeTriggers(mode)
    const [first] = handles as [Handle]
    expect(handles.map(({ id }) => id)).toEqual([first.id, first.id, first.id])
    expect(handles.some(({ isCached }) => isCached)).toBe(false)
    expect(await runs.retrieve(first.id)).toMatchObject({ status: 'DELAYED', delayedUntil: expect.any(Date) })
    const run = await finished(first.id)
    const last = mode === 'leading' ? 1 : 3
    expect(run.output).toMatchObject({ n: last })
    expect(run.tags).toEqual([`${key}-${last}`])
    const { at } = run.output as unknown as { at: number }
    expect(at - lastAt, 'at most a second early').toBeGreaterThanOrEqual(1_900)
    expect(at - lastAt).toBeLessThan(8_000)
    const later = await tasks.trigger('counted', { n: 4 }, { debounce: { key, delay: '1s' } })
    expect(later.id).not.toBe(first.id)
    expect((await finished(later.id)).output).toMatchObject({ n: 4 })
  })

  it('goes off after maxDelay while triggers go on, and the next are another run', async () => {
    const key = unique('max')
    const ids: string[] = []
    for (let n = 1; n <= 6; n++) {
      if (n > 1) await pause(1_000)
      ids.push((await tasks.trigger('counted', { n }, { debounce: { key, delay: '3s', maxDelay: '5s' } })).id)
    }
    const blocks = ids.filter((id, index) => id !== ids[index - 1])
    expect(blocks, 'one run after the other').toHaveLength(new Set(ids).size)
    // The second begins when the first cannot be pushed any more; on a slow machine a third does.
    expect([2, 3]).toContain(blocks.length)
    const first = await finished(ids[0] as string)
    expect(ids[1]).toBe(first.id)
    expect((first.startedAt as Date).getTime() - first.createdAt.getTime()).toBeLessThan(7_500)
    expect((await finished(ids[5] as string)).status).toBe('COMPLETED')
  })

  it('is one run for triggers that race', async () => {
    const debounce = { key: unique('race'), delay: '5s' }
    const handles = await Promise.all(Array.from({ length: 10 }, (_, n) => tasks.trigger('counted', { n }, { debounce })))
    expect(new Set(handles.map(({ id }) => id)).size).toBe(1)
    await runs.cancel((handles[0] as Handle).id)
  })

  it('wakes all parents that wait for the run', async () => {
    const key = unique('parents')
    const parents = await Promise.all([1, 2].map((n) => tasks.trigger('waits-for-debounced', { key, n })))
    const outputs = await Promise.all(parents.map(async ({ id }) => (await finished(id)).output as unknown as { child: string }))
    expect(outputs[0]).toMatchObject({ ok: true, output: { n: expect.any(Number) } })
    expect(outputs[1]).toEqual(outputs[0])
  })

  it('gives the items of a batch one run', async () => {
    const debounce = { key: unique('batch'), delay: '1s', mode: 'trailing' as const }
    const items = [1, 2, 3].map((n) => ({ payload: { n }, options: { debounce } }))
    const handle = await tasks.batchTrigger('counted', items)
    const done = await until(async () => {
      const current = await batch.retrieve(handle.batchId)
      return current.status === 'COMPLETED' ? current : undefined
    }, 'the batch')
    expect(new Set(done.runs).size).toBe(1)
    expect((await finished(done.runs[0] as string)).output).toMatchObject({ n: 3 })
  })

  it.each([
    ['debounce.delay', { debounce: { key: 'k', delay: 'soon' } }],
    ['debounce.delay', { debounce: { key: 'k', delay: new Date(Date.now() + 60_000).toISOString() } }],
    ['debounce.delay', { debounce: { key: 'k', delay: '0s' } }],
    ['debounce.maxDelay', { debounce: { key: 'k', delay: '5s', maxDelay: '5s' } }],
    ['options.delay', { delay: 'soon', debounce: { key: 'k', delay: '5s' } }],
  ])('refuses a bad %s', async (field, options) => {
    const answer = await http('POST', '/api/v1/tasks/counted/trigger', { payload: { n: 1 }, options })
    expect(answer).toMatchObject({ status: 422, body: { error: expect.stringContaining(field) } })
  })
})
