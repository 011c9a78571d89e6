/** A job as a handle: when it is sent, what it tells, and how it ends. */
import { afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest'
import { ApiError, RunError, SentenceError } from './errors.ts'
import type { Job } from './job.ts'
import { configure } from './settings.ts'
import { MemoryApi } from './testing.ts'
import { createTrigger, trigger } from './trigger.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  configure({ accessToken: undefined, timezone: undefined, fetch: undefined })
})

describe('sending', () => {
  it('a bare statement starts the job, and asks for no more', async () => {
    const api = new MemoryApi()
    api.trigger`process video ${'v1'} with encoding ${{ codec: 'av1' }}`
    expect(api.sent).toEqual([])
    await settled()
    expect(api.sent).toHaveLength(1)
    expect(api.sent[0]).toMatchObject({
      method: 'POST',
      path: '/api/v1/sentences',
      body: { strings: ['process video ', ' with encoding ', ''], values: ['v1', { codec: 'av1' }] },
    })
    expect(api.sent[0]?.body).not.toHaveProperty('wait')
    expect(api.sent[0]?.headers.get('authorization')).toBe('Bearer tr_prod_key')
  })

  it('awaited at once it is one request, which waits for the end', async () => {
    const api = new MemoryApi(() => ({ sent: true }))
    expect(await api.trigger`send welcome email to ${'ada@example.com'}`).toEqual({ sent: true })
    expect(api.sent.map(({ body }) => body.wait)).toEqual([5])
    const later = async (): Promise<unknown> => api.trigger`send it`
    expect(await later()).toEqual({ sent: true })
    expect(await Promise.all([api.trigger`a`, api.trigger`b`])).toHaveLength(2)
    expect(api.sent).toHaveLength(4)
  })

  it('options go with it', async () => {
    const api = new MemoryApi()
    const nightly = api.trigger.with({ tags: ['nightly'], timezone: 'Europe/Berlin' })
    await nightly.with({ idempotencyKey: 'k1' })`run cleanup`
    await nightly`a`.map((x) => api.trigger`b ${x}`)
    await nightly.tasks.trigger('c', { d: 1 }, { queue: { name: 'slow' } })
    expect(api.posts().map(({ body }) => [body.timezone, body.options])).toEqual([
      ['Europe/Berlin', { tags: ['nightly'], idempotencyKey: 'k1' }],
      ['Europe/Berlin', { tags: ['nightly'] }],
      [undefined, { tags: ['nightly'], queue: { name: 'slow' }, payloadType: 'application/json' }],
    ])
    expect(() => api.trigger.with({ tag: ['x'] } as never)).toThrow('A job has no option tag')
  })

  it('a failure nobody looks at is printed, not thrown into the process', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {})
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    const api = new MemoryApi()
    api.instead.push(refusal())
    api.trigger`do what ${'v'} nobody knows`
    await settled()
    expect(printed.mock.calls).toEqual([['trigger.do: "do what … nobody knows" was not started: No task fits.']])
    await new Promise((done) => setTimeout(done, 0))
    process.off('unhandledRejection', unhandled)
    expect(unhandled).not.toHaveBeenCalled()
  })

  it('one somebody looks at is not printed', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {})
    const api = new MemoryApi()
    api.instead.push(refusal(), refusal())
    await expect(api.trigger`x`).rejects.toBeInstanceOf(SentenceError)
    await expect(api.trigger`x`.id).rejects.toThrow('No task fits.')
    expect(printed).not.toHaveBeenCalled()
  })

  it('values are refused with their place, before anything is sent', async () => {
    const api = new MemoryApi()
    const cyclic: Record<string, unknown> = { list: [] }
    ;(cyclic.list as unknown[]).push(cyclic)
    const t = api.trigger
    for (const [value, message] of [
      [undefined, 'Value 2 of the sentence is undefined.'],
      [{ user: { email: undefined } }, 'Value 2 of the sentence.user.email is undefined.'],
      [cyclic, 'Value 2 of the sentence.list[0] is cyclic: it contains itself.'],
      [() => 1, 'Value 2 of the sentence is a function.'],
      [Symbol('x'), 'Value 2 of the sentence is a symbol.'],
      [[1n], 'Value 2 of the sentence[0] is a bigint'],
      [Number.NaN, 'Value 2 of the sentence is NaN'],
      [new Map(), 'Value 2 of the sentence is a Map'],
      [new Date(Number.NaN), 'Value 2 of the sentence is an invalid date'],
      [Promise.resolve(1), 'Value 2 of the sentence is a promise or a job'],
      [[undefined], 'Value 2 of the sentence[0] is undefined'],
    ] as const)
      expect(() => t`a ${1} b ${value}`, message).toThrow(message)
    expect(() => trigger('run' as never)).toThrow('template tag')
    expect(() => t.tasks.trigger('', {})).toThrow('id of a task')
    expect(() => t.tasks.trigger('x', { a: { b: 1n } })).toThrow('The payload of x.a.b is a bigint')
    await settled()
    expect(api.sent).toEqual([])
    await t`a ${new Date(0)} ${new URL('https://a.test/')} ${{ a: [null, true] }}`
    await t.tasks.trigger('x', { a: 1, b: undefined })
    expect(api.posts().map(({ body }) => body.values ?? body.payload)).toEqual([
      ['1970-01-01T00:00:00.000Z', 'https://a.test/', { a: [null, true] }],
      { a: 1 },
    ])
  })
})

describe('how it ends', () => {
  it('a failed run rejects with the error of the task', async () => {
    const api = new MemoryApi(() => {
      throw Object.assign(new RangeError('too far'), { stack: 'RangeError: too far\n    at task.ts:3' })
    })
    const error = await api.trigger`go far`.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RunError)
    expect(error).toMatchObject({ name: 'RangeError', message: 'too far', runId: 'run_1', status: 'FAILED' })
    expect((error as Error).stack).toContain('task.ts:3')
  })

  it('a refusal says why, and what would be near', async () => {
    const api = new MemoryApi()
    api.instead.push(refusal())
    await expect(api.trigger`x`).rejects.toMatchObject({
      name: 'SentenceError',
      code: 'NO_MATCH',
      message: 'No task fits.',
      candidates: [{ task: 'near', score: 0.2 }],
    })
    api.instead.push(new Response('{"error":"Invalid key"}', { status: 401 }), new Response('oops', { status: 502 }))
    await expect(api.trigger`x`).rejects.toMatchObject({ name: 'ApiError', status: 401, message: 'Invalid key' })
    await expect(api.trigger`x`).rejects.toThrow('The API answered 502: oops')
  })

  it('a schedule and an event come to what was made', async () => {
    const { trigger: t } = new MemoryApi()
    const made = t`every day at 3am, run cleanup`
    expect(await made).toEqual({
      kind: 'schedule',
      id: 'sched_1',
      task: 'cleanup',
      cron: '0 3 * * *',
      cronInWords: 'at 03:00',
      timezone: 'UTC',
    })
    await expect(made.id).rejects.toThrow('made a schedule, not a run')
    expect(await t`when payment fails, notify ${'a'}`).toEqual({
      kind: 'event',
      id: 'subscription_1',
      event: 'payment.failed',
      filter: {},
      task: 'notify',
    })
  })

  it('waits by one request at a time, and again after an error', async () => {
    vi.useFakeTimers()
    const api = new MemoryApi()
    api.isSlow = true
    const job = api.trigger`encode ${'v'}`
    const ends = [job.then(), job.then()]
    await settled()
    api.instead.push(new Response('', { status: 503 }), new Error('connection lost'))
    api.change('run_1', { status: 'WAITING' })
    await vi.advanceTimersByTimeAsync(5_000)
    api.change('run_1', { status: 'COMPLETED', output: 'done' })
    expect(await Promise.all(ends)).toEqual(['done', 'done'])
    const waits = api.sent.filter(({ path }) => path.includes('/changes'))
    expect(waits.map(({ path }) => path.replace(/.*changes/, ''))).toEqual([
      '',
      '?after=1&wait=30',
      ...Array(3).fill('?after=2&wait=30'),
    ])
  })

  it('an output that is stored apart is fetched without the key', async () => {
    const api = new MemoryApi()
    api.isSlow = true
    const job = api.trigger`a`
    await job.id
    api.change('run_1', { status: 'COMPLETED', outputPresignedUrl: 'https://packets.test/x' })
    const real = api.fetch
    const asked: Headers[] = []
    const t = createTrigger({
      baseURL: 'https://api.test',
      accessToken: 'k',
      fetch: async (input, init) => {
        if (!String(input).startsWith('https://packets.test')) return real(input, init)
        asked.push(new Headers(init?.headers))
        return new Response('{"json":{"large":true}}', { headers: { 'content-type': 'application/super+json' } })
      },
    })
    expect((await t.runs.get('run_1')).output).toEqual({ large: true })
    expect(asked[0]?.get('authorization')).toBeNull()
  })

  it('types follow the chain', () => {
    const t = new MemoryApi().trigger
    const job = t<{ url: string }>`a`
    expectTypeOf(job).toEqualTypeOf<Job<{ url: string }>>()
    expectTypeOf(job.map((file) => file.url)).toEqualTypeOf<Job<string>>()
    expectTypeOf(job.map(() => [t<number>`b`, t<number>`c`])).toEqualTypeOf<Job<number[]>>()
    expectTypeOf(job.map(async () => ({ n: t<number>`b` }))).toEqualTypeOf<Job<{ n: number }>>()
    expectTypeOf(job.map((file) => t<string>`b ${file}`).map((s) => s.length)).toEqualTypeOf<Job<number>>()
  })
})

describe('the handle', () => {
  it('id, status, cancel, understood', async () => {
    const api = new MemoryApi()
    api.isSlow = true
    const job = api.trigger`encode ${'v'}`
    expect(await job.id).toBe('run_1')
    expect(await job.understood).toMatchObject({ understood: true, task: 'encode _' })
    expect(await job.status()).toBe('EXECUTING')
    const end = job.then()
    await job.cancel()
    await expect(end).rejects.toMatchObject({ runId: 'run_1', status: 'CANCELED' })
    const chain = api.trigger`a`.map((a) => api.trigger`b ${a}`)
    expect(await chain.understood).toMatchObject({ task: 'a' })
  })

  it('cancelled before it is sent it is not sent; later stages do not start', async () => {
    const api = new MemoryApi()
    const job = api.trigger`a`
    await job.cancel()
    await expect(job).rejects.toThrow('"a" was cancelled.')
    expect(api.sent).toEqual([])
    api.isSlow = true
    const chain = api.trigger`a`.map(async () => api.trigger`b`)
    await chain.id
    await chain.cancel()
    await expect(chain).rejects.toMatchObject({ status: 'CANCELED' })
    expect(api.posts().map(({ path }) => path)).toEqual(['/api/v1/sentences', '/api/v2/runs/run_1/cancel'])
  })

  it('a signal ends the waiting, not the run', async () => {
    const api = new MemoryApi()
    api.isSlow = true
    const stop = new AbortController()
    const job = api.trigger.with({ signal: stop.signal })`a`
    await job.id
    const end = job.then()
    await settled()
    stop.abort(new Error('enough'))
    await expect(end).rejects.toThrow('enough')
    await expect(api.trigger.with({ signal: stop.signal })`b`).rejects.toThrow('enough')
    expect(api.posts()).toHaveLength(1)
  })

  it('progress: each change once, the final status last', async () => {
    const api = new MemoryApi()
    api.isSlow = true
    const job = api.trigger`encode ${'v'}`
    const updates: unknown[] = []
    const states = [
      { status: 'EXECUTING', metadata: { progress: { stage: 'reading', percent: 10 } } },
      { status: 'EXECUTING', metadata: { progress: { stage: 'reading', percent: 10 }, other: 1 } },
      { status: 'EXECUTING', metadata: { stage: 'writing', percent: 60 } },
      { status: 'EXECUTING', metadata: { progress: 80 } },
      { status: 'COMPLETED', output: 1, metadata: { progress: 80 } },
    ]
    for await (const update of job.progress()) {
      updates.push(`${update.stage} ${update.percent} ${update.status}`)
      // One at a time, past those that change nothing to see.
      do api.change('run_1', states.shift() ?? {})
      while (states[0]?.metadata.other)
    }
    expect(updates).toEqual([
      'executing 0 EXECUTING',
      'reading 10 EXECUTING',
      'writing 60 EXECUTING',
      'executing 80 EXECUTING',
      'completed 100 COMPLETED',
    ])
    expect(await job).toBe(1)
  })

  it('progress of a failed run throws its error, after the last update', async () => {
    const api = new MemoryApi()
    api.isSlow = true
    const job = api.trigger`a`
    await job.id
    const seen: string[] = []
    const reading = (async () => {
      for await (const { status } of job.progress()) {
        seen.push(status)
        api.change('run_1', { status: 'FAILED', error: { name: 'TypeError', message: 'bad' } })
      }
    })()
    await expect(reading).rejects.toMatchObject({ name: 'TypeError', message: 'bad', runId: 'run_1' })
    expect(seen).toEqual(['EXECUTING', 'FAILED'])
  })

  it('nobody listens, nothing is asked', async () => {
    const api = new MemoryApi()
    api.isSlow = true
    const signals: AbortSignal[] = []
    const t = createTrigger({
      baseURL: 'https://api.test',
      accessToken: 'k',
      fetch: (input, init) => {
        if (init?.signal && String(input).includes('wait=')) signals.push(init.signal)
        return api.fetch(input, init)
      },
    })
    const updates = t`a`.progress()
    await updates.next()
    const next = updates.next()
    await settled()
    expect(signals.map(({ aborted }) => aborted)).toEqual([false])
    api.change('run_1', { status: 'WAITING' })
    await next
    await updates.return(undefined)
    await settled()
    expect(api.sent.filter(({ path }) => path.includes('/changes'))).toHaveLength(2)
  })

  it('logs: the lines only, by time, the last ones', async () => {
    const api = new MemoryApi()
    const line = (message: string, startTime: string, kind = 'LOG'): unknown => ({
      message,
      startTime,
      kind,
      level: 'INFO',
      properties: {},
    })
    const events = [line('two', '1700000000000000002'), line('span', '3', 'INTERNAL'), line('one', '1700000000000000001')]
    const job = api.trigger`a`
    await job.id
    for (let i = 0; i < 2; i++) api.instead.push(new Response(JSON.stringify({ events })))
    expect((await job.logs()).map(({ message }) => message)).toEqual(['one', 'two'])
    expect(await api.trigger.runs.logs('run_1', { tail: 1 })).toEqual([
      { time: new Date(1_700_000_000_000), level: 'INFO', message: 'two' },
    ])
    await expect(job.logs({ tail: 0 })).rejects.toThrow('tail')
  })
})

describe('settings', () => {
  it('come from the environment at the time of the call, or from configure', async () => {
    const api = new MemoryApi(() => 1)
    vi.stubEnv('TRIGGER_API_URL', '')
    vi.stubEnv('TRIGGER_SECRET_KEY', '')
    await expect(createTrigger()`a`).rejects.toThrow('set TRIGGER_API_URL or call configure')
    vi.stubEnv('TRIGGER_API_URL', 'https://api.test')
    await expect(createTrigger()`a`).rejects.toThrow('set TRIGGER_SECRET_KEY or call configure')
    vi.stubEnv('TRIGGER_SECRET_KEY', 'tr_dev_x')
    expect(await createTrigger({ fetch: api.fetch })`a`).toBe(1)
    expect(api.sent.at(-1)?.headers.get('authorization')).toBe('Bearer tr_dev_x')
    configure({ accessToken: 'tr_prod_y', timezone: 'Asia/Tokyo', fetch: api.fetch })
    expect(await trigger`a`).toBe(1)
    expect(api.sent.at(-1)).toMatchObject({ body: { timezone: 'Asia/Tokyo' } })
    expect(api.sent.at(-1)?.headers.get('authorization')).toBe('Bearer tr_prod_y')
    expect(() => configure({ baseUrl: 'x' } as never)).toThrow('has no setting baseUrl')
    expect(() => configure({ accessToken: 1 } as never)).toThrow('Setting accessToken must be a string')
  })

  it('runs, tasks, events and explain ask where they should', async () => {
    const api = new MemoryApi()
    const { trigger: t } = api
    for (let i = 0; i < 9; i++) api.instead.push(new Response('{"data":[]}'))
    await t.tasks.list()
    await t.runs.list({ taskId: 'a', status: ['FAILED', 'CRASHED'], limit: 5, from: new Date(0) })
    await t.explain`every day ${1}`
    await t.events.send('payment.failed', { a: 1 }, { id: 'e1' })
    await t.events.on('payment.failed', { task: 'notify', filter: { a: { gt: 1 } } })
    await t.events.subscriptions.list()
    await t.events.subscriptions.pause('s/1')
    await t.events.subscriptions.resume('s')
    await t.events.subscriptions.delete('s')
    expect(api.sent.map(({ method, path, body }) => [method, decodeURIComponent(path), ...(body ? [body] : [])])).toEqual([
      ['GET', '/api/v1/tasks'],
      [
        'GET',
        '/api/v1/runs?filter[taskIdentifier]=a&filter[status]=FAILED,CRASHED&page[size]=5&filter[createdAt][from]=1970-01-01T00:00:00.000Z',
      ],
      ['POST', '/api/v1/sentences/explain', { strings: ['every day ', ''], values: [1] }],
      ['POST', '/api/v1/events', { name: 'payment.failed', payload: { a: 1 }, id: 'e1' }],
      ['POST', '/api/v1/event-subscriptions', { event: 'payment.failed', task: 'notify', filter: { a: { gt: 1 } } }],
      ['GET', '/api/v1/event-subscriptions'],
      ['POST', '/api/v1/event-subscriptions/s/1/pause'],
      ['POST', '/api/v1/event-subscriptions/s/resume'],
      ['DELETE', '/api/v1/event-subscriptions/s'],
    ])
    await expect(t.runs.list({ state: 'x' } as never)).rejects.toThrow('cannot be filtered by state')
    await expect(t.runs.get('')).rejects.toThrow('id of a run')
  })

  it('a busy API is asked again, a lost connection is not: the job may run', async () => {
    vi.useFakeTimers()
    const api = new MemoryApi(() => 1)
    api.instead.push(new Response('{"error":"Rate limit"}', { status: 429, headers: { 'retry-after': '2' } }))
    const first = api.trigger`a`.then()
    await vi.advanceTimersByTimeAsync(2_000)
    expect(await first).toBe(1)
    api.instead.push(new Error('reset'))
    await expect(api.trigger`a`).rejects.toThrow('POST /api/v1/sentences: reset')
    expect(ApiError).toBeDefined()
  })
})

function refusal(): Response {
  const body = { error: 'No task fits.', code: 'NO_MATCH', candidates: [{ task: 'near', score: 0.2 }] }
  return new Response(JSON.stringify(body), { status: 422 })
}

async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await undefined
}
