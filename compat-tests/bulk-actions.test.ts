/** `runs.bulk` of the real SDK, and what the routes refuse. */
import { runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { finished, http, plain, runTask, unique, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

async function delayed(count: number, tag: string): Promise<string[]> {
  const handles = Array.from({ length: count }, () => tasks.trigger('add-one', { n: 1 }, { delay: '1h', tags: [tag] }))
  return (await Promise.all(handles)).map((handle) => handle.id)
}
async function all(query: Parameters<typeof runs.list>[0]): Promise<{ id: string; status: string }[]> {
  const found: { id: string; status: string }[] = []
  for await (const run of runs.list({ limit: 100, ...query })) found.push(run)
  return found
}

describe('runs.bulk', () => {
  it('cancels by run ids', async () => {
    const tag = unique('bulk')
    const ids = await delayed(3, tag)
    const done = await runTask('add-one', { n: 1 })
    const { id } = await runs.bulk.cancel({ runIds: [ids[0] as string, ids[1] as string, done.id], name: 'by id' })
    expect(id).toMatch(/^bulk_[0-9a-z]+$/)
    const action = await runs.bulk.poll(id, { pollIntervalMs: 100 })
    expect(action).toMatchObject({
      id,
      name: 'by id',
      type: 'CANCEL',
      status: 'COMPLETED',
      counts: { total: 3, success: 2, failure: 1 },
    })
    expect(action.createdAt).toBeInstanceOf(Date)
    expect(action.completedAt).toBeInstanceOf(Date)
    expect((await runs.retrieve(ids[0] as string)).status).toBe('CANCELED')
    expect((await runs.retrieve(ids[2] as string)).status).toBe('DELAYED')
  })

  it('cancels more than a page by filter, and nothing besides', async () => {
    const tag = unique('bulk')
    const other = await delayed(1, unique('other'))
    await delayed(130, tag)
    const { id } = await runs.bulk.cancel({
      filter: { tag, status: ['DELAYED', 'QUEUED'], taskIdentifier: 'add-one', period: '1d' },
    })
    const action = await runs.bulk.poll(id, { pollIntervalMs: 100 })
    expect(action.counts).toEqual({ total: 130, success: 130, failure: 0 })
    const runsOfTag = await all({ tag })
    expect(runsOfTag).toHaveLength(130)
    expect(new Set(runsOfTag.map((run) => run.status))).toEqual(new Set(['CANCELED']))
    expect(await all({ bulkAction: id })).toHaveLength(130)
    expect((await runs.retrieve(other[0] as string)).status).toBe('DELAYED')
  })

  it('replays, and the replays run', async () => {
    const tag = unique('bulk')
    const first = await runTask('add-one', { n: 1 }, { tags: [tag] })
    const second = await runTask('add-one', { n: 2 }, { tags: [tag] })
    const { id } = await runs.bulk.replay({ filter: { tag, from: new Date(Date.now() - 600_000), to: new Date() } })
    expect(await runs.bulk.poll(id, { pollIntervalMs: 100 })).toMatchObject({
      type: 'REPLAY',
      counts: { total: 2, success: 2, failure: 0 },
    })
    const made = await all({ bulkAction: id })
    expect(made).toHaveLength(2)
    const outputs = await Promise.all(made.map(async (run) => (await finished(run.id)).output as { n: number }))
    expect(outputs.map((output) => output.n).sort()).toEqual([2, 3])
    expect(made.map((run) => run.id)).not.toContain(first.id)
    expect(made.map((run) => run.id)).not.toContain(second.id)
  })

  it('lists newest first, from page to page', async () => {
    const made: string[] = []
    for (let index = 0; index < 3; index++) made.unshift((await runs.bulk.cancel({ runIds: ['run_none'], name: `n${index}` })).id)
    const page = await runs.bulk.list({ limit: 2 })
    expect(page.data.map((action) => action.id)).toEqual(made.slice(0, 2))
    expect((await page.getNextPage()).data[0]?.id).toBe(made[2])
  })

  it('aborts what is pending only', async () => {
    const tag = unique('bulk')
    await delayed(400, tag)
    const { id } = await runs.bulk.replay({ filter: { tag } })
    // It may have been quicker; then there is nothing to abort, and it says so.
    const answer = await http('POST', `/api/v1/bulk-actions/${id}/abort`)
    const action = await runs.bulk.poll(id, { pollIntervalMs: 100 })
    const { counts, status } = action
    expect([answer.status, status]).toEqual(answer.status === 200 ? [200, 'ABORTED'] : [409, 'COMPLETED'])
    expect(await all({ bulkAction: id })).toHaveLength(counts.success)
    const again = await http('POST', `/api/v1/bulk-actions/${id}/abort`)
    expect(again).toMatchObject({ status: 409, body: { error: `Bulk action is already ${status.toLowerCase()}` } })
    expect(again.headers.get('x-should-retry')).toBe('false')
    // What it started, or was to be replayed, is not left behind for other scenarios.
    await runs.bulk.poll((await runs.bulk.cancel({ filter: { tag, status: ['DELAYED', 'QUEUED'] } })).id, { pollIntervalMs: 100 })
  })

  it('is refused by the name of the bad field, and changes nothing', async () => {
    const [id] = await delayed(1, unique('bulk'))
    const before = (await http('GET', '/api/v1/bulk-actions')).body.data.length
    const refused: [body: unknown, words: string][] = [
      [{ action: 'cancel' }, 'Exactly one of filter or runIds'],
      [{ action: 'cancel', runIds: [id], filter: { tag: 'x' } }, 'Exactly one of filter or runIds'],
      [{ action: 'cancel', filter: {} }, 'At least one filter must be provided at "filter"'],
      [{ action: 'cancel', filter: { tag: [' '] } }, 'At least one filter must be provided at "filter"'],
      [{ action: 'cancel', runIds: [] }, 'at "runIds"'],
      [{ action: 'cancel', runIds: Array.from({ length: 501 }, () => id) }, 'at most 500 run ids at "runIds"'],
      [{ action: 'cancel', runIds: [id], name: 'x'.repeat(256) }, 'at most 255 characters at "name"'],
      [{ action: 'cancel', runIds: [id], targetRegion: 'eu' }, 'at "targetRegion"'],
      [{ action: 'pause', runIds: [id] }, 'at "action"'],
      [{ action: 'cancel', filter: { status: 'LOST' } }, 'Unknown status: LOST at "filter.status"'],
      [{ action: 'cancel', filter: { period: 'soon' } }, 'Invalid period: soon at "filter.period"'],
      [{ action: 'cancel', filter: { tag: 'x', from: 'then' } }, 'Invalid date: then at "filter.from"'],
      [{ action: 'cancel', filter: { machine: 'huge' } }, 'at "filter.machine"'],
    ]
    for (const [body, words] of refused) {
      const answer = await http('POST', '/api/v1/bulk-actions', body)
      expect([answer.status, answer.body.error], JSON.stringify(body)).toEqual([400, expect.stringContaining(words)])
    }
    expect((await http('POST', '/api/v1/bulk-actions', { action: 'replay', runIds: [id], targetRegion: 'moon' })).status).toBe(
      422,
    )
    expect((await http('GET', '/api/v1/bulk-actions/bulk_x')).status).toBe(404)
    expect((await http('POST', '/api/v1/bulk-actions/bulk_x/abort')).status).toBe(404)
    expect((await http('GET', '/api/v1/bulk-actions', undefined, { authorization: 'Bearer x' })).status).toBe(401)
    expect((await http('GET', '/api/v1/bulk-actions')).body.data).toHaveLength(before)
    expect((await runs.retrieve(id as string)).status).toBe('DELAYED')
  })
})
