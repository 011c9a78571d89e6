/** `runs.subscribeToRun` of the SDK, and the shape protocol under it. */
import { auth, runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { http, plain, runTask, unique, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

const shape = (id: string, query: string, headers: Record<string, string> = {}): ReturnType<typeof http> =>
  http('GET', `/realtime/v1/runs/${id}?${query}`, undefined, { 'x-trigger-api-version': '2025-07-16', ...headers })

describe('a subscription to a run', () => {
  it('tells of each step, and ends with the run', { timeout: 60_000 }, async () => {
    const handle = await tasks.trigger('echo', { text: 'we"ird' }, { delay: '2s', tags: [unique('tag'), 'a "quoted" one'] })
    const statuses: string[] = []
    let last: Awaited<ReturnType<typeof runs.retrieve>> | undefined
    for await (const run of runs.subscribeToRun(handle.id)) {
      statuses.push(run.status)
      last = run as never
    }
    expect(statuses[0]).toBe('DELAYED')
    expect(statuses.at(-1)).toBe('COMPLETED')
    expect(last).toMatchObject({ id: handle.id, taskIdentifier: 'echo', payload: { text: 'we"ird' } })
    expect(last?.tags).toContain('a "quoted" one')
    expect(last?.finishedAt).toBeInstanceOf(Date)
  })

  it('begins with what there is, also for a public token of the run', async () => {
    const { id } = await runTask('add-one', { n: 1 })
    const token = await auth.createPublicToken({ scopes: { read: { runs: [id] } } })
    const seen: unknown[] = []
    await auth.withAuth({ accessToken: token }, async () => {
      for await (const run of runs.subscribeToRun(id)) seen.push(run.output)
    })
    expect(seen).toEqual([{ n: 2 }])
  })

  it('holds a question open until something changes, and drops what is not wanted', async () => {
    const { id } = await tasks.trigger('echo', {}, { delay: '1h' })
    const first = await shape(id, 'offset=-1&log=full&skipColumns=payload,status')
    expect(first.status).toBe(200)
    const header = (name: string, answer = first): string => answer.headers.get(`electric-${name}`) as string
    expect([header('handle'), header('up-to-date')]).toEqual([expect.any(String), ''])
    const columns = Object.keys(JSON.parse(header('schema')))
    expect(columns).toContain('status')
    expect(columns).not.toContain('payload')
    const [row, end] = first.body
    expect(row.headers).toEqual({ operation: 'insert' })
    expect(Object.keys(row.value)).toEqual(columns)
    expect(end).toEqual({ headers: { control: 'up-to-date' } })
    const live = shape(id, `cursor=&handle=${header('handle')}&live=true&offset=${header('offset')}`)
    const early = await Promise.race([live, new Promise((done) => setTimeout(() => done('held'), 700))])
    expect(early).toBe('held')
    await runs.cancel(id)
    const changed = await live
    expect(changed.body[0]).toMatchObject({ headers: { operation: 'update' }, value: { status: 'CANCELED', friendlyId: id } })
    expect(header('cursor', changed)).toBeTruthy()
    const again = await shape(id, `handle=${header('handle')}&offset=${header('offset', changed)}&cursor=1`)
    expect(again.body).toEqual([{ headers: { control: 'up-to-date' } }])
  })

  it('is refused for a run that is not there, and for an offset that is none', async () => {
    expect((await shape(`run_${'0'.repeat(26)}`, 'offset=-1')).status).toBe(404)
    const { id } = await tasks.trigger('echo', {}, { delay: '1h' })
    for (const offset of ['', 'now', '-2', '1_2_3']) expect((await shape(id, `offset=${offset}`)).status).toBe(400)
    expect((await shape(id, 'offset=-1', { authorization: 'Bearer tr_prod_x' })).status).toBe(401)
    await runs.cancel(id)
  })
})
