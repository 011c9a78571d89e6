/** The engine's dev protocol by plain HTTP: what the CLI never does on purpose, and every answer against the schemas it reads. */
import { gzipSync } from 'node:zlib'
import { JsonTraceSerializer, ProtobufLogsSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import {
  WorkerApiRunAttemptStartResponseBody,
  WorkerApiRunLatestSnapshotResponseBody,
} from '@trigger.dev/core/v3/runEngineWorker'
import * as published from '@trigger.dev/core/v3/schemas'
import { runs, tasks, wait } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Answer, endpoints, http, plain, unique, until, useProject } from './harness.ts'

const ref = 'proj_engineoverplainhttp'
const pat = { authorization: `Bearer ${endpoints.accessToken}` }
let key: { authorization: string }
let secretKey: string
let worker: string
const versions = new Map<string, string>()

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  http(method, path, body, { ...key, ...headers })
const snapshots = (run: string, snapshot: string): string => `/engine/v1/dev/runs/${run}/snapshots/${snapshot}`

interface Message {
  run: { friendlyId: string; attemptNumber: number }
  snapshot: { friendlyId: string; executionStatus: string }
  backgroundWorker: { friendlyId: string; version: string }
}

async function register(contentHash: string, taskIds: string[], more: object = {}): Promise<Answer> {
  const tasks = taskIds.map((id) => ({ id, filePath: `src/${id}.ts`, exportName: 'x', entryPoint: '/tmp/x.mjs', ...more }))
  return call('POST', `/api/v1/projects/${ref}/background-workers`, {
    localOnly: true,
    engine: 'V2',
    supportsLazyAttempts: true,
    metadata: { packageVersion: '4.8.3', cliPackageVersion: '4.8.3', contentHash, runtime: 'node', tasks, queues: [] },
  })
}

async function dequeue(as = worker, headers: Record<string, string> = {}): Promise<Message[]> {
  // As the CLI sends it: JSON that is called text.
  const answer = await call(
    'POST',
    '/engine/v1/dev/dequeue',
    { currentWorker: as, oldWorkers: [] },
    { 'content-type': 'text/plain;charset=UTF-8', ...headers },
  )
  expect(answer.status).toBe(200)
  expect(published.DevDequeueResponseBody.safeParse(answer.body).error).toBeUndefined()
  return answer.body.dequeuedMessages
}

async function start(message: Message): Promise<Answer> {
  return call('POST', `${snapshots(message.run.friendlyId, message.snapshot.friendlyId)}/attempts/start`, { isWarmStart: false })
}

async function started(
  id = 'job',
  payload: unknown = {},
): Promise<{ run: string; snapshot: string; execution: never; envVars: Record<string, string> }> {
  const { id: run } = await tasks.trigger(id, payload as never)
  const message = (await dequeue()).find((each) => each.run.friendlyId === run) as Message
  expect(message.snapshot.executionStatus).toBe('PENDING_EXECUTING')
  const { status, body } = await start(message)
  expect(status).toBe(200)
  expect(WorkerApiRunAttemptStartResponseBody.safeParse(body).error).toBeUndefined()
  return { ...body, run, snapshot: body.snapshot.friendlyId }
}

const ok = (run: string, output = '1'): object => ({ completion: { ok: true, id: run, output, outputType: 'application/json' } })
const failed = (run: string, more: object = {}): object => ({
  completion: { ok: false, id: run, error: { type: 'BUILT_IN_ERROR', name: 'Error', message: 'no', stackTrace: '' }, ...more },
})
const complete = (run: string, snapshot: string, body: object): Promise<Answer> =>
  call('POST', `${snapshots(run, snapshot)}/attempts/complete`, body, { 'content-type': 'text/plain;charset=UTF-8' })

async function latest(
  run: string,
): Promise<{ status: string; id: string; waitpoints: { type: string; output?: string }[]; attempt: number }> {
  const { body } = await call('GET', snapshots(run, 'latest'))
  expect(WorkerApiRunLatestSnapshotResponseBody.safeParse(body).error).toBeUndefined()
  const { snapshot, completedWaitpoints, run: engineRun } = body.execution
  return {
    status: snapshot.executionStatus,
    id: snapshot.friendlyId,
    waitpoints: completedWaitpoints,
    attempt: engineRun.attemptNumber,
  }
}

beforeAll(async () => {
  const { body } = await http('GET', `/api/v1/projects/${ref}/dev`, undefined, pat)
  secretKey = body.apiKey
  key = { authorization: `Bearer ${secretKey}` }
  useProject({ ref, secretKey })
  const answer = await register('hash-1', ['job', 'child'], { retry: { maxAttempts: 3 } })
  expect(published.CreateBackgroundWorkerResponse.safeParse(answer.body).error).toBeUndefined()
  worker = answer.body.id
  versions.set(worker, answer.body.version)
})

describe('a run that a process elsewhere executes', () => {
  it('is dequeued, started and completed', async () => {
    const config = await call('GET', '/engine/v1/dev/config')
    expect(published.DevConfigResponseBody.safeParse(config.body).error).toBeUndefined()
    const { run, snapshot, envVars } = await started('job', { n: 1 })
    expect(envVars).toMatchObject({ TRIGGER_RUN_ID: run, TRIGGER_OTEL_BATCH_PROCESSING_ENABLED: '1' })
    expect(await latest(run)).toMatchObject({ status: 'EXECUTING', id: snapshot, attempt: 1 })
    const { body } = await complete(run, snapshot, ok(run, '{"done":true}'))
    expect(body.result).toMatchObject({ attemptStatus: 'RUN_FINISHED', snapshot: { executionStatus: 'FINISHED' } })
    expect(await runs.retrieve(run)).toMatchObject({ status: 'COMPLETED', output: { done: true }, attemptCount: 1 })
    expect((await latest(run)).status).toBe('FINISHED')
  })

  it('goes to one of two that ask at once, and to the same one that asks again because it did not hear the answer', async () => {
    const requestKey = unique('poll')
    const asked = Promise.all([dequeue(worker, { 'x-trigger-request-idempotency-key': requestKey }), dequeue()])
    const { id } = await tasks.trigger('job', {})
    const late = tasks.trigger('job', {}, { delay: '2s' })
    const [first, second] = await asked
    const all = [...first, ...second].map((message) => message.run.friendlyId)
    expect(all.filter((run) => run === id)).toEqual([id])
    const again = await dequeue(worker, { 'x-trigger-request-idempotency-key': requestKey })
    expect(again).toEqual(first)
    expect(all).toContain((await late).id)
    for (const message of [...first, ...second]) {
      const { body } = await start(message)
      await complete(message.run.friendlyId, body.snapshot.friendlyId, ok(message.run.friendlyId))
    }
  })

  it('takes a call that is repeated once, and no call about the past', async () => {
    const { id } = await tasks.trigger('job', {})
    const [message] = (await dequeue()) as [Message]
    const [one, other] = await Promise.all([start(message), start(message)])
    expect([one.status, other.status]).toEqual([200, 200])
    expect(one.body.snapshot).toEqual(other.body.snapshot)
    expect(await latest(id)).toMatchObject({ attempt: 1 })
    // Nothing can end on the snapshot it was dequeued with.
    expect((await complete(id, message.snapshot.friendlyId, ok(id))).status).toBe(400)
    const snapshot = one.body.snapshot.friendlyId as string
    const [done, repeated] = [await complete(id, snapshot, ok(id, '1')), await complete(id, snapshot, ok(id, '2'))]
    expect(repeated.body).toEqual(done.body)
    expect((await runs.retrieve(id)).output).toBe(1)
    expect((await start(message)).status).toBe(400)
    expect((await call('POST', `${snapshots(id, 'snapshot_x')}/attempts/start`, {})).status).toBe(400)
  })

  it('retries in its process after a short delay, and through the queue after a long one', async () => {
    const { run, snapshot } = await started()
    const retry = { timestamp: Date.now() + 100, delay: 100 }
    const first = (await complete(run, snapshot, failed(run, { retry }))).body.result
    expect(first).toMatchObject({
      attemptStatus: 'RETRY_IMMEDIATELY',
      run: { attemptNumber: 1 },
      snapshot: { executionStatus: 'EXECUTING' },
    })
    const again = await start({ run: { friendlyId: run }, snapshot: first.snapshot } as Message)
    expect(again.body.execution.attempt.number).toBe(2)
    const late = { timestamp: Date.now() + 40_000, delay: 40_000 }
    const second = (await complete(run, again.body.snapshot.friendlyId, failed(run, { retry: late }))).body.result
    expect(second).toMatchObject({ attemptStatus: 'RETRY_QUEUED', snapshot: { executionStatus: 'QUEUED' } })
    await runs.cancel(run)
    expect((await latest(run)).status).toBe('FINISHED')
  })

  it('is told over its socket what is done, and completes on a snapshot from before', async () => {
    const socket = await openSocket()
    const token = await wait.createToken({ timeout: '1h' })
    const { run, snapshot } = await started()
    socket.subscribe(run)
    const waits = await call('POST', `/engine/v1/runs/${run}/waitpoints/tokens/${token.id}/wait`)
    expect(waits.body).toEqual({ success: true })
    expect((await latest(run)).status).toBe('EXECUTING_WITH_WAITPOINTS')
    expect((await runs.retrieve(run)).status).toBe('WAITING')
    const before = Date.now()
    await wait.completeToken(token, { answer: 42 })
    await socket.told(run)
    expect(Date.now() - before).toBeLessThan(1_000)
    const { status, waitpoints } = await latest(run)
    expect(status).toBe('EXECUTING')
    expect(waitpoints).toMatchObject([{ type: 'MANUAL', outputIsError: false }])
    expect((await complete(run, snapshot, ok(run))).body.result.attemptStatus).toBe('RUN_FINISHED')
    socket.close()
  })

  it('gives the parent what a child and a batch gave', async () => {
    const { run } = await started()
    const inside = { parentRunId: run, resumeParentOnCompletion: true }
    const child = await call('POST', '/api/v1/tasks/child/trigger', { payload: {}, options: inside })
    expect((await latest(run)).status).toBe('EXECUTING_WITH_WAITPOINTS')
    const [message] = (await dequeue()) as [Message]
    expect(message.run.friendlyId).toBe(child.body.id)
    const { body } = await start(message)
    await complete(child.body.id, body.snapshot.friendlyId, failed(child.body.id, { skippedRetrying: true }))
    const after = await latest(run)
    expect(after).toMatchObject({
      status: 'EXECUTING',
      waitpoints: [{ type: 'RUN', outputIsError: true, completedByTaskRun: { friendlyId: child.body.id } }],
    })
    expect((await complete(run, after.id, ok(run))).status).toBe(200)
  })

  it('ends when it is cancelled: at once if nobody began it, else when its process says so', async () => {
    const { id } = await tasks.trigger('job', {})
    const [message] = (await dequeue()) as [Message]
    await runs.cancel(id)
    expect((await latest(id)).status).toBe('FINISHED')
    expect((await start(message)).status).toBe(400)
    const { run } = await started()
    await runs.cancel(run)
    const pending = await latest(run)
    expect(pending.status).toBe('PENDING_CANCEL')
    const cancelled = { completion: { ok: false, id: run, error: { type: 'INTERNAL_ERROR', code: 'TASK_RUN_CANCELLED' } } }
    expect((await complete(run, pending.id, cancelled)).body.result).toMatchObject({
      attemptStatus: 'RUN_FINISHED',
      snapshot: { executionStatus: 'FINISHED' },
    })
  })

  it('belongs to the session of its worker, the newest takes what is new, and a build that is gone is replaced', async () => {
    const older = worker
    const newer = (await register('hash-2', ['job', 'child'])).body.id as string
    expect(newer).not.toBe(older)
    const polls = Promise.all([dequeue(older), dequeue(newer)])
    const { id } = await tasks.trigger('job', {})
    const ended = new Promise((done) => setTimeout(done, 500))
    await ended
    const first = await Promise.race([polls, Promise.resolve('open')])
    expect(first).toBe('open')
    // The older session's question stays open until it has something of its own.
    const bound = await tasks.trigger('job', {}, { version: versions.get(older) as string })
    const [ofOlder, ofNewer] = await polls
    expect(ofNewer.map((message) => message.run.friendlyId)).toContain(id)
    expect(ofOlder.map((message) => message.run.friendlyId)).toContain(bound.id)
    const gone = { completion: { ok: false, id: bound.id, error: { type: 'INTERNAL_ERROR', code: 'COULD_NOT_FIND_EXECUTOR' } } }
    const begun = (await start(ofOlder[0] as Message)).body
    expect((await complete(bound.id, begun.snapshot.friendlyId, gone)).body.result.attemptStatus).toBe('RETRY_QUEUED')
    const [again] = (await dequeue(newer)) as [Message]
    expect(again).toMatchObject({ run: { friendlyId: bound.id }, backgroundWorker: { friendlyId: newer } })
    for (const message of [again, ...ofNewer]) {
      const { body } = await start(message)
      await complete(message.run.friendlyId, body.snapshot.friendlyId, ok(message.run.friendlyId))
    }
    worker = newer
    expect((await runs.retrieve(bound.id)).attemptCount).toBe(1)
  })

  it('is freed when its session says that it is gone', async () => {
    const { run } = await started()
    const gone = await call('POST', '/engine/v1/dev/disconnect', { runFriendlyIds: [run, 'run_nobody', `run_${'0'.repeat(26)}`] })
    expect(gone.body).toEqual({ cancelled: 1 })
    expect((await runs.retrieve(run)).status).toBe('CANCELED')
  })

  it('of a branch is reached with the key of its environment', async () => {
    const branch = unique('branch')
    await http('POST', `/api/v1/projects/${ref}/branches`, { branch, env: 'development' }, pat)
    const there = { 'x-trigger-branch': branch }
    const tasksOf = [{ id: 'job', filePath: 'src/job.ts' }]
    const metadata = { packageVersion: '4.8.3', contentHash: 'branch', tasks: tasksOf }
    const made = await call('POST', `/api/v1/projects/${ref}/background-workers`, { localOnly: true, metadata }, there)
    const { body } = await call('POST', '/api/v1/tasks/job/trigger', { payload: {} }, there)
    const [message] = (await dequeue(made.body.id, there)) as [Message]
    expect(message.run.friendlyId).toBe(body.id)
    const begun = await call('POST', `${snapshots(body.id, message.snapshot.friendlyId)}/attempts/start`, {}, there)
    expect(begun.status).toBe(200)
    // The socket's handshake and the disconnect name no branch.
    const socket = await openSocket()
    socket.subscribe(body.id)
    await new Promise((done) => setTimeout(done, 300))
    await call('POST', `/api/v2/runs/${body.id}/cancel`, undefined, there)
    await socket.told(body.id)
    socket.close()
    expect((await call('POST', '/engine/v1/dev/disconnect', { runFriendlyIds: [body.id] })).body).toEqual({ cancelled: 1 })
  })
})

describe('what is refused', () => {
  it('names the field, and changes nothing', async () => {
    const { run, snapshot } = await started()
    const bad: [object, string][] = [
      [{}, 'completion'],
      [{ completion: { ok: 'yes', id: run } }, 'completion.ok'],
      [{ completion: { ok: false, id: run, error: { type: 'NO_SUCH' } } }, 'completion.error.type'],
      [{ completion: { ok: false, id: run, error: { type: 'STRING_ERROR' } } }, 'completion.error.raw'],
      [
        { completion: { ok: false, id: run, error: { type: 'STRING_ERROR', raw: 'x' }, retry: { delay: -1, timestamp: 1 } } },
        'completion.retry.delay',
      ],
    ]
    for (const [body, field] of bad) {
      const answer = await complete(run, snapshot, body)
      expect([answer.status, answer.body.error]).toEqual([400, expect.stringContaining(field)])
    }
    expect((await complete(run, snapshot, ok(run, 'x'.repeat(2_200_000)))).status).toBe(413)
    expect(await latest(run)).toMatchObject({ status: 'EXECUTING', id: snapshot })
    expect((await complete(run, snapshot, ok(run))).status).toBe(200)
    const twice = await call('POST', `/api/v1/projects/${ref}/background-workers`, {
      localOnly: true,
      metadata: {
        packageVersion: '4.8.3',
        contentHash: 'x',
        tasks: [
          { id: 'a', filePath: 'src/a.ts' },
          { id: 'a', filePath: 'src/b.ts' },
        ],
      },
    })
    expect([twice.status, twice.body.error]).toEqual([400, expect.stringMatching(/"a".*src\/a\.ts, src\/b\.ts/)])
    const large = await register('large', ['job'], { payloadSchema: { description: 'x'.repeat(1_100_000) } })
    expect([large.status, large.body.error]).toEqual([413, expect.stringContaining('at most 1048576 bytes')])
    const schedule = { cron: '99 * * * *', timezone: 'UTC' }
    expect((await register('y', ['job'], { schedule })).status).toBe(400)
    const many = { runFriendlyIds: Array.from({ length: 501 }, () => run) }
    expect((await call('POST', '/engine/v1/dev/disconnect', many)).body.error).toContain('At most 500')
  })

  it('other environments, other keys, unknown runs', async () => {
    const { run, snapshot } = await started()
    const prod = { authorization: `Bearer ${plain.secretKey}` }
    for (const path of [snapshots(run, 'latest'), '/engine/v1/dev/config', '/engine/v1/dev/presence'])
      expect((await http('GET', path, undefined, prod)).status).toBe(403)
    expect((await http('POST', '/engine/v1/dev/disconnect', { runFriendlyIds: [run] }, prod)).status).toBe(403)
    const dev = (await http('GET', `/api/v1/projects/${plain.ref}/dev`, undefined, pat)).body.apiKey
    const other = { authorization: `Bearer ${dev}` }
    expect((await http('GET', snapshots(run, 'latest'), undefined, other)).status).toBe(404)
    expect((await http('POST', `${snapshots(run, snapshot)}/attempts/complete`, ok(run), other)).status).toBe(404)
    expect((await http('POST', '/engine/v1/dev/disconnect', { runFriendlyIds: [run] }, other)).body).toEqual({ cancelled: 0 })
    expect((await http('GET', snapshots(run, 'latest'), undefined, { authorization: 'Bearer tr_dev_wrong' })).status).toBe(401)
    expect((await call('GET', snapshots(`run_${'0'.repeat(26)}`, 'latest'))).status).toBe(404)
    expect((await complete(run, snapshot, ok(run))).status).toBe(200)
    const socket = await fetch(`${endpoints.apiUrl}/socket.io/?EIO=4&transport=polling`, { headers: key })
    expect(socket.status).toBe(400)
    await expect(openSocket('tr_dev_wrong')).rejects.toThrow()
  })
})

describe('telemetry', () => {
  const exporter = async (): Promise<string> =>
    (await call('GET', `/api/v1/projects/${ref}/envvars`)).body.variables.TRIGGER_OTEL_EXPORTER_OTLP_ENDPOINT
  const post = async (path: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<number> =>
    (
      await fetch((await exporter()) + path, {
        method: 'POST',
        body: body as string,
        headers: { 'content-type': 'application/json', ...headers },
      })
    ).status
  const events = async (run: string): Promise<{ message: string; level: string; isPartial: boolean; duration: number }[]> =>
    (await call('GET', `/api/v1/runs/${run}/events`)).body.events

  it('is taken as JSON and in binary, compressed or not, in pieces and late', async () => {
    const { run, snapshot } = await started()
    const span = (name: string, id: string, more: object = {}): never =>
      ({
        name,
        kind: 0,
        spanContext: () => ({ traceId: 'a'.repeat(32), spanId: id, traceFlags: 1 }),
        startTime: [1_700_000_000, 5],
        endTime: [1_700_000_001, 7],
        attributes: { '$metadata.ctx.run.id': run, '$metadata.ctx.attempt.number': 1, mine: 'yes' },
        links: [],
        events: [],
        status: { code: 0 },
        duration: [1, 2],
        ended: true,
        resource: { attributes: { $trigger: true } },
        instrumentationScope: { name: 'test' },
        droppedAttributesCount: 0,
        droppedEventsCount: 0,
        droppedLinksCount: 0,
        ...more,
      }) as never
    const partial = span('piece by piece', 'f'.repeat(16), {
      attributes: { '$metadata.ctx.run.id': run, '$span.partial': true, '$span.span_id': '1'.repeat(16) },
    })
    expect(await post('/v1/traces', JsonTraceSerializer.serializeRequest([partial]) as Uint8Array)).toBe(200)
    await until(
      async () => (await events(run)).some((event) => event.isPartial && event.message === 'piece by piece'),
      'the piece',
    )
    const binary = { 'content-type': 'application/x-protobuf' }
    expect(
      await post(
        '/v1/traces',
        ProtobufTraceSerializer.serializeRequest([span('piece by piece', '1'.repeat(16))]) as Uint8Array,
        binary,
      ),
    ).toBe(200)
    const zipped = gzipSync(JsonTraceSerializer.serializeRequest([span('zipped', '2'.repeat(16))]) as Uint8Array)
    expect(await post('/v1/traces', zipped, { 'content-encoding': 'gzip' })).toBe(200)
    expect((await complete(run, snapshot, ok(run))).status).toBe(200)
    const line = {
      hrTime: [1_700_000_002, 0],
      hrTimeObserved: [1_700_000_002, 0],
      severityText: 'WARN',
      severityNumber: 13,
      body: 'a late line',
      attributes: { '$metadata.ctx.run.id': run, deep: [1, 'two'] },
      spanContext: { traceId: 'a'.repeat(32), spanId: '1'.repeat(16), traceFlags: 1 },
      resource: { attributes: { $trigger: true } },
      instrumentationScope: { name: 'test' },
      droppedAttributesCount: 0,
    } as never
    const lines = ProtobufLogsSerializer.serializeRequest([line]) as Uint8Array
    expect([await post('/v1/logs', lines, binary), await post('/v1/logs', lines, binary)]).toEqual([200, 200])
    const all = await until(async () => {
      const found = await events(run)
      return found.some((event) => event.message === 'a late line') ? found : undefined
    }, 'the late line')
    expect(all.filter((event) => event.message === 'piece by piece')).toMatchObject([
      { isPartial: false, duration: 1_000_000_002 },
    ])
    expect(all.filter((event) => event.message === 'a late line')).toMatchObject([
      { level: 'WARN', properties: { deep: [1, 'two'] } },
    ])
    expect(all.find((event) => event.message === 'zipped')).toMatchObject({ properties: { mine: 'yes' } })
  })

  it('is refused when it is no telemetry, too large, or sent to an address that is not valid', async () => {
    expect(await post('/v1/traces', 'garbage')).toBe(400)
    expect(await post('/v1/logs', '[]')).toBe(400)
    expect(await post('/v1/traces', new Uint8Array([7, 7, 7]), { 'content-type': 'application/x-protobuf' })).toBe(400)
    expect(await post('/v1/metrics', new Uint8Array([0x0a, 0xff]), { 'content-type': 'application/x-protobuf' })).toBe(400)
    expect(await post('/v1/traces', '{}', { 'content-type': 'text/html' })).toBe(400)
    expect(await post('/v1/traces', 'no gzip', { 'content-encoding': 'gzip' })).toBe(400)
    expect(await post('/v1/traces', '{}', { 'content-encoding': 'br' })).toBe(415)
    expect(await post('/v1/traces', ' '.repeat(5_300_000))).toBe(413)
    expect(await post('/v1/traces', gzipSync(' '.repeat(5_300_000)), { 'content-encoding': 'gzip' })).toBe(413)
    expect(await post('/v1/metrics', '{"resourceMetrics":[]}')).toBe(200)
    for (const token of ['x', 'abcdef.1.0123', `${'0'.repeat(6)}.1.${'0'.repeat(32)}`])
      expect((await fetch(`${endpoints.apiUrl}/otel/${token}/v1/traces`, { method: 'POST', body: '{}' })).status).toBe(401)
  })

  it('about a run of somebody else is dropped', async () => {
    const { id } = await (async () => {
      useProject(plain)
      const handle = await tasks.trigger('echo', {})
      useProject({ ref, secretKey })
      return handle
    })()
    const foreign = {
      resourceSpans: [
        {
          scopeSpans: [
            {
              spans: [
                {
                  traceId: 'a'.repeat(32),
                  spanId: 'b'.repeat(16),
                  name: 'intruder',
                  startTimeUnixNano: '1700000000000000000',
                  endTimeUnixNano: '1700000000000000001',
                  attributes: [{ key: '$metadata.ctx.run.id', value: { stringValue: id } }],
                },
              ],
            },
          ],
        },
      ],
    }
    expect(await post('/v1/traces', JSON.stringify(foreign))).toBe(200)
    await new Promise((done) => setTimeout(done, 2_500))
    const { body } = await http('GET', `/api/v1/runs/${id}/events`)
    expect(body.events.map((event: { message: string }) => event.message)).not.toContain('intruder')
  })
})

async function openSocket(
  token = secretKey,
): Promise<{ subscribe(run: string): void; told(run: string): Promise<void>; close(): void }> {
  const url = `${endpoints.apiUrl.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } } as never)
  const frames: string[] = []
  socket.addEventListener('message', (event) => frames.push(String(event.data)))
  await new Promise((done, fail) => {
    socket.addEventListener('open', done)
    socket.addEventListener('error', () => fail(new Error('The socket was refused.')))
  })
  const has = (test: (frame: string) => boolean, what: string): Promise<unknown> => until(async () => frames.some(test), what)
  await has((frame) => frame.startsWith('0{'), 'the handshake')
  socket.send('40/dev-worker,')
  await has((frame) => frame.startsWith('40/dev-worker,{'), 'the namespace')
  return {
    subscribe: (run) => socket.send(`42/dev-worker,["run:subscribe",{"version":"1","runFriendlyIds":["${run}"]}]`),
    told: async (run) => {
      await has(
        (frame) => frame === `42/dev-worker,["run:notify",{"version":"1","run":{"friendlyId":"${run}"}}]`,
        `news of ${run}`,
      )
    },
    close: () => socket.close(),
  }
}
