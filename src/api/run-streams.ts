/** Streams of a run: what `streams.pipe`, `metadata.stream` and `streams.append` write, and readers follow (realtime-protocol.md §4). */
import { OperationError } from '../contracts/errors.ts'
import type { Caller, RunDetail } from '../contracts/rpc.ts'
import { isFinalStatus } from '../contracts/statuses.ts'
import { streamLimits } from '../contracts/streams.ts'
import * as runs from '../operations/runs.ts'
import * as streams from '../operations/streams.ts'
import { eventOf, Lines, ping, placeOf } from '../realtime/run-stream.ts'
import { environmentOf, readText } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'
import { readableRun } from './runs.ts'

const tag = 'realtime'
const path = '/realtime/v1/streams/:runId/:target/:streamId'
const targets = ['self', 'parent', 'root']
const pingMs = 10_000
const longestQuietSeconds = 600
const quietSeconds = 60
const watchedMs = 20_000
/** Lines that arrive within this long are stored together. */
const gatherMs = 25

export function runStreamRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: '/realtime/v1/streams/:runId/:streamId',
      operationId: 'readRunStream',
      summary: 'A stream of a run as server-sent events, from its beginning or after Last-Event-ID',
      tag,
    },
    async (c) => {
      const { run, caller } = await readableRun(c)
      const key = streams.checkStreamKey(c.req.param('streamId') as string)
      const place = placeOf(c.req.header('last-event-id'))
      if (place === undefined) throw new OperationError('INVALID_REQUEST', 'Last-Event-ID is not an id of this stream.')
      const isLatest = c.req.header('x-trigger-stream-start') === 'latest' && place === -1
      const after = isLatest ? await streams.lastSeq(c.env, run.id, key) : place
      const quietMs = Math.min(longestQuietSeconds, Number(c.req.header('timeout-seconds')) || quietSeconds) * 1_000
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
      const writer = writable.getWriter()
      // A clean end tells the reader that there is no more; a failure, to come again.
      void relay(c, caller, run, key, after, quietMs, writer).then(
        () => writer.close().catch(() => {}),
        (error) => writer.abort(error).catch(() => {}),
      )
      return new Response(readable, {
        headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-stream-version': 'v1' },
      })
    },
  )

  route(
    app,
    {
      method: 'put',
      path,
      operationId: 'openRunStream',
      summary: 'A stream of the run begins',
      response: responses.openedStream,
      status: 202,
      tag,
    },
    async (c) => {
      const { caller, run, key } = await written(c)
      await streams.openStream(c.env, caller, run, key)
      // Version 2 with its headers would send the SDK to S2.
      return c.json({ version: 'v1' }, 202)
    },
  )

  route(
    app,
    {
      method: 'post',
      path,
      operationId: 'writeRunStream',
      summary: 'Lines of JSON for a stream, stored as they arrive',
      lines: { body: { schema: responses.anyLine, example: [{ token: 'Hello' }, { token: ' world' }] } },
      tag,
    },
    async (c) => {
      const { caller, run, key } = await written(c)
      await streams.openStream(c.env, caller, run, key)
      const writer: streams.Writer = { key, client: clientOf(c), next: firstIndex(c) }
      await ingest(c, run.id, writer)
      return c.body(null, 200)
    },
  )

  route(
    app,
    {
      method: 'get',
      path,
      operationId: 'getStreamProgress',
      summary: 'Which of its lines a writer (X-Client-Id) need not send again; meant for HEAD',
      response: responses.streamProgress,
      tag,
    },
    async (c) => {
      const { run, key } = await written(c)
      const index = await streams.lastIndex(c.env, run.id, key, clientOf(c))
      return c.json({ lastChunkIndex: index }, 200, { 'x-last-chunk-index': String(index) })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${path}/append`,
      operationId: 'appendToRunStream',
      summary: 'The body, as one record of text',
      bytes: 'body',
      response: responses.appended,
      tag,
    },
    async (c) => {
      const { caller, run, key } = await written(c)
      const text = await readText(c, streamLimits.recordBytes)
      await streams.openStream(c.env, caller, run, key)
      // A part sent twice is known by its id: a writer of its own, with one line.
      const client = `part:${c.req.header('x-part-id') ?? crypto.randomUUID()}`
      await streams.writeLines(c.env, run.id, { key, client, next: 0 }, [JSON.stringify(text)])
      return c.json({ ok: true })
    },
  )
}

/** The run a writer means, by a full key or from inside a run. Older SDKs name a relative of the run. */
async function written(c: Ctx): Promise<{ caller: Caller; run: RunDetail; key: string }> {
  const { caller } = await environmentOf(c)
  const target = c.req.param('target') as string
  if (target === 'input')
    throw new OperationError('NOT_IMPLEMENTED', 'Input streams are not built yet.', {
      body: { code: 'not_implemented' },
      headers: { 'x-should-retry': 'false' },
    })
  if (!targets.includes(target)) throw new OperationError('NOT_FOUND', `A stream is of ${targets.join(', ')}, not of ${target}.`)
  const key = streams.checkStreamKey(c.req.param('streamId') as string)
  const run = await runs.getRun(c.env, caller, c.req.param('runId') as string)
  const relative = target === 'parent' ? run.parentRunId : target === 'root' ? run.rootRunId : undefined
  return { caller, key, run: relative ? await runs.getRun(c.env, caller, relative) : run }
}

function clientOf(c: Ctx): string {
  return (c.req.header('x-client-id') ?? 'default').slice(0, 128)
}

function firstIndex(c: Ctx): number {
  const text = c.req.header('x-resume-from-chunk') ?? '0'
  if (!/^\d{1,9}$/.test(text)) throw new OperationError('INVALID_REQUEST', 'X-Resume-From-Chunk must be a whole number.')
  return Number(text)
}

async function ingest(c: Ctx, runId: string, writer: streams.Writer): Promise<void> {
  const { body } = c.req.raw
  if (!body) return
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  const lines = new Lines()
  let gathered: string[] = []
  let next = reader.read()
  /** Since the first line that is not stored: whoever writes all the time is stored all the same. */
  let pause: Promise<undefined> | undefined
  for (;;) {
    const piece = await (pause ? Promise.race([next, pause]) : next)
    if (piece) {
      gathered.push(...(piece.done ? lines.end() : lines.push(piece.value)))
      if (!piece.done) next = reader.read()
    }
    if (lines.held > streamLimits.recordBytes)
      throw new OperationError('TOO_LARGE', `A record of a stream is at most ${streamLimits.recordBytes} bytes long.`)
    const isMuch = gathered.length >= streamLimits.callRecords
    if (piece && !piece.done && !isMuch) {
      if (gathered.length > 0) pause ??= scheduler.wait(gatherMs).then(() => undefined)
      continue
    }
    const part = gathered
    gathered = []
    pause = undefined
    await streams.writeLines(c.env, runId, writer, part)
    if (piece?.done) return
  }
}

async function relay(
  c: Ctx,
  caller: Caller,
  run: RunDetail,
  key: string,
  from: number,
  quietMs: number,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  const encoder = new TextEncoder()
  let isGone = false
  writer.closed.catch(() => {
    isGone = true
  })
  let isOver = false
  const over = untilOver(c, caller, run, () => isGone).then(() => {
    isOver = true
  })
  // The loop hears of a failure; nobody has to when it ended before.
  over.catch(() => {})
  let after = from
  let heardAt = Date.now()
  while (!isGone) {
    const wasOver = isOver
    const reading = streams.readStream(c.env, run.id, key, after, wasOver ? 0 : Math.min(pingMs, quietMs))
    const records = wasOver ? await reading : await Promise.race([reading, over.then(() => undefined)])
    if (records === undefined) continue
    if (records.length > 0) {
      after = records.at(-1)?.seq as number
      heardAt = Date.now()
      await writer.write(encoder.encode(records.map(eventOf).join('')))
    } else if (wasOver || Date.now() - heardAt >= quietMs) return
    else await writer.write(encoder.encode(ping))
  }
}

async function untilOver(c: Ctx, caller: Caller, run: RunDetail, isGone: () => boolean): Promise<void> {
  let current = run
  while (!isFinalStatus(current.status) && !isGone()) current = await runs.waitForRun(c.env, caller, run.id, watchedMs)
}
