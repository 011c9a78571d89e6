import { runs, tasks, wait } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { finished, hasStatus, http, plain, runTask, unique, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

describe.concurrent('time', () => {
  it('A43 waits for a short time', async () => {
    const run = await runTask('waits-for', { seconds: 2 })
    const { waitedMs } = run.output as { waitedMs: number }
    expect(waitedMs).toBeGreaterThanOrEqual(1_990)
    expect(waitedMs).toBeLessThan(20_000)
  })

  it('A43 is WAITING in a long wait and goes on', async () => {
    const handle = await tasks.trigger('waits-for', { seconds: 8 })
    expect((await hasStatus(handle.id, 'WAITING')).isWaiting).toBe(true)
    const run = await finished(handle.id)
    expect(run).toMatchObject({ status: 'COMPLETED', attemptCount: 1 })
  })

  it('A43 does not wait for a date in the past, or throws', async () => {
    const date = new Date(Date.now() - 60_000)
    expect((await runTask('waits-until', { date })).status).toBe('COMPLETED')
    expect((await runTask('waits-until', { date, throwIfInThePast: true })).status).toBe('FAILED')
  })
})

describe.concurrent('tokens', () => {
  it('A44 deliver what the SDK completes them with', async () => {
    const token = await wait.createToken({ timeout: '1h', tags: [unique('tag')] })
    expect(token.id).toMatch(/^waitpoint_/)
    expect(token.isCached).toBe(false)
    const handle = await tasks.trigger('waits-for-token', { id: token.id })
    await hasStatus(handle.id, 'WAITING')
    await wait.completeToken(token, { approved: true })
    expect((await finished(handle.id)).output).toEqual({ ok: true, output: { approved: true } })
    expect((await wait.retrieveToken(token.id)).status).toBe('COMPLETED')
  })

  it('A44 are completed through their URL', async () => {
    const token = await wait.createToken({ timeout: '1h' })
    const response = await fetch(token.url, { method: 'POST', body: JSON.stringify({ from: 'url' }) })
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ success: true })
    expect((await runTask('waits-for-token', { id: token.id })).output).toEqual({ ok: true, output: { from: 'url' } })
  })

  it('A44 refuse a wrong URL and take an empty body as {}', async () => {
    const token = await wait.createToken({ timeout: '1h' })
    const wrong = await fetch(token.url.replace(/[0-9a-f]{8}$/, '00000000'), { method: 'POST', body: '{}' })
    expect(wrong.status).toBe(401)
    expect(await wrong.json()).toEqual({ error: "Invalid URL, hash doesn't match" })
    expect((await fetch(token.url, { method: 'POST', body: '' })).status).toBe(200)
    expect((await runTask('waits-for-token', { id: token.id })).output).toEqual({ ok: true, output: {} })
  })

  it('keep their first completion', async () => {
    const token = await wait.createToken({ timeout: '1h' })
    await wait.completeToken(token, 'first')
    await wait.completeToken(token, 'second')
    expect((await runTask('waits-for-token', { id: token.id })).output).toEqual({ ok: true, output: 'first' })
  })

  it('A45 time out', async () => {
    const token = await wait.createToken({ timeout: '2s' })
    const run = await runTask('waits-for-token', { id: token.id })
    expect(run.output).toEqual({ ok: false, error: 'WaitpointTimeoutError' })
    expect((await wait.retrieveToken(token.id)).status).toBe('TIMED_OUT')
  })

  it('A45 are the same under the same key', async () => {
    const idempotencyKey = unique('token')
    const first = await wait.createToken({ timeout: '1h', idempotencyKey })
    const second = await wait.createToken({ timeout: '2h', idempotencyKey })
    expect(second).toMatchObject({ id: first.id, isCached: true })
  })

  it('wake several runs', async () => {
    const token = await wait.createToken({ timeout: '1h' })
    const handles = await Promise.all([1, 2].map(() => tasks.trigger('waits-for-token', { id: token.id })))
    for (const handle of handles) await hasStatus(handle.id, 'WAITING')
    await wait.completeToken(token, 'all')
    for (const handle of handles) expect((await finished(handle.id)).output).toEqual({ ok: true, output: 'all' })
  })

  it('are created and completed inside a run', async () => {
    expect((await runTask('own-token')).output).toEqual({ answer: 42 })
  })

  it('are listed by tag', async () => {
    const tag = unique('listed')
    const token = await wait.createToken({ timeout: '1h', tags: [tag] })
    const page = await wait.listTokens({ tags: [tag] })
    expect(page.data.map((item) => item.id)).toEqual([token.id])
    expect(page.data[0]).toMatchObject({ status: 'WAITING', tags: [tag] })
  })

  it('that do not exist answer 404', async () => {
    expect((await http('GET', '/api/v1/waitpoints/tokens/waitpoint_unknown')).status).toBe(404)
    expect((await http('POST', '/api/v1/waitpoints/tokens/waitpoint_unknown/complete', {})).status).toBe(404)
  })

  it('A42 release the queue slot while a run waits', async () => {
    const token = await wait.createToken({ timeout: '1h' })
    const waiting = await tasks.trigger('waits-for-token', { id: token.id }, { queue: 'narrow' })
    await hasStatus(waiting.id, 'WAITING')
    expect((await runTask('one-at-a-time', { ms: 10 })).status).toBe('COMPLETED')
    await wait.completeToken(token, 1)
    expect(await finished(waiting.id)).toMatchObject({ status: 'COMPLETED', attemptCount: 1 })
  })
})

describe.concurrent('children', () => {
  it('A36 hand their result to the parent', async () => {
    const run = await runTask('parent')
    expect(run.output).toMatchObject({ ok: true, taskIdentifier: 'child', output: { doubled: 8 } })
    const child = await runs.retrieve((run.output as { id: string }).id)
    expect(child).toMatchObject({ triggerFunction: 'triggerAndWait', depth: 1 })
    expect(child.relatedRuns.parent?.id).toBe(run.id)
    expect(child.relatedRuns.root?.id).toBe(run.id)
  })

  it('A36 hand their failure to the parent', async () => {
    const run = await runTask('parent', { fail: true })
    expect(run).toMatchObject({ status: 'COMPLETED', output: { ok: false, error: 'child 4 failed' } })
  })

  it('A36 unwrap or throw', async () => {
    expect((await runTask('parent', { unwrap: true })).output).toEqual({ doubled: 8 })
    expect((await runTask('parent', { unwrap: true, fail: true })).output).toEqual({
      name: 'SubtaskUnwrapError',
      taskId: 'child',
      hasRun: true,
      cause: 'child 4 failed',
    })
  })

  it('can be waited for one after the other', async () => {
    expect((await runTask('sequence', { steps: 5 })).output).toEqual({ value: 32 })
  })

  it('A39 come back in input order', async () => {
    expect((await runTask('fan-out', { count: 5, failing: 2 })).output).toEqual([0, 2, 'failed', 6, 8])
  })

  it('A39 leave the parent WAITING meanwhile', async () => {
    const handle = await tasks.trigger('parent', {})
    const seen = new Set<string>()
    for (;;) {
      const run = await runs.retrieve(handle.id)
      seen.add(run.status)
      if (run.isCompleted) break
      await new Promise((done) => setTimeout(done, 5))
    }
    expect(seen).toContain('COMPLETED')
    expect([...seen].every((status) => ['QUEUED', 'DEQUEUED', 'EXECUTING', 'WAITING', 'COMPLETED'].includes(status))).toBe(true)
  })

  it('of many are waited for', async () => {
    const run = await runTask('fan-out', { count: 30 })
    expect(run.output).toEqual(Array.from({ length: 30 }, (_, i) => i * 2))
  })

  it('of several tasks are waited for in one batch', async () => {
    expect((await runTask('mixed-batch')).output).toEqual([
      ['child', true],
      ['waits-for', true],
    ])
  })

  it('are triggered by name', async () => {
    expect((await runTask('by-name')).output).toBe(42)
  })

  it('run on their own when nobody waits', async () => {
    const run = await runTask('fire-and-forget')
    const output = run.output as { id: string; batchId: string; runCount: number }
    expect(output.runCount).toBe(2)
    expect(await finished(output.id)).toMatchObject({ status: 'COMPLETED', output: { doubled: 18 } })
  })

  it('are polled through the SDK inside a task', async () => {
    expect((await runTask('through-sdk')).output).toEqual({ status: 'COMPLETED', output: { doubled: 10 } })
  })
})
