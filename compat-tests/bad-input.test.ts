/** Each bad request is refused with the exact status and body, and leaves nothing behind. */
import { randomBytes } from 'node:crypto'
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { auth, batch, runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { deploy } from './cli.ts'
import { endpoints, finished, hasStatus, http, plain, runTask, unique, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

const trigger = '/api/v1/tasks/add-one/trigger'
const ndjson = { 'content-type': 'application/x-ndjson' }

/** Runs with this tag: what a refused request must not have made. */
async function runsTagged(tag: string): Promise<number> {
  return (await runs.list({ tag, limit: 100 })).data.length
}

async function refusedTrigger(options: Record<string, unknown>): Promise<{ status: number; error: string }> {
  const tag = unique('refused')
  const tags = options.tags ?? [tag]
  const answer = await http('POST', trigger, { payload: { n: 1 }, options: { ...options, tags } })
  expect(await runsTagged(tag)).toBe(0)
  return { status: answer.status, error: answer.body.error }
}

describe.concurrent('a trigger is refused', () => {
  it('when the body is no JSON, nothing, or falsy', async () => {
    for (const body of ['{nope', 'null', '0', 'false', '""'])
      expect(await http('POST', trigger, body)).toMatchObject({ status: 400, body: { error: 'Invalid JSON' } })
    expect(await http('POST', trigger)).toMatchObject({ status: 400, body: { error: 'Request body is empty' } })
  })

  it.each([
    ['options.maxAttempts', { maxAttempts: 'many' }],
    ['options.machine', { machine: 'huge' }],
    ['options.ttl', { ttl: -1 }],
    ['options.priority', { priority: 'high' }],
    ['options.maxDuration', { maxDuration: '1h' }],
    ['options.delay', { delay: { soon: true } }],
    ['options.idempotencyKey', { idempotencyKey: 'k'.repeat(2_049) }],
    ['options.idempotencyKeyOptions.scope', { idempotencyKeyOptions: { key: 'k', scope: 'world' } }],
    ['options.debounce.key', { debounce: { key: 'k'.repeat(513), delay: '1s' } }],
    ['options.debounce.mode', { debounce: { key: 'k', delay: '1s', mode: 'sideways' } }],
    ['options.gates', { gates: Array.from({ length: 4 }, () => ({ queue: 'q' })) }],
    ['options.concurrency', { concurrency: ['a', 'b', 'c'] }],
    ['options.externalDeploymentId', { externalDeploymentId: 'x'.repeat(129) }],
  ])('with the name of the field: %s', async (field, options) => {
    const answer = await refusedTrigger(options)
    expect(answer.status).toBe(400)
    expect(answer.error).toMatch(/^Validation error: /)
    expect(answer.error).toContain(`"${field}`)
  })

  it('with a tag of 129 characters, and with 11 tags', async () => {
    const long = await refusedTrigger({ tags: ['t'.repeat(129)] })
    expect(long.status).toBe(400)
    expect(long.error).toContain('options.tags')
    const shared = unique('eleven')
    const tags = [shared, ...Array.from({ length: 10 }, (_, i) => `${shared}-${i}`)]
    expect(await refusedTrigger({ tags })).toEqual({
      status: 422,
      error: "Runs can only have 10 tags, you're trying to set 11.",
    })
    expect(await runsTagged(shared)).toBe(0)
    const ten = await runTask('add-one', { n: 1 }, { tags: [...tags.slice(0, 10), ' '] })
    expect(ten.tags).toHaveLength(10)
  })

  it('in a region nobody set up', async () => {
    expect(await refusedTrigger({ region: 'mars-1' })).toEqual({
      status: 422,
      error: 'The region you specified doesn\'t exist ("mars-1").',
    })
  })

  it('with an option that is not built, instead of ignoring it', async () => {
    for (const [name, options] of [
      ['concurrency', { concurrency: ['openai'] }],
      ['gates', { gates: [{ queue: 'other' }] }],
      ['dependentAttempt', { dependentAttempt: 'attempt_1' }],
    ] as const) {
      const answer = await refusedTrigger(options)
      expect(answer.status, name).toBe(501)
      expect(answer.error).toContain(name)
    }
  })

  it('over 3 MiB, while the SDK sends large payloads through storage', async () => {
    const tag = unique('large')
    const body = { payload: 'x'.repeat(3 * 1024 * 1024), options: { tags: [tag] } }
    expect(await http('POST', trigger, body)).toMatchObject({ status: 413, body: { error: 'Request body too large' } })
    const metadata = { big: 'x'.repeat(262_144) }
    expect(await http('POST', trigger, { options: { metadata, tags: [tag] } })).toMatchObject({ status: 413 })
    expect(await runsTagged(tag)).toBe(0)
    const text = randomBytes(200_000).toString('hex')
    expect((await runTask('echo', { text })).output).toEqual({ text })
  })

  it('with a packet that names nothing', async () => {
    const answer = await http('POST', trigger, { payload: '', options: { payloadType: 'application/store' } })
    expect(answer.status).toBe(400)
    expect((await http('PUT', '/api/v2/packets/..%2F..%2Fsecret')).body).toEqual({ error: 'Invalid packet storage path' })
  })
})

describe.concurrent('a trigger is accepted', () => {
  it('with a payload that names the prototype, as data', async () => {
    const text = '{"payload":{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"n":1}}'
    const handle = await http('POST', trigger, text)
    expect(handle.status).toBe(200)
    expect((await finished(handle.body.id)).output).toEqual({ n: 2 })
    const run = await runs.retrieve(handle.body.id)
    expect(Object.keys(run.payload as object)).toContain('constructor')
    expect((await runTask('echo', {})).output).toEqual({})
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  it('for a task nobody deployed and for a queue nobody declared: both wait', async () => {
    const task = await tasks.trigger('nobody-deployed-this', {})
    await hasStatus(task.id, 'PENDING_VERSION')
    const queue = await tasks.trigger('add-one', { n: 1 }, { queue: 'nobody-declared-this' })
    await hasStatus(queue.id, 'PENDING_VERSION')
    for (const { id } of [task, queue]) await runs.cancel(id)
  })

  it('with the edges of delay, ttl, maxDuration and priority', async () => {
    for (const delay of ['soon', '1.5h', '-5s', '10', new Date(Date.now() - 60_000).toISOString(), Date.now() - 1_000]) {
      const answer = await http('POST', trigger, { payload: { n: 1 }, options: { delay } })
      expect(answer.status, String(delay)).toBe(200)
      expect((await runs.retrieve(answer.body.id)).delayedUntil, String(delay)).toBeUndefined()
    }
    const at = Date.now() + 3_600_000
    const number = await http('POST', trigger, { payload: { n: 1 }, options: { delay: at, ttl: 5_400 } })
    const delayed = await runs.retrieve(number.body.id)
    expect(delayed).toMatchObject({ status: 'DELAYED', ttl: '1h30m' })
    expect(delayed.delayedUntil?.getTime()).toBe(at)
    await runs.cancel(delayed.id)
    const odd = { ttl: 'whenever', maxDuration: 1, priority: -3.5, concurrencyKey: 7, maxAttempts: 0, unknownOption: true }
    expect((await http('POST', trigger, { payload: { n: 1 }, options: odd })).status).toBe(200)
  })

  it('for a parent of another environment, as a root', async () => {
    const parentRunId = 'run_someoneelses'
    const answer = await http('POST', trigger, { payload: { n: 1 }, options: { parentRunId } })
    expect(answer.status).toBe(200)
    expect((await finished(answer.body.id)).relatedRuns.parent).toBeUndefined()
    const waiting = await http('POST', trigger, { options: { parentRunId, resumeParentOnCompletion: true } })
    expect(waiting).toMatchObject({ status: 403, body: { error: 'Unauthorized' } })
  })
})

describe.concurrent('a batch is refused', () => {
  const item = (index: number, options: Record<string, unknown> = {}): string =>
    JSON.stringify({ index, task: 'add-one', payload: { n: index }, options })

  async function created(runCount: number): Promise<string> {
    const answer = await http('POST', '/api/v3/batches', { runCount })
    expect(answer.status).toBe(202)
    return answer.body.id
  }

  it('with a wrong number of items', async () => {
    const list = (length: number): object => ({ items: Array.from({ length }, () => ({ task: 'add-one' })) })
    expect(await http('POST', '/api/v3/batches', { runCount: 1_001 })).toMatchObject({
      status: 400,
      body: { error: 'Batch size of 1001 is too large. Maximum allowed batch size is 1000.' },
    })
    for (const runCount of [0, -1, 1.5, 'two'])
      expect((await http('POST', '/api/v3/batches', { runCount })).body.error).toContain('"runCount"')
    for (const version of ['v1', 'v2']) {
      expect(await http('POST', `/api/${version}/tasks/batch`, list(501))).toMatchObject({
        status: 400,
        body: { error: 'Batch size of 501 is too large. Maximum allowed batch size is 500.' },
      })
      expect((await http('POST', `/api/${version}/tasks/batch`, list(0))).status).toBe(400)
    }
    expect((await http('POST', '/api/v1/tasks/add-one/batch', list(101))).status).toBe(400)
  })

  it('with a body over its limit, or none', async () => {
    const big = 'x'.repeat(1_000_001)
    expect((await http('POST', '/api/v3/batches', { runCount: 1, note: 'x'.repeat(131_072) })).status).toBe(413)
    expect(await http('POST', '/api/v2/tasks/batch', { items: [{ task: 'add-one', payload: big }] })).toMatchObject({
      status: 413,
      body: { error: 'Request body too large' },
    })
    expect(await http('POST', '/api/v3/batches')).toMatchObject({ status: 400, body: { error: 'Request body is empty' } })
    expect(await http('POST', '/api/v2/tasks/batch', '[')).toMatchObject({ status: 400, body: { error: 'Invalid JSON' } })
    const id = await created(1)
    expect((await http('POST', `/api/v3/batches/${id}/items`, undefined, ndjson)).status).toBe(400)
  })

  it('with one bad item in one request: none of the others runs', async () => {
    const tag = unique('single')
    const good = { task: 'add-one', payload: { n: 1 }, options: { tags: [tag] } }
    const tags = Array.from({ length: 11 }, (_, i) => `${tag}-${i}`)
    for (const version of ['v1', 'v2']) {
      const path = `/api/${version}/tasks/batch`
      const many = await http('POST', path, { items: [good, { ...good, options: { tags } }] })
      expect(many).toMatchObject({ status: 422, body: { error: expect.stringContaining('11') } })
      const machine = await http('POST', path, { items: [good, { ...good, options: { machine: 'huge' } }] })
      expect(machine).toMatchObject({ status: 400, body: { error: expect.stringContaining('items.1.options.machine') } })
    }
    expect(await runsTagged(tag)).toBe(0)
  })

  it('with a broken line, a bad item or an index outside: nothing of it runs', async () => {
    const tag = unique('broken')
    for (const [status, error, line] of [
      [400, 'Invalid JSON', '{"index":1,"task":'],
      [400, 'Invalid JSON', `${' '.repeat(3_200_000)}x`],
      [422, 'Invalid item at index 1', '{"index":1,"task":7}'],
      [422, 'Invalid item at index', '[]'],
      [422, 'Item index 5 exceeds batch runCount 3', item(5)],
    ] as const) {
      const id = await created(3)
      const answer = await http('POST', `/api/v3/batches/${id}/items`, `${item(0, { tags: [tag] })}\n${line}\n`, ndjson)
      expect(answer).toMatchObject({ status, body: { error: expect.stringContaining(error) } })
      expect(await batch.retrieve(id)).toMatchObject({ status: 'PENDING', runs: [] })
    }
    expect(await runsTagged(tag)).toBe(0)
  })

  it('while it is not sealed: it runs with its last item, in index order', async () => {
    const tag = unique('unsealed')
    const id = await created(3)
    const path = `/api/v3/batches/${id}/items`
    const send = (...indexes: number[]): ReturnType<typeof http> =>
      http('POST', path, indexes.map((index) => item(index, { tags: [tag] })).join('\n'), ndjson)
    expect((await send(2, 0)).body).toMatchObject({ itemsAccepted: 2, sealed: false, enqueuedCount: 2, expectedCount: 3 })
    await new Promise((done) => setTimeout(done, 1_000))
    expect(await runsTagged(tag)).toBe(0)
    expect((await send(2, 1)).body).toMatchObject({ itemsAccepted: 1, itemsDeduplicated: 1, sealed: true })
    const { runs: ids } = await batch.retrieve(id)
    expect(await Promise.all(ids.map(async (run) => (await finished(run)).output))).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
  })

  it('never for one item that cannot be triggered: that one fails in its place', async () => {
    const id = await created(4)
    const lines = [
      item(0),
      `{"index":1,"task":"add-one","payload":"${'x'.repeat(3_200_000)}"}`,
      item(2, { lockToVersion: '20200101.1' }),
      item(3, { tags: Array.from({ length: 11 }, (_, i) => `t${i}`) }),
    ]
    const answer = await http('POST', `/api/v3/batches/${id}/items`, lines.join('\n'), ndjson)
    expect(answer).toMatchObject({ status: 200, body: { itemsAccepted: 4, sealed: true } })
    const { body } = await http('GET', `/api/v2/batches/${id}`)
    expect(body.processing.errors.map((error: { index: number; errorCode: string }) => [error.index, error.errorCode])).toEqual([
      [1, 'PAYLOAD_TOO_LARGE'],
      [2, 'BATCH_ITEM_COULD_NOT_TRIGGER'],
      [3, 'BATCH_ITEM_COULD_NOT_TRIGGER'],
    ])
    const states = await Promise.all((body.runs as string[]).map(async (run) => (await finished(run)).status))
    expect(states).toEqual(['COMPLETED', 'SYSTEM_FAILURE', 'SYSTEM_FAILURE', 'SYSTEM_FAILURE'])
    const large = await runs.retrieve(body.runs[1])
    expect(large.error).toMatchObject({ name: 'PAYLOAD_TOO_LARGE' })
  })

  it('that does not exist, and sent with another content type', async () => {
    const id = await created(1)
    expect((await http('POST', `/api/v3/batches/${id}/items`, item(0))).status).toBe(415)
    expect(await http('POST', '/api/v3/batches/batch_unknown/items', item(0), ndjson)).toMatchObject({
      status: 422,
      body: { error: 'Batch batch_unknown not found' },
    })
    const missing = await http('GET', '/api/v2/batches/batch_unknown')
    expect([missing.status, missing.headers.get('x-should-retry')]).toEqual([404, 'true'])
  })
})

describe('one-time tokens', () => {
  it('start one batch in every generation of the API', async () => {
    const items = [{ task: 'add-one', payload: { n: 1 } }]
    const used = { status: 422, body: { error: expect.stringContaining('one-time use token') } }
    for (const [path, body] of [
      ['/api/v1/tasks/batch', { items }],
      ['/api/v2/tasks/batch', { items }],
      ['/api/v3/batches', { runCount: 1, taskIdentifiers: ['add-one'] }],
    ] as const) {
      // Tokens made in the same second are the same token.
      await new Promise((done) => setTimeout(done, 1_000))
      const token = await auth.createBatchTriggerPublicToken('add-one')
      const headers = { authorization: `Bearer ${token}` }
      const first = await http('POST', path, body, headers)
      expect(first.status, path).toBe(202)
      expect(await http('POST', path, body, headers), path).toMatchObject(used)
      if (path === '/api/v3/batches') {
        const line = JSON.stringify({ index: 0, ...items[0] })
        const sent = await http('POST', `/api/v3/batches/${first.body.id}/items`, line, { ...headers, ...ndjson })
        expect(sent.body).toMatchObject({ sealed: true })
      }
    }
  })

  it('are not spent by a refusal, and may name no parent', async () => {
    const headers = { authorization: `Bearer ${await auth.createTriggerPublicToken('add-one')}` }
    const parent = await runTask('add-one', { n: 1 })
    const child = await http('POST', trigger, { options: { parentRunId: parent.id } }, headers)
    expect(child).toMatchObject({ status: 403, body: { error: 'Unauthorized' } })
    expect((await http('POST', trigger, { options: { lockToVersion: '20200101.1' } }, headers)).status).toBe(422)
    expect((await http('POST', trigger, { payload: { n: 1 } }, headers)).status).toBe(200)
    expect(await http('POST', trigger, { payload: { n: 1 } }, headers)).toMatchObject({
      status: 422,
      body: { error: 'Cannot trigger add-one with a one-time use token as it has already been used.' },
    })
  })
})

describe('keys', () => {
  const pat = { authorization: `Bearer ${endpoints.accessToken}` }
  const ref = `proj_${randomBytes(10).toString('hex').replace(/\d/g, 'x')}`

  it('that were replaced work for a day, revoked ones not at all', async () => {
    const key = async (): Promise<string> =>
      (await http('GET', `/api/v1/projects/${ref}/staging`, undefined, pat)).body.apiKey as string
    const list = (secret: string): ReturnType<typeof http> =>
      http('GET', '/api/v1/runs', undefined, { authorization: `Bearer ${secret}` })
    const first = await key()
    expect((await list(first)).status).toBe(200)
    const rotate = `/api/v1/projects/${ref}/staging/regenerate-api-key`
    const second = (await http('POST', rotate, undefined, pat)).body.apiKey as string
    expect(second).not.toBe(first)
    expect([(await list(first)).status, (await list(second)).status]).toEqual([200, 200])
    const third = (await http('POST', rotate, { revokeNow: true }, pat)).body.apiKey as string
    expect(await key()).toBe(third)
    for (const old of [first, second]) expect(await list(old)).toMatchObject({ status: 401, body: { error: 'Invalid API key' } })
    expect((await list(third)).status).toBe(200)
    expect((await http('POST', rotate)).status).toBe(401)
  })

  it('of preview need a branch that exists', async () => {
    const { apiKey } = (await http('GET', `/api/v1/projects/${ref}/preview`, undefined, pat)).body as { apiKey: string }
    const list = (branch?: string): ReturnType<typeof http> =>
      http('GET', '/api/v1/runs', undefined, {
        authorization: `Bearer ${apiKey}`,
        ...(branch ? { 'x-trigger-branch': branch } : {}),
      })
    expect(await list()).toMatchObject({ status: 401, body: { error: 'Invalid API key' } })
    expect((await list('feature')).status).toBe(401)
    await http('POST', `/api/v1/projects/${ref}/branches`, { branch: 'feature', env: 'preview' }, pat)
    expect((await list('refs/heads/feature')).status).toBe(200)
    await http('POST', `/api/v1/projects/${ref}/branches/archive`, { branch: 'feature', env: 'preview' }, pat)
    expect((await list('feature')).status).toBe(401)
  })
})

describe('a deploy is refused', () => {
  async function upload(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    const artifact = await http('POST', '/api/v1/artifacts', { type: 'deployment_bundle', contentLength: bytes.length })
    const form = new FormData()
    form.append('file', new Blob([bytes]), 'deployment.tar.gz')
    const answer = await fetch(artifact.body.uploadUrl, { method: 'POST', body: form })
    expect(answer.status).toBe(204)
    return artifact.body.artifactKey
  }

  it('when the tarball is none, or names nothing, and the current version stays', async () => {
    const before = (await http('GET', '/api/v1/deployments/current')).body
    for (const bytes of [randomBytes(2_000), new TextEncoder().encode('not a tarball')]) {
      const answer = await http('POST', '/api/v1/deployments', {
        contentHash: '-',
        artifactKey: await upload(new Uint8Array(bytes)),
      })
      expect(answer.status).toBe(422)
      expect(answer.body.error).toMatch(/gzip|tar/i)
    }
    const foreign = await http('POST', '/api/v1/deployments', { contentHash: '-', artifactKey: 'bundles/aaaaaa/x.tar.gz' })
    expect(foreign.status).toBe(400)
    const latest = (await http('GET', '/api/v1/deployments')).body.data[0]
    expect(latest).toMatchObject({ status: 'FAILED', error: { message: expect.any(String) } })
    expect((await http('GET', '/api/v1/deployments/current')).body).toEqual(before)
  })

  it('without a lockfile, by the CLI', async () => {
    // Outside of the repository: the CLI looks for one in every folder above.
    const folder = mkdtempSync(join(tmpdir(), 'trigger-do-no-lock-'))
    try {
      cpSync(join(import.meta.dirname, 'fixtures/plain'), folder, { recursive: true })
      rmSync(join(folder, 'package-lock.json'))
      symlinkSync(join(import.meta.dirname, '../node_modules'), join(folder, 'node_modules'))
      const before = (await http('GET', '/api/v1/deployments')).body.data[0]
      const result = await deploy(endpoints, folder)
      expect(result.code).not.toBe(0)
      expect(result.output).toMatch(/lockfile/i)
      expect((await http('GET', '/api/v1/deployments')).body.data[0]).toEqual(before)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
