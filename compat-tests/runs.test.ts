import { runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { finished, hasStatus, http, plain, runTask, unique, until, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

describe.concurrent('a run', () => {
  it('A01 ends with its output, its times and the current version', async () => {
    const handle = await tasks.trigger('add-one', { n: 41 })
    expect(handle.id).toMatch(/^run_[0-9a-v]+$/)
    const run = await finished(handle.id)
    expect(run).toMatchObject({
      status: 'COMPLETED',
      taskIdentifier: 'add-one',
      output: { n: 42 },
      isCompleted: true,
      isSuccess: true,
      isFailed: false,
      attemptCount: 1,
    })
    expect(run.createdAt.getTime()).toBeLessThanOrEqual(run.startedAt?.getTime() as number)
    expect(run.startedAt?.getTime()).toBeLessThanOrEqual(run.finishedAt?.getTime() as number)
    expect(run.version).toMatch(/^\d{8}\.\d+$/)
    expect(run.payload).toEqual({ n: 41 })
  })

  it('A02 keeps rich types on the way into a task and between tasks', async () => {
    const payload = {
      date: new Date('2026-01-02T03:04:05Z'),
      map: new Map([['a', 1]]),
      set: new Set(['x']),
      big: 12345678901234567890n,
      nested: { list: [undefined, null, Number.NaN] },
    }
    const run = await runTask('rich-types', payload)
    const output = run.output as { seen: unknown; back: unknown }
    expect(output.seen).toEqual({ date: true, map: 1, set: true, big: 'bigint' })
    // The API unwraps SuperJSON to its plain part; typed values come back through triggerAndWait.
    expect(output.back).toEqual({
      date: '2026-01-02T03:04:05.000Z',
      map: [['a', 1]],
      set: ['x'],
      big: '12345678901234567890',
      nested: { list: [null, null, 'NaN'] },
    })
  })

  it('A03 takes a 1 MiB payload and returns it', async () => {
    const text = 'y'.repeat(1024 * 1024)
    const run = await runTask('echo', { text })
    expect(run.status).toBe('COMPLETED')
    expect((run.output as { text: string }).text).toBe(text)
  })

  it('stores a large output and hands it back', async () => {
    const run = await runTask('big-output', { bytes: 700_000 })
    expect((run.output as { text: string }).text.length).toBe(700_000)
  })

  it('has no output when the task returns nothing', async () => {
    const run = await runTask('no-output')
    expect(run.status).toBe('COMPLETED')
    expect(run.output).toBeUndefined()
  })

  it('returns text as text', async () => {
    expect((await runTask('returns-text')).output).toBe('plain text')
  })

  it('sees its context', async () => {
    const run = await runTask('context', {}, { tags: ['one', 'two'] })
    expect(run.output).toMatchObject({
      runId: run.id,
      taskId: 'context',
      attempt: 1,
      environment: 'PRODUCTION',
      project: plain.ref,
      isTest: false,
      queue: 'task/context',
      version: run.version,
    })
  })

  it('starts with fresh module state', async () => {
    await runTask('module-state')
    expect((await runTask('module-state')).output).toEqual({ calls: 1 })
  })

  it('uses Node built-ins', async () => {
    expect((await runTask('node-builtins')).output).toEqual({ hash: 'ca978112', buffer: 'aGk=', path: 'b' })
  })

  it('is found by poll', async () => {
    const handle = await tasks.trigger('add-one', { n: 1 })
    const run = await runs.poll(handle, { pollIntervalMs: 100 })
    expect(run.output).toEqual({ n: 2 })
  })

  it('shows EXECUTING while it runs', async () => {
    const handle = await tasks.trigger('sleeper', { ms: 3_000 })
    const run = await hasStatus(handle.id, 'EXECUTING')
    expect(run.isExecuting).toBe(true)
    await runs.cancel(handle.id)
  })

  it('A46 cancels an executing run, again, and a finished one', async () => {
    const handle = await tasks.trigger('sleeper', { ms: 60_000 })
    await hasStatus(handle.id, 'EXECUTING')
    await runs.cancel(handle.id)
    const run = await hasStatus(handle.id, 'CANCELED')
    expect(run.isCancelled).toBe(true)
    await expect(runs.cancel(handle.id)).resolves.toMatchObject({ id: handle.id })
    const done = await runTask('add-one', { n: 1 })
    await expect(runs.cancel(done.id)).resolves.toMatchObject({ id: done.id })
    expect((await runs.retrieve(done.id)).status).toBe('COMPLETED')
  })

  it('A46 cancels the children of a cancelled run', async () => {
    const handle = await tasks.trigger('cancel-tree', {})
    const child = await until(async () => (await runs.retrieve(handle.id)).relatedRuns.children?.[0], 'a child')
    await runs.cancel(handle.id)
    await hasStatus(handle.id, 'CANCELED')
    expect((await hasStatus(child.id, 'CANCELED')).relatedRuns.parent?.id).toBe(handle.id)
  })

  it('A47 is replayed with payload and tags', async () => {
    const tag = unique('replay')
    const first = await runTask('add-one', { n: 10 }, { tags: [tag] })
    const handle = await runs.replay(first.id)
    expect(handle.id).not.toBe(first.id)
    const run = await finished(handle.id)
    expect(run).toMatchObject({ output: { n: 11 }, tags: [tag] })
  })

  it('A25 carries sorted tags', async () => {
    const [a, b] = [unique('b'), unique('a')]
    const run = await runTask('add-one', { n: 1 }, { tags: [a, b] })
    expect(run.tags).toEqual([a, b].sort((x, y) => x.localeCompare(y)))
  })

  it('A25 refuses an eleventh tag', async () => {
    const tags = Array.from({ length: 11 }, (_, i) => `t${i}`)
    await expect(tasks.trigger('add-one', { n: 1 }, { tags })).rejects.toMatchObject({ status: 422 })
  })

  it('A25 adds tags up to ten, all or nothing', async () => {
    const tags = Array.from({ length: 9 }, (_, i) => `t${i}`)
    const handle = await tasks.trigger('add-one', { n: 1 }, { tags })
    const many = await http('POST', `/api/v1/runs/${handle.id}/tags`, { tags: ['x', 'y'] })
    expect(many.status).toBe(422)
    expect((await runs.retrieve(handle.id)).tags).toHaveLength(9)
    expect((await http('POST', `/api/v1/runs/${handle.id}/tags`, { tags: ['x'] })).status).toBe(200)
    expect((await runs.retrieve(handle.id)).tags).toContain('x')
  })

  it('adds tags from inside', async () => {
    const tag = unique('inside')
    const run = await runTask('adds-tags', { tags: [tag] })
    expect(run.tags).toEqual([tag])
  })
})

describe.concurrent('the list', () => {
  it('filters by tag, task and status, newest first', async () => {
    const tag = unique('list')
    const first = await runTask('add-one', { n: 1 }, { tags: [tag] })
    const second = await runTask('fails', {}, { tags: [tag] })
    const page = await runs.list({ tag, limit: 10 })
    expect(page.data.map((run) => run.id)).toEqual([second.id, first.id])
    expect((await runs.list({ tag, status: 'COMPLETED' })).data.map((run) => run.id)).toEqual([first.id])
    expect((await runs.list({ tag, taskIdentifier: 'fails' })).data.map((run) => run.id)).toEqual([second.id])
    expect(page.data[0]).toMatchObject({ status: 'FAILED', taskIdentifier: 'fails', env: { name: 'prod' } })
  })

  it('is paged to its end', async () => {
    const tag = unique('page')
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push((await tasks.trigger('add-one', { n: i }, { tags: [tag] })).id)
    const seen: string[] = []
    for await (const run of runs.list({ tag, limit: 2 })) seen.push(run.id)
    expect(seen).toEqual(ids.reverse())
  })
})
