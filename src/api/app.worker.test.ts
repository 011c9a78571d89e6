/// <reference types="@cloudflare/vitest-plugin/types" />
import { createExecutionContext, env } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { hmac, toHex } from '../auth/crypto.ts'
import { mintPersonalToken } from '../auth/keys.ts'
import type { Env } from '../contracts/bindings.ts'
import { createApp } from './app.ts'

const app = createApp()
const bindings = env as unknown as Env

async function call(path: string, token?: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const init = {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  }
  return app.request(path, init, bindings, createExecutionContext())
}

async function owner(): Promise<string> {
  const accessToken = mintPersonalToken()
  const body = JSON.stringify({ email: `${accessToken.slice(-8)}@example.com`, accessToken })
  const timestamp = String(Date.now())
  const signature = toHex(await hmac(bindings.ROOT_SECRET as string, `${timestamp}.${body}`))
  const seeded = await call('/internal/seed', undefined, body, {
    'x-trigger-do-timestamp': timestamp,
    'x-trigger-do-signature': signature,
  })
  expect(seeded.status).toBe(200)
  return accessToken
}

describe('first use', () => {
  it('creates project and environments, and their keys work at once', async () => {
    const pat = await owner()
    expect((await call('/api/v2/whoami', pat)).status).toBe(200)
    const ref = `proj_first${Date.now().toString(36)}`
    const keys: string[] = []
    for (const slug of ['dev', 'staging', 'prod']) {
      const response = await call(`/api/v1/projects/${ref}/${slug}`, pat)
      expect(response.status).toBe(200)
      keys.push(((await response.json()) as { apiKey: string }).apiKey)
    }
    expect(keys.map((key) => key.slice(0, 7))).toEqual(['tr_dev_', 'tr_stg_', 'tr_prod'])
    for (const key of keys) expect((await call('/api/v1/auth/jwt/claims', key, {})).status).toBe(200)
    const other = await owner()
    const foreign = await call(`/api/v1/projects/${ref}/prod`, other)
    expect([foreign.status, await foreign.json()]).toEqual([404, { error: 'Project not found' }])
  })

  it('keeps variables and branches', async () => {
    const pat = await owner()
    const ref = `proj_vars${Date.now().toString(36)}`
    const { apiKey } = (await (await call(`/api/v1/projects/${ref}/preview`, pat)).json()) as { apiKey: string }
    expect((await call('/api/v1/auth/jwt/claims', apiKey, {})).status).toBe(401)
    await call(`/api/v1/projects/${ref}/branches`, pat, { branch: 'feature', env: 'preview' })
    const branch = { 'x-trigger-branch': 'refs/heads/feature' }
    expect((await call('/api/v1/auth/jwt/claims', apiKey, {}, branch)).status).toBe(200)
    const set = await call(`/api/v1/projects/${ref}/envvars/preview/import`, apiKey, {
      variables: { A: '1', TRIGGER_API_URL: 'x' },
      override: true,
    })
    expect(set.status).toBe(200)
    const read = await call(`/api/v1/projects/${ref}/envvars`, apiKey, undefined, branch)
    expect(((await read.json()) as { variables: Record<string, string> }).variables).toMatchObject({
      A: '1',
      TRIGGER_PREVIEW_BRANCH: 'feature',
    })
  })
})

describe('deployments', () => {
  it('number versions per day, promote, and keep the current one when another fails', async () => {
    const identity = {
      id: 'x',
      locator: `t${Date.now().toString(32).slice(-5)}`,
      slug: 'prod',
      type: 'PRODUCTION',
      projectId: 'p',
      projectRef: 'proj_p',
      projectName: 'p',
      organizationId: 'o',
      organizationSlug: 'o',
      organizationTitle: 'o',
    } as const
    const task = bindings.TASK.get(
      bindings.TASK.idFromName(identity.locator),
    ) as unknown as import('../contracts/objects.ts').TaskObject
    const index = {
      tasks: [{ id: 'hello', filePath: 'a.ts', entryPoint: 'a.mjs', host: 'isolate' as const }],
      queues: [],
      warnings: [],
    }
    const first = await task.createDeployment(identity, { id: 'deployment_1', contentHash: '-' })
    expect(first.version).toMatch(/^\d{8}\.1$/)
    expect(await task.completeDeployment(identity, first.id, { index, bundleHash: 'h' }, true, {})).toMatchObject({
      ok: true,
      value: { status: 'DEPLOYED', isCurrent: true },
    })
    const second = await task.createDeployment(identity, { id: 'deployment_2', contentHash: '-' })
    await task.failDeployment(second.id, { name: 'NO_TASKS', message: 'none' })
    expect(await task.currentDeployment()).toMatchObject({ id: first.id })
    expect(await task.promote(identity, second.version, {})).toMatchObject({ ok: false, error: { status: 400 } })
    expect((await task.listDeployments({ size: 1 })).next).toBe('deployment_2')
  })
})
