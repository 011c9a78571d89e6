import { auth, configure, runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { endpoints, http, plain, runTask, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

const wrongKey = `tr_prod_${'a'.repeat(24)}`

describe('answers to bad requests', () => {
  it('401 without a key', async () => {
    const answer = await http('GET', '/api/v3/runs/run_x', undefined, { authorization: '' })
    expect(answer.status).toBe(401)
    expect(answer.body.error).toBeTypeOf('string')
  })

  it('401 with a wrong key', async () => {
    const answer = await http('POST', '/api/v1/tasks/add-one/trigger', { payload: {} }, { authorization: `Bearer ${wrongKey}` })
    expect(answer.status).toBe(401)
    expect(answer.body.error).toMatch(/Invalid( or Missing)? API key/i)
  })

  it('404 for an unknown run', async () => {
    const answer = await http('GET', '/api/v3/runs/run_unknown')
    expect(answer).toMatchObject({ status: 404, body: { error: 'Not found' } })
    expect(answer.headers.get('x-should-retry')).toBe('true')
  })

  it('404 when an unknown run is cancelled', async () => {
    expect((await http('POST', '/api/v2/runs/run_unknown/cancel')).status).toBe(404)
  })

  it('400 for a body that is not JSON', async () => {
    expect(await http('POST', '/api/v1/tasks/add-one/trigger', '{nope')).toMatchObject({
      status: 400,
      body: { error: 'Invalid JSON' },
    })
  })

  it('400 for an empty body', async () => {
    expect(await http('POST', '/api/v1/tasks/add-one/trigger')).toMatchObject({
      status: 400,
      body: { error: 'Request body is empty' },
    })
  })

  it('400 with the name of the bad field', async () => {
    const answer = await http('POST', '/api/v1/tasks/add-one/trigger', { payload: {}, options: { maxAttempts: 'many' } })
    expect(answer.status).toBe(400)
    expect(answer.body.error).toContain('maxAttempts')
  })

  it('400 for a tag that is too long', async () => {
    expect(
      (await http('POST', '/api/v1/tasks/add-one/trigger', { payload: {}, options: { tags: 't'.repeat(129) } })).status,
    ).toBe(400)
  })

  it('413 for a body above 3 MiB', async () => {
    const answer = await http('POST', '/api/v1/tasks/add-one/trigger', { payload: 'x'.repeat(3 * 1024 * 1024 + 10_000) })
    expect(answer).toMatchObject({ status: 413, body: { error: 'Request body too large' } })
  })

  it('404 for a route that is not there, 405 for a method that is not', async () => {
    expect(await http('GET', '/api/v1/no-such-route')).toMatchObject({ status: 404, body: { error: 'Not found' } })
    for (const [method, path, allow] of [
      ['GET', '/api/v1/tasks/add-one/trigger', 'POST'],
      ['DELETE', '/api/v1/runs', 'GET'],
      ['POST', '/api/v3/runs/run_x', 'GET'],
      ['PATCH', '/api/v1/runs/run_x/metadata', 'GET, PUT'],
    ] as const) {
      const answer = await http(method, path)
      expect(answer, `${method} ${path}`).toMatchObject({ status: 405, body: { error: 'Method not allowed' } })
      expect(answer.headers.get('allow')).toBe(allow)
    }
  })

  it('422 for a version nobody deployed', async () => {
    const answer = await http('POST', '/api/v1/tasks/add-one/trigger', {
      payload: { n: 1 },
      options: { lockToVersion: '20200101.1' },
    })
    expect(answer).toMatchObject({
      status: 422,
      body: { error: "Task locked to version '20200101.1', but no worker found with that version." },
    })
  })

  it('one key opens one environment only', async () => {
    const run = await runTask('add-one', { n: 1 })
    const other = endpoints.secretKeys.prod
    expect((await http('GET', `/api/v3/runs/${run.id}`, undefined, { authorization: `Bearer ${other}` })).status).toBe(404)
  })

  it('personal tokens do not trigger', async () => {
    const headers = { authorization: `Bearer ${endpoints.accessToken}` }
    expect((await http('POST', '/api/v1/tasks/add-one/trigger', { payload: {} }, headers)).status).toBe(401)
  })

  it('health and the OpenAPI document are open', async () => {
    const response = await fetch(`${endpoints.apiUrl}/openapi.json`)
    expect(response.status).toBe(200)
    expect(((await response.json()) as { openapi: string }).openapi).toMatch(/^3\.1\./)
    const page = await fetch(`${endpoints.apiUrl}/docs`)
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    expect(await page.text()).toContain('/api/v1/tasks/{taskId}/trigger')
  })

  it('browsers may ask first', async () => {
    const response = await fetch(`${endpoints.apiUrl}/api/v1/tasks/add-one/trigger`, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://app.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      },
    })
    expect([200, 204]).toContain(response.status)
    expect(response.headers.get('access-control-allow-origin')).toBeTruthy()
  })
})

describe('public tokens', () => {
  it('read the run they were made for and no other', async () => {
    const run = await runTask('add-one', { n: 1 })
    const other = await runTask('add-one', { n: 2 })
    const token = await auth.createPublicToken({ scopes: { read: { runs: [run.id] } } })
    const headers = { authorization: `Bearer ${token}` }
    expect((await http('GET', `/api/v3/runs/${run.id}`, undefined, headers)).status).toBe(200)
    expect(await http('GET', `/api/v3/runs/${other.id}`, undefined, headers)).toMatchObject({
      status: 403,
      body: { error: 'Unauthorized', code: 'unauthorized' },
    })
    expect((await http('POST', '/api/v1/tasks/add-one/trigger', { payload: {} }, headers)).status).toBe(403)
  })

  it('come with a trigger and read its run', async () => {
    const handle = await tasks.trigger('add-one', { n: 1 })
    expect(handle.publicAccessToken).toMatch(/^eyJ/)
    const headers = { authorization: `Bearer ${handle.publicAccessToken}` }
    expect((await http('GET', `/api/v3/runs/${handle.id}`, undefined, headers)).status).toBe(200)
  })

  it('made for one trigger work once', async () => {
    const token = await auth.createTriggerPublicToken('add-one')
    const headers = { authorization: `Bearer ${token}` }
    expect((await http('POST', '/api/v1/tasks/add-one/trigger', { payload: { n: 1 } }, headers)).status).toBe(200)
    expect((await http('POST', '/api/v1/tasks/add-one/trigger', { payload: { n: 1 } }, headers)).status).toBe(422)
    expect((await http('POST', '/api/v1/tasks/echo/trigger', { payload: { n: 1 } }, headers)).status).toBe(403)
  })

  it('that are forged are refused', async () => {
    const token = await auth.createPublicToken({ scopes: { read: { runs: true } } })
    const forged = `${token.slice(0, -4)}AAAA`
    expect((await http('GET', '/api/v1/runs', undefined, { authorization: `Bearer ${forged}` })).status).toBe(401)
  })
})

describe('the SDK', () => {
  it('sees the classes of errors it knows', async () => {
    await expect(runs.retrieve('run_unknown')).rejects.toMatchObject({ status: 404, name: 'TriggerApiError' })
    configure({ baseURL: endpoints.apiUrl, accessToken: wrongKey })
    try {
      await expect(tasks.trigger('add-one', {})).rejects.toMatchObject({ status: 401 })
    } finally {
      useProject(plain)
    }
  })
})
