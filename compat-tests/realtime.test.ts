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

describe('subscriptions to many runs', () => {
  it('by tags: what is there, what comes, and how it changes', { timeout: 60_000 }, async () => {
    const [one, two] = [unique('tag'), unique('tag')]
    const first = await runTask('add-one', { n: 1 }, { tags: [one, two] })
    const seen = new Map<string, string[]>()
    const made: string[] = []
    for await (const run of runs.subscribeToRunsWithTag([one, two])) {
      const known = seen.get(run.id) ?? []
      if (known.at(-1) !== run.status) seen.set(run.id, [...known, run.status])
      if (made.length === 0) {
        await tasks.trigger('add-one', { n: 1 }, { tags: [one] })
        made.push((await tasks.trigger('echo', { a: 1 }, { tags: [two, one], delay: '1s' })).id)
      }
      if (run.id === made[0] && run.isCompleted) {
        expect(run.output).toEqual({ a: 1 })
        break
      }
    }
    expect([...seen.keys()]).toEqual([first.id, made[0]])
    expect(seen.get(first.id)).toEqual(['COMPLETED'])
    expect(seen.get(made[0] as string)).toEqual(expect.arrayContaining(['DELAYED', 'COMPLETED']))
  })

  it('of a batch, to its end', { timeout: 60_000 }, async () => {
    const batch = await tasks.batchTrigger(
      'add-one',
      Array.from({ length: 20 }, (_, n) => ({ payload: { n } })),
    )
    const outputs = new Map<string, unknown>()
    for await (const run of runs.subscribeToBatch(batch.batchId)) {
      if (run.isCompleted) outputs.set(run.id, run.output)
      if (outputs.size === 20) break
    }
    expect([...outputs.values()].map((output) => (output as { n: number }).n).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, n) => n + 1),
    )
  })

  it('with a public token for one of the tags or the batch, and no other', async () => {
    const tag = unique('tag')
    await tasks.trigger('echo', {}, { tags: [tag], delay: '1h' })
    const ask = async (scope: string, path: string): Promise<number> => {
      const { body } = await http('POST', '/api/v1/auth/jwt', { claims: { scopes: [scope] } })
      return (await http('GET', path, undefined, { authorization: `Bearer ${body.token}` })).status
    }
    const path = `/realtime/v1/runs?tags=${tag}&offset=-1`
    expect(await ask(`read:tags:${tag}`, path)).toBe(200)
    expect(await ask('read:runs', path)).toBe(200)
    expect(await ask('read:tags:other', path)).toBe(403)
    expect(await ask(`read:tags:${tag}`, '/realtime/v1/runs?offset=-1')).toBe(403)
  })

  it('holds the question, keeps its window, and refuses what it cannot read', async () => {
    const tag = unique('tag')
    const { id } = await tasks.trigger('echo', {}, { tags: [tag], delay: '1h' })
    const first = await http('GET', `/realtime/v1/runs?tags=${tag}&createdAt=2h&offset=-1`)
    expect(first.body.map((row: { value?: { friendlyId: string } }) => row.value?.friendlyId)).toEqual([id, undefined])
    const handle = first.headers.get('electric-handle') as string
    expect(handle).toMatch(/^runs-\d+$/)
    await new Promise((done) => setTimeout(done, 20))
    const second = await http(
      'GET',
      `/realtime/v1/runs?tags=${tag}&offset=${first.headers.get('electric-offset')}&handle=${handle}`,
    )
    const live = http(
      'GET',
      `/realtime/v1/runs?tags=${tag}&live=true&cursor=&offset=${second.headers.get('electric-offset')}&handle=${handle}`,
    )
    expect(await Promise.race([live, new Promise((done) => setTimeout(() => done('held'), 500))])).toBe('held')
    await runs.cancel(id)
    const changed = await live
    expect(changed.headers.get('electric-handle')).toBe(handle)
    expect(changed.body[0]).toMatchObject({ value: { friendlyId: id, status: 'CANCELED' } })
    for (const query of [
      'offset=x',
      'offset=-1&createdAt=soon',
      `offset=-1&tags=${'t'.repeat(200)}`,
      'offset=-1&tags=a%22b',
      'offset=-1&tags=1,2,3,4,5,6,7,8,9,10,11',
    ])
      expect((await http('GET', `/realtime/v1/runs?${query}`)).status, query).toBe(400)
    expect((await http('GET', '/realtime/v1/batches/batch_none?offset=-1')).status).toBe(404)
  })
})
