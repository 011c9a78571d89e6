import { describe, expect, it } from 'vitest'
import { signPublicToken } from '../auth/jwt.ts'
import { createApp } from './app.ts'
import { fakeEnv } from './testing.ts'

const ok = <T>(value: T): { ok: true; value: T } => ({ ok: true, value })
const environment = {
  listRuns: async () => ok({ runs: [] }),
  createBatch: async (_: unknown, input: { batchId: string; runCount: number }) =>
    ok({ id: input.batchId, runCount: input.runCount, isCached: false }),
  getBatch: async () => ok({ id: 'x', status: 'PENDING', createdAt: 1, updatedAt: 1, runCount: 2, runs: [], errors: [] }),
  addBatchItems: async () => ok({ itemsAccepted: 1, itemsDeduplicated: 0, sealed: false, enqueuedCount: 1, expectedCount: 2 }),
}

async function setUp(settings: Record<string, string>): Promise<{
  request: (path: string, init?: RequestInit & { token?: string }) => Promise<Response>
  publicToken: (task: string) => Promise<string>
}> {
  const app = createApp()
  const { env, access } = await fakeEnv({ environment })
  Object.assign(env, { RATE_LIMIT: undefined, ...settings })
  return {
    request: async (path, { token, ...init } = {}) =>
      app.request(path, { ...init, headers: { authorization: `Bearer ${token ?? access.apiKey}`, ...init.headers } }, env),
    publicToken: (id) =>
      signPublicToken(access.apiKey, { sub: access.identity.id, pub: true, scopes: ['read:runs', id] }, 60, Date.now()),
  }
}

describe('rate limits', () => {
  it('do not ask the process of a run for a key: it has a token of its own', async () => {
    const { request } = await setUp({ RATE_LIMIT: '2:1' })
    const headers = { authorization: '', 'x-trigger-workload-deployment-id': 'x' }
    const init = { method: 'POST', headers }
    const answer = await request('/api/v1/workload-actions/runs/run_x/snapshots/s/heartbeat', init)
    expect(await answer.json()).toEqual({ error: 'The token of this runner is not valid for this run.' })
  })

  it('of a key are a bucket, told in headers', async () => {
    const { request } = await setUp({ RATE_LIMIT: '2:1' })
    const first = await request('/api/v1/runs')
    expect([first.status, first.headers.get('x-ratelimit-limit'), first.headers.get('x-ratelimit-remaining')]).toEqual([
      200,
      '2',
      '1',
    ])
    await request('/api/v1/runs')
    const refused = await request('/api/v1/runs')
    expect(refused.status).toBe(429)
    expect(refused.headers.get('content-type')).toContain('application/problem+json')
    const body = (await refused.json()) as Record<string, unknown>
    expect(body).toMatchObject({ title: 'Rate Limit Exceeded', status: 429, limit: 2, remaining: 0, error: body.detail })
    const wait = Number(refused.headers.get('x-ratelimit-reset')) - Date.now()
    expect(wait).toBeGreaterThan(8_000)
    expect(wait).toBeLessThanOrEqual(10_000)
    expect((await request('/api/v1/auth/jwt/claims', { method: 'POST' })).status).toBe(200)
  })

  it('of a public token are 60 in a minute, for each token', async () => {
    const { request, publicToken } = await setUp({})
    const [one, two] = [await publicToken('read:tasks:a'), await publicToken('read:tasks:b')]
    const statuses: number[] = []
    for (let i = 0; i < 61; i++) statuses.push((await request('/api/v1/runs', { token: one })).status)
    expect(statuses.slice(0, 60).every((status) => status === 200)).toBe(true)
    expect(statuses[60]).toBe(429)
    const other = await request('/api/v1/runs', { token: two })
    expect([other.status, other.headers.get('x-ratelimit-limit')]).toEqual([200, '60'])
    expect((await (await setUp({ PUBLIC_RATE_LIMIT: '1' })).request('/api/v1/runs', { token: two })).status).not.toBe(429)
  })

  it('of batches count their items, and pay for the upload', async () => {
    const { request } = await setUp({ RATE_LIMIT: '3:1', BATCH_RATE_LIMIT: '10:5' })
    const create = (runCount: number): Promise<Response> =>
      request('/api/v3/batches', { method: 'POST', body: JSON.stringify({ runCount }) })
    const created = await create(8)
    expect(created.status).toBe(202)
    const { id } = (await created.json()) as { id: string }
    const headers = { 'content-type': 'application/x-ndjson' }
    for (let i = 0; i < 5; i++) {
      const body = '{"index":0,"task":"a"}'
      expect((await request(`/api/v3/batches/${id}/items`, { method: 'POST', headers, body })).status).toBe(200)
    }
    const refused = await create(8)
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject({ error: expect.stringContaining('2 of 10 left') })
    expect([refused.headers.get('x-ratelimit-limit'), refused.headers.get('x-ratelimit-remaining')]).toEqual(['10', '2'])
    // Six are missing, five come in 10 s.
    expect(Number(refused.headers.get('retry-after'))).toBe(12)
    expect(Number(refused.headers.get('x-ratelimit-reset')) - Date.now()).toBeGreaterThan(11_000)
    expect((await create(2)).status).toBe(202)
    expect((await create(1)).status).toBe(429)
  })

  it('can be off', async () => {
    const { request } = await setUp({ RATE_LIMIT: 'off' })
    const answer = await request('/api/v1/runs')
    expect(answer.headers.has('x-ratelimit-limit')).toBe(false)
    expect((await request('/api/v3/batches', { method: 'POST', body: '{"runCount":1000}' })).status).toBe(202)
    expect((await request('/api/v3/batches', { method: 'POST', body: '{"runCount":1000}' })).status).toBe(202)
  })
})
