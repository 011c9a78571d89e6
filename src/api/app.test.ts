import * as core from '@trigger.dev/core/v3/schemas'
import { describe, expect, it, vi } from 'vitest'
import { hmac, toHex } from '../auth/crypto.ts'
import { signPublicToken } from '../auth/jwt.ts'
import { mintPersonalToken } from '../auth/keys.ts'
import { locatorOf, mintId, randomText } from '../contracts/ids.ts'
import type { BatchItem } from '../contracts/objects.ts'
import type { Caller, TriggerInput } from '../contracts/rpc.ts'
import { createApp } from './app.ts'
import { platformFetch } from './platform-fetch.ts'
import { fakeEnv, rootSecret, runDetail } from './testing.ts'

const app = createApp()
const ok = <T>(value: T): { ok: true; value: T } => ({ ok: true, value })

function bearer(key: string, extra: Record<string, string> = {}): Record<string, string> {
  return { authorization: `Bearer ${key}`, 'x-trigger-api-version': '2025-07-16', ...extra }
}

describe('requests at once', () => {
  it('never make one request wait for another', async () => {
    let asked = 0
    // The first request is gone before it has its answer, as when its client hangs up.
    const locate = (): Promise<unknown> => (asked++ === 0 ? new Promise(() => {}) : Promise.resolve({ projectId: 'prj1' }))
    const { env, access } = await fakeEnv({
      directory: { locate },
      environment: { listRuns: async () => ok({ runs: [] }) },
    })
    const list = async (): Promise<number> => (await app.request('/api/v1/runs', { headers: bearer(access.apiKey) }, env)).status
    void list()
    await vi.waitFor(() => expect(asked).toBe(1))
    expect(await list()).toBe(200)
    expect(await list()).toBe(200)
    expect(asked).toBe(2)
  })
})

describe('trigger', () => {
  it('answers id, isCached and both token headers', async () => {
    const seen: TriggerInput[] = []
    const { env, access } = await fakeEnv({
      environment: {
        trigger: async (_caller: Caller, input: TriggerInput) => {
          seen.push(input)
          return ok({ id: input.runId, isCached: false })
        },
      },
    })
    const body = {
      payload: '{"json":1}',
      options: { payloadType: 'application/super+json', tags: 'one', delay: '1h', queue: { name: 'my q!' }, ttl: 120 },
    }
    const response = await app.request(
      '/api/v1/tasks/my%2Ftask%20%C3%A9/trigger',
      { method: 'POST', headers: bearer(access.apiKey), body: JSON.stringify(body) },
      env,
    )
    expect(response.status).toBe(200)
    const answer = core.TriggerTaskResponse.parse(await response.json())
    expect(locatorOf(answer.id)).toBe(access.identity.locator)
    expect(seen[0]).toMatchObject({
      task: 'my/task é',
      options: { tags: ['one'], queue: 'myq', ttl: '2m', payload: { data: '{"json":1}' } },
    })
    expect(JSON.parse(response.headers.get('x-trigger-jwt-claims') as string)).toMatchObject({
      sub: access.identity.id,
      pub: true,
    })
    expect(response.headers.get('x-trigger-jwt')).toMatch(/^ey/)
  })

  it('says exactly what upstream says about bad input', async () => {
    const { env, access } = await fakeEnv()
    const post = async (body: string | undefined, key = access.apiKey): Promise<[number, unknown]> => {
      const response = await app.request('/api/v1/tasks/t/trigger', { method: 'POST', headers: bearer(key), body }, env)
      return [response.status, await response.json()]
    }
    expect(await post(undefined)).toEqual([400, { error: 'Request body is empty' }])
    expect(await post('nope')).toEqual([400, { error: 'Invalid JSON' }])
    expect(await post('null')).toEqual([400, { error: 'Invalid JSON' }])
    expect((await post('{"options":{"machine":"huge"}}'))[0]).toBe(400)
    expect(((await post('{"options":{"machine":"huge"}}'))[1] as { error: string }).error).toMatch(/^Validation error: /)
    expect(await post(JSON.stringify({ options: { tags: Array.from({ length: 11 }, (_, i) => `t${i}`) } }))).toEqual([
      422,
      { error: "Runs can only have 10 tags, you're trying to set 11." },
    ])
    expect(await post(JSON.stringify({ payload: 'x'.repeat(3_200_000) }))).toEqual([413, { error: 'Request body too large' }])
  })

  it('puts payloads over the inline limit into the bucket', async () => {
    let input: TriggerInput | undefined
    const { env, access } = await fakeEnv({
      environment: {
        trigger: async (_caller: Caller, given: TriggerInput) => {
          input = given
          return ok({ id: given.runId, isCached: false })
        },
      },
    })
    const body = JSON.stringify({ payload: 'x'.repeat(40_000) })
    await app.request('/api/v1/tasks/t/trigger', { method: 'POST', headers: bearer(access.apiKey), body }, env)
    expect(input?.options.payload).toEqual({ data: `${input?.runId}/payload.json`, dataType: 'application/store' })
  })
})

describe('credentials', () => {
  it('refuses a made-up key without touching an object', async () => {
    const { env, access, calls } = await fakeEnv()
    const wrong = `${access.apiKey.slice(0, -1)}${access.apiKey.endsWith('0') ? '1' : '0'}`
    const response = await app.request('/api/v1/runs', { headers: bearer(wrong) }, env)
    expect([response.status, await response.json()]).toEqual([401, { error: 'Invalid API key' }])
    expect(calls).toEqual([])
  })

  it('answers problem+json without any header, and 503 without a root secret', async () => {
    const { env } = await fakeEnv()
    const response = await app.request('/api/v1/runs', {}, { ...env, RATE_LIMIT: '5:5' })
    expect(response.status).toBe(401)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
    expect(await response.json()).toMatchObject({ error: 'No authorization header provided', status: 401 })
    const bare = await app.request('/api/v1/runs', {}, { ...env, ROOT_SECRET: undefined })
    expect(bare.status).toBe(503)
    expect(await bare.json()).toMatchObject({ code: 'not_initialised' })
    expect((await app.request('/health', {}, { ...env, ROOT_SECRET: undefined })).status).toBe(200)
  })

  it('gives a public token exactly its scopes', async () => {
    const id = mintId('run', randomText(6))
    const { env, access } = await fakeEnv({
      locator: locatorOf(id) as string,
      environment: { getRun: async () => ok(runDetail(id)) },
    })
    const get = async (scopes: string[], seconds = 60): Promise<number> => {
      const token = await signPublicToken(access.apiKey, { sub: access.identity.id, pub: true, scopes }, seconds, Date.now())
      return (await app.request(`/api/v3/runs/${id}`, { headers: bearer(token) }, env)).status
    }
    expect(await get([`read:runs:${id}`])).toBe(200)
    expect(await get(['read:tags:a'])).toBe(200)
    expect(await get(['read:runs:run_other'])).toBe(403)
    expect(await get([`read:runs:${id}`], -5)).toBe(401)
  })

  it('limits requests per key', async () => {
    const { env, access } = await fakeEnv({ environment: { listRuns: async () => ok({ runs: [] }) } })
    const statuses: number[] = []
    for (let i = 0; i < 3; i++)
      statuses.push(
        (await createAppOnce.request('/api/v1/runs', { headers: bearer(access.apiKey) }, { ...env, RATE_LIMIT: '2:1' })).status,
      )
    expect(statuses).toEqual([200, 200, 429])
  })
})
const createAppOnce = createApp()

describe('runs', () => {
  it('retrieves in a shape the SDK accepts', async () => {
    const id = mintId('run', randomText(6))
    const { env, access } = await fakeEnv({
      locator: locatorOf(id) as string,
      environment: { getRun: async () => ok(runDetail(id)) },
    })
    const response = await app.request(`/api/v3/runs/${id}`, { headers: bearer(access.apiKey) }, env)
    const body = (await response.json()) as Record<string, unknown>
    core.RetrieveRunResponse.parse(body)
    expect(body).toMatchObject({
      status: 'COMPLETED',
      payload: { when: '2026-01-01T00:00:00.000Z' },
      output: 'done',
      tags: ['a', 'b'],
      attempts: [],
    })
    expect(JSON.stringify(body)).not.toContain('null')
  })

  it('lists in a shape the SDK accepts and refuses unknown statuses', async () => {
    const id = mintId('run', randomText(6))
    const { env, access } = await fakeEnv({ environment: { listRuns: async () => ok({ runs: [runDetail(id)], next: id }) } })
    const response = await app.request('/api/v1/runs?page%5Bsize%5D=10', { headers: bearer(access.apiKey) }, env)
    const body = (await response.json()) as { pagination: unknown }
    core.ListRunResponse.parse(body)
    expect(body.pagination).toEqual({ next: id })
    const bad = await app.request('/api/v1/runs?filter%5Bstatus%5D=NOPE', { headers: bearer(access.apiKey) }, env)
    expect([bad.status, ((await bad.json()) as { error: string }).error]).toEqual([400, 'Query Error'])
  })

  it('misses are retryable 404s, found without an object when the id is foreign', async () => {
    const { env, access } = await fakeEnv()
    const response = await app.request(`/api/v3/runs/${mintId('run', 'uuuuuu')}`, { headers: bearer(access.apiKey) }, env)
    expect([response.status, await response.json(), response.headers.get('x-should-retry')]).toEqual([
      404,
      { error: 'Not found' },
      'true',
    ])
    expect((await app.request('/api/v9/none', { headers: bearer(access.apiKey) }, env)).status).toBe(404)
  })
})

describe('batches', () => {
  const create = {
    createBatch: async (_: Caller, input: { batchId: string; runCount: number }) =>
      ok({ id: input.batchId, runCount: input.runCount, isCached: false }),
  }

  it('creates and takes items as a stream', async () => {
    const items: BatchItem[] = []
    const { env, access } = await fakeEnv({
      environment: {
        ...create,
        getBatch: async () => ok({ id: 'x', status: 'PENDING', createdAt: 1, updatedAt: 1, runCount: 2, runs: [], errors: [] }),
        addBatchItems: async (_: Caller, __: string, given: BatchItem[]) => {
          items.push(...given)
          return ok({ itemsAccepted: given.length, itemsDeduplicated: 0, sealed: true, enqueuedCount: 2, expectedCount: 2 })
        },
      },
    })
    const created = await app.request(
      '/api/v3/batches',
      { method: 'POST', headers: bearer(access.apiKey), body: '{"runCount":2}' },
      env,
    )
    expect(created.status).toBe(202)
    const { id } = core.CreateBatchResponse.parse(await created.json())
    const lines = '{"index":0,"task":"a","payload":1}\n{"index":1,"task":"b"}\n'
    const headers = bearer(access.apiKey, { 'content-type': 'application/x-ndjson' })
    const sent = await app.request(`/api/v3/batches/${id}/items`, { method: 'POST', headers, body: lines }, env)
    expect(core.StreamBatchItemsResponse.parse(await sent.json())).toMatchObject({ itemsAccepted: 2, sealed: true })
    expect(items.map((item) => [item.index, item.task, item.options.batch?.id])).toEqual([
      [0, 'a', id],
      [1, 'b', id],
    ])
    const wrong = await app.request(
      `/api/v3/batches/${id}/items`,
      { method: 'POST', headers: bearer(access.apiKey), body: lines },
      env,
    )
    expect(wrong.status).toBe(415)
    const broken = await app.request(`/api/v3/batches/${id}/items`, { method: 'POST', headers, body: '{"ind\n' }, env)
    expect([broken.status, ((await broken.json()) as { error: string }).error]).toEqual([400, 'Invalid JSON at line 1'])
  })
})

describe('the CLI', () => {
  const user = { userId: 'u1', email: 'a@b.com', organizationId: 'o', organizationSlug: 'o', organizationTitle: 'O' }
  const summary = {
    id: 'prj1',
    ref: 'proj_test',
    name: 'T',
    slug: 't',
    createdAt: 1,
    organizationId: 'o',
    organizationSlug: 'o',
    organizationTitle: 'O',
    ownerUserId: 'u1',
  }

  it('gets from whoami to an upload', async () => {
    const pat = mintPersonalToken()
    const { env, access } = await fakeEnv({
      directory: { userByToken: async () => user, projectByRef: async () => summary, listProjects: async () => [summary] },
    })
    Object.assign(env, {
      PROJECT: (await fakeEnv({ project: { environment: async () => access, environmentByLocator: async () => access } })).env
        .PROJECT,
    })
    const whoami = await app.request('/api/v2/whoami', { headers: bearer(pat) }, env)
    core.WhoAmIResponseSchema.parse(await whoami.json())
    const prod = await app.request('/api/v1/projects/proj_test/prod', { headers: bearer(pat) }, env)
    expect(core.GetProjectEnvResponse.parse(await prod.json()).apiKey).toBe(access.apiKey)
    const settings = await app.request('/api/v1/projects/proj_test/prod/deploy-settings', { headers: bearer(access.apiKey) }, env)
    expect(await settings.json()).toEqual({ build_path: 'native_local_bundle' })
    const artifactBody = JSON.stringify({ type: 'deployment_bundle', contentType: 'application/gzip', contentLength: 100 })
    const artifact = await app.request(
      '/api/v1/artifacts',
      { method: 'POST', headers: bearer(access.apiKey), body: artifactBody },
      env,
    )
    const { uploadUrl, artifactKey } = core.CreateArtifactResponseBody.parse(await artifact.json())
    expect(artifactKey).toMatch(/^bundles\//)
    const form = new FormData()
    form.append('extra', 'field')
    form.append('file', new Blob([new Uint8Array([1, 2, 13, 10, 45, 45, 3])]), 'deployment.tar.gz')
    const upload = await app.request(uploadUrl, { method: 'POST', body: form }, env)
    expect(upload.status).toBe(204)
    const stored = (await env.BUCKET.get(artifactKey)) as unknown as { body: Uint8Array }
    expect([...stored.body]).toEqual([1, 2, 13, 10, 45, 45, 3])
    expect((await app.request(uploadUrl.replace('max=', 'max=9'), { method: 'POST', body: form }, env)).status).toBe(403)
    const old = await app.request(
      '/api/v1/deployments',
      { method: 'POST', headers: bearer(access.apiKey), body: '{"contentHash":"x"}' },
      env,
    )
    expect([old.status, ((await old.json()) as { error: string }).error]).toEqual([
      400,
      expect.stringContaining('npx trigger.dev@4.8.3 deploy'),
    ])
  })

  it('seeds only with a fresh signature', async () => {
    const { env } = await fakeEnv({ directory: { seed: async () => ({ userId: 'u1' }) } })
    const body = JSON.stringify({ email: 'a@b.c', accessToken: mintPersonalToken() })
    const call = async (timestamp: number): Promise<number> => {
      const signature = toHex(await hmac(rootSecret, `${timestamp}.${body}`))
      const headers = { 'x-trigger-do-signature': signature, 'x-trigger-do-timestamp': String(timestamp) }
      return (await app.request('/internal/seed', { method: 'POST', headers, body }, env)).status
    }
    expect(await call(Date.now())).toBe(200)
    expect(await call(Date.now() - 61_000)).toBe(401)
  })
})

describe('calls from inside a run', () => {
  it('need no key, reach no PAT route and wait only for themselves', async () => {
    const own = mintId('run', randomText(6))
    let caller: Caller | undefined
    const { env, access } = await fakeEnv({
      locator: locatorOf(own) as string,
      environment: {
        waitForDuration: async (given: Caller) => {
          caller = given
          return ok({ waitUntil: 5, waitpointId: 'waitpoint_1' })
        },
      },
    })
    const call = (path: string, method = 'GET', body?: string): Promise<Response> =>
      platformFetch(new Request(`http://platform${path}`, { method, ...(body ? { body } : {}) }), env, {
        access,
        run: { runId: own, lease: 7 },
      })
    const date = JSON.stringify({ date: new Date().toISOString() })
    expect((await call(`/engine/v1/runs/${own}/wait/duration`, 'POST', date)).status).toBe(200)
    expect(caller?.run).toEqual({ runId: own, lease: 7 })
    expect((await call(`/engine/v1/runs/${mintId('run', randomText(6))}/wait/duration`, 'POST', date)).status).toBe(403)
    expect((await call('/api/v2/whoami')).status).toBe(403)
  })
})

describe('packets', () => {
  it('are written and read through signed links only', async () => {
    const { env, access } = await fakeEnv()
    const put = await app.request(
      '/api/v2/packets/trigger%2Fpacket_1%2Fpayload.json',
      { method: 'PUT', headers: bearer(access.apiKey) },
      env,
    )
    const { presignedUrl, storagePath } = (await put.json()) as { presignedUrl: string; storagePath: string }
    expect(storagePath).toBe('trigger/packet_1/payload.json')
    const upload = await app.request(
      presignedUrl,
      { method: 'PUT', headers: { 'content-type': 'application/super+json' }, body: '{"json":1}' },
      env,
    )
    expect(upload.status).toBe(200)
    const get = await app.request('/api/v1/packets/trigger/packet_1/payload.json', { headers: bearer(access.apiKey) }, env)
    const link = ((await get.json()) as { presignedUrl: string }).presignedUrl
    const read = await app.request(link, {}, env)
    expect([await read.text(), read.headers.get('content-type'), read.headers.get('x-content-type-options')]).toEqual([
      '{"json":1}',
      'application/super+json',
      'nosniff',
    ])
    expect((await app.request(link.replace('packet_1', 'packet_2'), {}, env)).status).toBe(403)
    const bad = await app.request('/api/v2/packets/..%2Fx', { method: 'PUT', headers: bearer(access.apiKey) }, env)
    expect([bad.status, await bad.json()]).toEqual([400, { error: 'Invalid packet storage path' }])
  })
})
