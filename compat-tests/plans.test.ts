/** Plans as the wire has them: a chain of jobs is one request and one run. Tasks are named here; sentences.test.ts has the words. */
import { runs } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { finished, hasStatus, http, plain, until, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

const task = (id: string, payload: unknown = {}): unknown => ({ $task: { id, payload } })
const then = (of: unknown, as: number, next: unknown): unknown => ({ $then: { of, as, do: next } })
const map = (over: unknown, as: number, each: unknown): unknown => ({ $map: { over, as, do: each } })
const ref = (variable: number, ...path: (string | number)[]): unknown => ({ $var: variable, path })

async function start(plan: unknown, extra: object = {}): Promise<string> {
  const { status, body } = await http('POST', '/api/v1/plans', { plan, ...extra })
  expect(body).toMatchObject({ kind: 'plan', id: expect.stringMatching(/^run_/) })
  expect(status).toBe(200)
  return body.id
}
const children = async (id: string): Promise<string[]> => {
  const run = await runs.retrieve(id)
  return (run.relatedRuns.children ?? []).map((child) => child.taskIdentifier)
}

describe.concurrent('a plan', () => {
  it('hands each result to the next stage, and is one run with its stages as children', async () => {
    const plan = then(
      then(task('add-one', { n: 1 }), 1, task('add-one', ref(1))),
      2,
      task('echo', { sum: ref(2, 'n'), from: 'plan' }),
    )
    const id = await start(plan)
    expect(await finished(id)).toMatchObject({
      status: 'COMPLETED',
      taskIdentifier: 'trigger.do/plan',
      output: { sum: 3, from: 'plan' },
      attemptCount: 1,
      metadata: { progress: { stage: 'done', percent: 100 } },
    })
    expect((await children(id)).sort()).toEqual(['add-one', 'add-one', 'echo'])
  })

  it('answers with its result in the same request when it is quick enough', async () => {
    const { body } = await http('POST', '/api/v1/plans', {
      plan: then(task('add-one', { n: 1 }), 1, task('add-one', ref(1))),
      wait: 25,
    })
    expect(body.run).toMatchObject({ id: body.id, status: 'COMPLETED', output: { n: 3 } })
  })

  it('fans out, keeps the order, and passes its checkpoints', async () => {
    const fetched = { $checkpoint: { name: 'fetched', of: task('echo', { list: [3, 1, 2] }) } }
    const plan = then(then(fetched, 1, map(ref(1, 'list'), 2, task('add-one', { n: ref(2) }))), 3, task('echo', { all: ref(3) }))
    const run = await finished(await start(plan))
    expect(run).toMatchObject({ output: { all: [{ n: 4 }, { n: 2 }, { n: 3 }] }, metadata: { checkpoints: ['fetched'] } })
  })

  it('a fan-out of 1,000 works', async () => {
    const plan = then(
      task(
        'echo',
        Array.from({ length: 1_000 }, (_, n) => n),
      ),
      1,
      map(ref(1), 2, task('add-one', { n: ref(2) })),
    )
    const run = await finished(await start(plan), 120_000)
    expect((run.output as { n: number }[]).map(({ n }) => n)).toEqual(Array.from({ length: 1_000 }, (_, n) => n + 1))
  })

  it('large results between stages travel through storage', async () => {
    const plan = then(
      task('big-output', { bytes: 300_000 }),
      1,
      task('echo', { length: ref(1, 'text', 'length'), text: ref(1, 'text') }),
    )
    const run = await finished(await start(plan))
    expect((run.output as { length: number; text: string }).length).toBe(300_000)
    expect((run.output as { text: string }).text).toBe('x'.repeat(300_000))
  })

  it('fails with the error of the job that failed', async () => {
    const run = await finished(await start(then(task('aborts'), 1, task('echo', ref(1)))))
    expect(run).toMatchObject({ status: 'FAILED', attemptCount: 1 })
    expect(run.error?.message).toMatch(/./)
    expect(await children(run.id)).toEqual(['aborts'])
  })

  it('fails with a sentence when a result does not have what the next stage needs', async () => {
    const run = await finished(await start(then(task('echo', { a: 1 }), 1, task('echo', ref(1, 'b', 'c')))))
    expect(run).toMatchObject({
      status: 'FAILED',
      error: { name: 'PlanError', message: 'Cannot read "c" of undefined: the result of echo has no such part.' },
    })
  })

  it('cancelled, it cancels the job it waits for', async () => {
    const id = await start(then(task('waits-for', { seconds: 600 }), 1, task('echo')))
    const child = await until(async () => (await runs.retrieve(id)).relatedRuns.children?.[0]?.id, 'the first job')
    await runs.cancel(id)
    await hasStatus(id, 'CANCELED')
    await hasStatus(child, 'CANCELED')
  })

  it('can be replayed', async () => {
    const id = await start(then(task('add-one', { n: 1 }), 1, task('add-one', ref(1))))
    await finished(id)
    const again = await runs.replay(id)
    expect(await finished(again.id)).toMatchObject({ status: 'COMPLETED', output: { n: 3 } })
  })

  it('is found again by its idempotency key', async () => {
    const options = { idempotencyKey: `plan-${plain.ref}` }
    const first = await start(task('add-one', { n: 1 }), { options })
    expect(await start(task('add-one', { n: 1 }), { options })).toBe(first)
  })
})

describe.concurrent('refused, with nothing started:', () => {
  const deep = (levels: number): unknown => (levels === 0 ? task('echo') : then(deep(levels - 1), levels, task('echo')))
  it.each([
    ['an unknown task', task('no-such-task'), 'NO_MATCH', /no-such-task/],
    ['51 stages', deep(51), 'PLAN_TOO_DEEP', /50 stages/],
    ['1,001 jobs', Array(1_001).fill(task('echo')), 'PLAN_TOO_WIDE', /1001 jobs/],
    ['more than 256 KiB', task('echo', 'x'.repeat(270_000)), 'PLAN_TOO_LARGE', /262144/],
    ['a variable nobody set', task('echo', ref(1)), 'PLAN_INVALID', /variable 1/],
    ['no job', { a: 1 }, 'PLAN_INVALID', /no job/],
  ])('%s', async (_name, plan, code, message) => {
    const { status, body } = await http('POST', '/api/v1/plans', { plan })
    expect([status, body.code]).toEqual([422, code])
    expect(body.error).toMatch(message)
  })

  it('a wait longer than half a minute', async () => {
    const { status, body } = await http('POST', '/api/v1/plans', { plan: task('echo'), wait: 31 })
    expect(status).toBe(400)
    expect(body.error).toMatch(/"wait"/)
  })

  it('a parent the token may not write', async () => {
    const { body: jwt } = await http('POST', '/api/v1/auth/jwt', {
      claims: { scopes: ['trigger:tasks:echo'] },
      expirationTime: '10m',
    })
    const { body: parent } = await http('POST', '/api/v1/tasks/echo/trigger', { payload: {}, options: { delay: '1h' } })
    const authorization = { authorization: `Bearer ${jwt.token}` }
    const options = { parentRunId: parent.id }
    const plan = await http('POST', '/api/v1/plans', { plan: task('echo'), options }, authorization)
    const sentence = await http('POST', '/api/v1/sentences', { strings: ['echo'], values: [], options }, authorization)
    expect([plan.status, sentence.status]).toEqual([403, 403])
    expect((await http('POST', '/api/v1/plans', { plan: task('echo') }, authorization)).status).toBe(200)
    await runs.cancel(parent.id)
  })

  it('the task of plans itself', async () => {
    const { status, body } = await http('POST', '/api/v1/tasks/trigger.do%2Fplan/trigger', { payload: { plan: {} } })
    expect(status).toBe(422)
    expect(body.error).toMatch(/platform's own/)
  })
})

describe.concurrent('waiting for a run', () => {
  it('is answered when it changes, and at once when it has changed', async () => {
    const { body: created } = await http('POST', '/api/v1/waitpoints/tokens', {})
    const { body: run } = await http('POST', '/api/v1/tasks/waits-for-token/trigger', { payload: { id: created.id } })
    await hasStatus(run.id, 'WAITING')
    const { body: now } = await http('GET', `/api/v1/runs/${run.id}/changes`)
    const next = http('GET', `/api/v1/runs/${run.id}/changes?after=${now.revision}&wait=30`)
    const startedAt = Date.now()
    await http('POST', `/api/v1/waitpoints/tokens/${created.id}/complete`, { data: {} })
    const { body: changed } = await next
    expect(Date.now() - startedAt).toBeLessThan(10_000)
    expect(changed.revision).toBeGreaterThan(now.revision)
  })

  it('is answered after its time when nothing changes', async () => {
    const { body: run } = await http('POST', '/api/v1/tasks/echo/trigger', { payload: {}, options: { delay: '1h' } })
    const { body: now } = await http('GET', `/api/v1/runs/${run.id}/changes`)
    const startedAt = Date.now()
    const { body: later } = await http('GET', `/api/v1/runs/${run.id}/changes?after=${now.revision}&wait=1`)
    expect(Date.now() - startedAt).toBeGreaterThan(900)
    expect(later).toMatchObject({ revision: now.revision, run: { status: 'DELAYED' } })
    await runs.cancel(run.id)
  })

  it.each(['after=x', 'wait=31', 'after=-1', 'wait='])('refuses %s', async (query) => {
    const { body: run } = await http('POST', '/api/v1/tasks/echo/trigger', { payload: {} })
    const { status } = await http('GET', `/api/v1/runs/${run.id}/changes?${query}`)
    expect(status).toBe(400)
  })
})

describe.concurrent('events', () => {
  it('start one run of each subscription they match, once per id', async () => {
    const event = `order.paid.${plain.ref}`
    const { body: subscription } = await http('POST', '/api/v1/event-subscriptions', {
      event,
      task: 'echo',
      filter: { total: { gt: 100 } },
      payload: { from: 'subscription' },
    })
    const small = await http('POST', '/api/v1/events', { name: event, payload: { total: 99 } })
    expect(small.body).toMatchObject({ runs: [], errors: [] })
    const send = () => http('POST', '/api/v1/events', { name: event, payload: { total: 101, from: 'event' }, id: 'e1' })
    const [first, second] = [await send(), await send()]
    expect(first.body.runs).toEqual([{ id: expect.stringMatching(/^run_/), task: 'echo', subscription: subscription.id }])
    expect(second.body.runs).toEqual(first.body.runs)
    expect(await finished(first.body.runs[0].id)).toMatchObject({ output: { total: 101, from: 'subscription' } })
    await http('POST', `/api/v1/event-subscriptions/${subscription.id}/pause`)
    expect((await http('POST', '/api/v1/events', { name: event, payload: { total: 500 } })).body.runs).toEqual([])
    await http('POST', `/api/v1/event-subscriptions/${subscription.id}/resume`)
    expect((await http('POST', '/api/v1/events', { name: event, payload: { total: 500 } })).body.runs).toHaveLength(1)
    const { body: list } = await http('GET', '/api/v1/event-subscriptions')
    expect(list.data).toContainEqual(expect.objectContaining({ id: subscription.id, event, active: true }))
    expect((await http('DELETE', `/api/v1/event-subscriptions/${subscription.id}`)).body).toEqual({ id: subscription.id })
    expect((await http('DELETE', `/api/v1/event-subscriptions/${subscription.id}`)).status).toBe(404)
    expect((await http('POST', '/api/v1/events', { name: event, payload: { total: 500 } })).body.runs).toEqual([])
  })

  it.each([
    ['no name', { payload: {} }, 400],
    ['an empty name', { name: ' ' }, 400],
    ['a payload over 128 KiB', { name: 'x', payload: 'y'.repeat(140_000) }, 413],
  ])('refused: %s', async (_name, body, status) => {
    expect((await http('POST', '/api/v1/events', body)).status).toBe(status)
  })

  it('refused: a filter with an unknown comparison', async () => {
    const { status, body } = await http('POST', '/api/v1/event-subscriptions', {
      event: 'x',
      task: 'echo',
      filter: { a: { gt: 1, over: 2 } },
    })
    expect([status, body.error]).toEqual([400, expect.stringMatching(/over of field a/)])
  })
})

describe.concurrent('checkpoints', () => {
  it('are stored while a run is live, and listed in order', async () => {
    const { body: run } = await http('POST', '/api/v1/tasks/echo/trigger', { payload: {}, options: { delay: '1h' } })
    const put = (name: string, data: unknown) => http('PUT', `/api/v1/runs/${run.id}/checkpoints/${name}`, JSON.stringify(data))
    expect((await put('downloaded', { size: 1 })).body).toEqual({ ok: true })
    await put('transformed', null)
    await put('downloaded', { size: 2 })
    const { body } = await http('GET', `/api/v1/runs/${run.id}/checkpoints`)
    expect(body.data).toMatchObject([
      { name: 'transformed', data: null, attempt: 0 },
      { name: 'downloaded', data: { size: 2 } },
    ])
    expect((await put('large', 'x'.repeat(262_144))).status).toBe(413)
    await runs.cancel(run.id)
    expect((await put('late', 1)).status).toBe(422)
  })
})

it('lists the tasks of the current version', async () => {
  const { body } = await http('GET', '/api/v1/tasks')
  expect(body.version).toMatch(/^\d{8}\.\d+$/)
  expect(body.data).toContainEqual(expect.objectContaining({ id: 'echo' }))
})
