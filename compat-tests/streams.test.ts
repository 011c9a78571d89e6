/** Streams of a run, by the SDK inside and outside of tasks, and the protocol under it. */
import { auth, runs, streams, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { endpoints, finished, hasStatus, http, plain, runTask, unique, until, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

const key = { authorization: `Bearer ${plain.secretKey}` }
const path = (id: string, stream: string): string => `/realtime/v1/streams/${id}/self/${stream}`
const line = (n: number): string => `${JSON.stringify({ n })}\n`

interface Event {
  id: string
  data: unknown
  at: number
}

/** Events until the stream ends, or until there are `most`. */
async function events(id: string, stream: string, headers: Record<string, string> = {}, most = Infinity): Promise<Event[]> {
  const stop = new AbortController()
  const response = await fetch(`${endpoints.apiUrl}/realtime/v1/streams/${id}/${stream}`, {
    headers: { ...key, accept: 'text/event-stream', ...headers },
    signal: stop.signal,
  })
  expect(response.status).toBe(200)
  const found: Event[] = []
  let text = ''
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return found
    text += value
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const match = /^id: (.*)\ndata: (.*)$/.exec(text.slice(0, end))
      text = text.slice(end + 2)
      if (match) found.push({ id: match[1] as string, data: JSON.parse(match[2] as string), at: Date.now() })
      if (found.length >= most) {
        stop.abort()
        return found
      }
    }
  }
}

async function held(): Promise<string> {
  const { id } = await tasks.trigger('echo', {}, { delay: '1h' })
  return id
}

describe('streams of a task', () => {
  it('are read while they are written, and end with the run', { timeout: 60_000 }, async () => {
    const { id } = await tasks.trigger('streamer', { count: 12, ms: 100 })
    const seen: { chunk: unknown; at: number }[] = []
    for await (const chunk of await streams.read(id, 'tokens')) seen.push({ chunk, at: Date.now() })
    expect(seen.map(({ chunk }) => chunk)).toEqual(Array.from({ length: 12 }, (_, i) => ({ i })))
    expect((seen.at(-1)?.at ?? 0) - (seen[0]?.at ?? 0), 'as they come, not at the end').toBeGreaterThan(700)
    const run = await finished(id)
    expect(run).toMatchObject({ status: 'COMPLETED', output: { seen: 12 } })
    const notes: unknown[] = []
    for await (const chunk of await streams.read(id, 'notes')) notes.push(chunk)
    expect(notes).toEqual(['raw text'])
  })

  it('arrive as they come also when they never rest', { timeout: 60_000 }, async () => {
    const { id } = await tasks.trigger('streamer', { count: 150, ms: 10 })
    const seen: number[] = []
    for await (const _ of await streams.read(id, 'tokens')) seen.push(Date.now())
    expect(seen).toHaveLength(150)
    expect((seen.at(-1) as number) - (seen[0] as number)).toBeGreaterThan(1_000)
  })

  it('outlive the task function, and metadata.stream is one', async () => {
    const run = await runTask('streams-on', { count: 20 })
    expect(run).toMatchObject({ status: 'COMPLETED', output: 'done' })
    expect((await events(run.id, 'late')).map(({ data }) => data)).toHaveLength(20)
    expect((await events(run.id, 'by-metadata')).map(({ data }) => data)).toEqual([{ i: 0 }, { i: 1 }, { i: 2 }])
  })

  it('reach the parent, where a subscriber finds them', { timeout: 60_000 }, async () => {
    const { id } = await tasks.trigger('stream-parent', {})
    const parts: unknown[] = []
    // By itself it ends half a minute after the run.
    for await (const part of runs.subscribeToRun(id).withStreams<{ 'from-child': { i: number } }>()) {
      if (part.type === 'from-child') parts.push(part.chunk)
      if (part.type === 'run' && part.run.isCompleted) break
    }
    expect(parts).toEqual([{ i: 0 }, { i: 1 }, { i: 2 }])
  })

  it('are written from outside as well, and read with a public token of the run', async () => {
    const id = await held()
    await http('POST', path(id, 'outside'), '"a"\n{"b":1}\n')
    const token = await auth.createPublicToken({ scopes: { read: { runs: [id] } } })
    const [first, second] = await events(id, 'outside', { authorization: `Bearer ${token}` }, 2)
    expect([first?.data, second?.data]).toEqual(['a', { b: 1 }])
    const other = await auth.createPublicToken({ scopes: { read: { runs: ['run_other'] } } })
    const refused = await fetch(`${endpoints.apiUrl}/realtime/v1/streams/${id}/outside`, {
      headers: { authorization: `Bearer ${other}` },
    })
    expect(refused.status).toBe(403)
    await runs.cancel(id)
  })
})

describe('the protocol', () => {
  it('stores each line once, however often it comes, and says how far a writer is', async () => {
    const id = await held()
    const writer = { 'x-client-id': 'abcd1234', 'content-type': 'application/json' }
    expect((await http('PUT', path(id, 's'))).body).toEqual({ version: 'v1' })
    const progress = async (): Promise<string | null> => {
      const answer = await fetch(endpoints.apiUrl + path(id, 's'), { method: 'HEAD', headers: { ...key, ...writer } })
      return answer.headers.get('x-last-chunk-index')
    }
    expect(await progress()).toBe('-1')
    const post = (body: string, from: number): ReturnType<typeof http> =>
      http('POST', path(id, 's'), body, { ...writer, 'x-resume-from-chunk': String(from) })
    await post(line(0) + line(1), 0)
    await post(line(0) + line(1) + line(2), 0)
    await post(line(1) + line(2) + line(3), 1)
    // A line without its end is one all the same.
    await post(JSON.stringify({ n: 4 }), 4)
    expect(await progress()).toBe('4')
    await http('POST', path(id, 's'), line(5), { ...writer, 'x-client-id': 'another1' })
    const all = await events(id, 's', {}, 6)
    expect(all.map(({ data }) => (data as { n: number }).n)).toEqual([0, 1, 2, 3, 4, 5])
    const rest = await events(id, 's', { 'last-event-id': all[2]?.id as string }, 3)
    expect(rest.map(({ data }) => (data as { n: number }).n)).toEqual([3, 4, 5])
    expect((await events(id, 's', { 'last-event-id': '4' }, 1)).map(({ data }) => data)).toEqual([{ n: 5 }])
    await runs.cancel(id)
  })

  it('shows lines as they arrive in a request that goes on', async () => {
    const id = await held()
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    const encoder = new TextEncoder()
    const posted = fetch(endpoints.apiUrl + path(id, 'slow'), {
      method: 'POST',
      headers: { ...key, 'content-type': 'application/json' },
      body: readable,
      duplex: 'half',
    } as RequestInit)
    await writer.write(encoder.encode('{"n":0}\n{"n'))
    const [first] = await events(id, 'slow', {}, 1)
    expect(first?.data).toEqual({ n: 0 })
    await writer.write(encoder.encode('":1}\n'))
    expect((await events(id, 'slow', {}, 2)).map(({ data }) => data)).toEqual([{ n: 0 }, { n: 1 }])
    await writer.close()
    expect((await posted).status).toBe(200)
    await runs.cancel(id)
  })

  it('appends text once by its part id', async () => {
    const id = await held()
    for (const part of ['p1', 'p1', 'p2'])
      expect((await http('POST', `${path(id, 'a')}/append`, 'two\nlines', { 'x-part-id': part })).body).toEqual({ ok: true })
    expect((await events(id, 'a', {}, 2)).map(({ data }) => data)).toEqual(['two\nlines', 'two\nlines'])
    await runs.cancel(id)
  })

  it('ends when nothing comes for as long as the reader said', async () => {
    const id = await held()
    const startedAt = Date.now()
    expect(await events(id, 'quiet', { 'timeout-seconds': '1' })).toEqual([])
    expect(Date.now() - startedAt).toBeLessThan(10_000)
    await runs.cancel(id)
  })

  it('ends at once with the run', async () => {
    const id = await held()
    await http('POST', path(id, 's'), line(0), {})
    const reading = events(id, 's')
    await until(async () => true, 'a moment')
    await runs.cancel(id)
    await hasStatus(id, 'CANCELED')
    const cancelledAt = Date.now()
    expect(await reading).toHaveLength(1)
    expect(Date.now() - cancelledAt).toBeLessThan(3_000)
  })

  it('refuses what it cannot take', async () => {
    const { id } = await runTask('add-one', { n: 1 })
    expect(await http('PUT', path(id, 's'))).toMatchObject({
      status: 400,
      body: { error: 'A run that has ended takes no streams.' },
    })
    expect((await http('POST', `${path(id, 's')}/append`, 'x')).status).toBe(400)
    const open = await held()
    expect(await http('PUT', path(open, 'x'.repeat(300)))).toMatchObject({
      status: 400,
      body: { error: expect.stringContaining('256') },
    })
    expect((await http('PUT', path('run_none', 's'))).status).toBe(404)
    expect((await http('GET', `/realtime/v1/streams/run_none/s`)).status).toBe(404)
    expect((await http('GET', `/realtime/v1/streams/${open}/s`, undefined, { 'last-event-id': 'x-y' })).status).toBe(400)
    const large = await http('POST', path(open, 's'), `"${'x'.repeat(600_000)}"\n`)
    expect(large).toMatchObject({ status: 413, body: { error: expect.stringContaining('524288') } })
    expect((await http('POST', path(open, 's'), line(0), { 'x-resume-from-chunk': '-1' })).status).toBe(400)
    for (let n = 0; n < 100; n++) await http('PUT', path(open, unique('k')))
    expect(await http('PUT', path(open, 'one-more'))).toMatchObject({
      status: 422,
      body: { error: expect.stringContaining('100') },
    })
    await runs.cancel(open)
  })
})
