/** Real answers against the OpenAPI document the platform serves: nothing missing, nothing undescribed. */
import { tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { endpoints, finished, http, plain, runTask, unique, useProject } from './harness.ts'

type Schema = Record<string, unknown>
interface Operation {
  operationId: string
  tags: string[]
  responses: Record<string, { content: { 'application/json': { schema: Schema } } }>
}
let document: {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema> }
}

beforeAll(async () => {
  useProject(plain)
  document = await (await fetch(`${endpoints.apiUrl}/openapi.json`)).json()
})

/** References replaced by what they name; objects with known properties take no others. */
function inlined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inlined)
  if (!value || typeof value !== 'object') return value
  const { $ref, ...rest } = value as { $ref?: string } & Schema
  if ($ref) return inlined(document.components.schemas[$ref.split('/').at(-1) as string])
  const copy = Object.fromEntries(Object.entries(rest).map(([key, entry]) => [key, inlined(entry)])) as Schema
  if (copy.properties && copy.additionalProperties === undefined) copy.additionalProperties = false
  return copy
}

function operationOf(method: string, path: string): Operation | undefined {
  const segments = (path.split('?')[0] as string).split('/')
  const fits = (template: string): boolean => {
    const parts = template.split('/')
    return parts.length === segments.length && parts.every((part, i) => part.startsWith('{') || part === segments[i])
  }
  // Literal segments before parameters.
  const found = Object.keys(document.paths)
    .filter(fits)
    .sort((a, b) => a.split('{').length - b.split('{').length)
  const template = found.find((one) => document.paths[one]?.[method.toLowerCase()])
  return template ? document.paths[template]?.[method.toLowerCase()] : undefined
}

const seen = new Set<string>()

// biome-ignore lint/suspicious/noExplicitAny: bodies of every route
async function described(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<any> {
  const answer = await http(method, path, body, headers)
  const operation = operationOf(method, path)
  const response = operation?.responses[answer.status]
  expect(response, `${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`).toBeDefined()
  const schema = z.fromJSONSchema(inlined(response?.content['application/json'].schema) as never)
  const parsed = schema.safeParse(answer.body)
  expect(
    parsed.success,
    `${method} ${path}: ${z.prettifyError(parsed.error ?? new z.ZodError([]))}\n${JSON.stringify(answer.body)}`,
  ).toBe(true)
  seen.add(operation?.operationId as string)
  return answer.body
}

describe('the OpenAPI document', () => {
  const pat = { authorization: `Bearer ${endpoints.accessToken}` }

  it('describes what the runs, tasks and batches routes answer', async () => {
    const { id } = await described('POST', '/api/v1/tasks/add-one/trigger', {
      payload: { n: 1 },
      options: { tags: [unique('doc')], metadata: { a: 1 }, idempotencyKey: unique('key'), ttl: 60 },
    })
    await finished(id)
    await described('GET', `/api/v3/runs/${id}`)
    await described('GET', `/api/v3/runs/${id}`, undefined, { 'x-trigger-api-version': '2025-07-16' })
    await described('GET', `/api/v1/runs?page%5Bsize%5D=2`)
    await described('GET', `/api/v1/projects/${plain.ref}/runs?filter%5Benv%5D=prod`, undefined, pat)
    await described('GET', `/api/v1/runs/${id}/result`)
    await described('GET', `/api/v1/runs/${id}/events`)
    await described('GET', `/api/v1/runs/${id}/trace`)
    const { events } = (await http('GET', `/api/v1/runs/${id}/events`)).body
    await described('GET', `/api/v1/runs/${id}/spans/${events[0].spanId}`)
    await described('GET', `/api/v1/runs/${id}/metadata`)
    await described('PUT', `/api/v1/runs/${id}/metadata`, { operations: [{ type: 'set', key: 'b', value: 2 }] })
    await described('POST', `/api/v1/runs/${id}/tags`, { tags: 'late' })
    await described('POST', `/api/v1/runs/${id}/replay`)
    const delayed = await tasks.trigger('add-one', { n: 1 }, { delay: '1h' })
    await described('GET', `/api/v3/runs/${delayed.id}`)
    await described('POST', `/api/v1/runs/${delayed.id}/reschedule`, { delay: '2h' })
    await described('POST', `/api/v2/runs/${delayed.id}/cancel`)
    await described('GET', `/api/v1/runs/${delayed.id}/result`)
    const failed = await runTask('fails')
    await described('GET', `/api/v3/runs/${failed.id}`)
    await described('GET', `/api/v1/runs/${failed.id}/result`)
    const parent = await runTask('keyed')
    await described('GET', `/api/v3/runs/${parent.id}`)
    await described('GET', `/api/v3/runs/${parent.relatedRuns.children?.[0]?.id}`)
    const items = [{ task: 'add-one', payload: { n: 1 } }]
    const one = await described('POST', '/api/v1/tasks/batch', { items }, { 'idempotency-key': unique('batch') })
    await described('POST', '/api/v2/tasks/batch', { items })
    await described('POST', '/api/v1/tasks/add-one/batch', { items: [{ payload: { n: 1 } }] })
    const created = await described('POST', '/api/v3/batches', { runCount: 1 })
    const line = JSON.stringify({ index: 0, task: 'add-one', payload: { n: 1 }, options: { lockToVersion: 'none' } })
    await described('POST', `/api/v3/batches/${created.id}/items`, line, { 'content-type': 'application/x-ndjson' })
    await finished(one.runs[0].id)
    for (const batchId of [one.id, created.id]) {
      await described('GET', `/api/v1/batches/${batchId}`)
      await described('GET', `/api/v2/batches/${batchId}`)
      await described('GET', `/api/v1/batches/${batchId}/results`)
    }
    await described('POST', `/api/v1/idempotencyKeys/${unique('none')}/reset`, { taskIdentifier: 'add-one' })
  })

  it('describes what the other routes answer', async () => {
    for (const path of ['/api/v1/deployments', '/api/v1/deployments/current', '/api/v1/deployments/latest'])
      await described('GET', path)
    const current = (await http('GET', '/api/v1/deployments/current')).body
    await described('GET', `/api/v1/deployments/${current.id}`)
    await described('POST', `/api/v1/deployments/${current.version}/promote`)
    await described('POST', '/api/v1/artifacts', { type: 'deployment_bundle', contentLength: 10 })
    const base = `/api/v1/projects/${plain.ref}`
    await described('POST', `${base}/envvars/prod`, { name: 'COMPAT_DOC', value: '1' })
    await described('GET', `${base}/envvars/prod`)
    await described('GET', `${base}/envvars/prod/COMPAT_DOC`)
    await described('PUT', `${base}/envvars/prod/COMPAT_DOC`, { value: '2' })
    await described('POST', `${base}/envvars/prod/import`, { variables: { COMPAT_DOC: '3' }, override: true })
    await described('GET', `${base}/envvars`)
    await described('DELETE', `${base}/envvars/prod/COMPAT_DOC`)
    await described('GET', '/api/v1/queues')
    const queue = (await http('GET', '/api/v1/queues')).body.data[0]
    await described('GET', `/api/v1/queues/${queue.id}`)
    await described('POST', `/api/v1/queues/${queue.id}/pause`, { action: 'resume' })
    await described('POST', `/api/v1/queues/${queue.id}/concurrency/override`, { percent: 100 })
    await described('POST', `/api/v1/queues/${queue.id}/concurrency/reset`, {})
    const schedule = { task: 'new-year', cron: '0 0 1 1 *', externalId: 'doc', window: '1h' }
    const { id } = await described('POST', '/api/v1/schedules', { ...schedule, deduplicationKey: unique('schedule') })
    const bulk = await described('POST', '/api/v1/bulk-actions', { action: 'cancel', name: 'doc', runIds: ['run_none'] })
    await described('GET', `/api/v1/bulk-actions/${bulk.id}`)
    await described('GET', '/api/v1/bulk-actions?page%5Bsize%5D=1')
    await described('GET', '/api/v1/schedules')
    await described('GET', `/api/v1/schedules/${id}`)
    await described('PUT', `/api/v1/schedules/${id}`, schedule)
    await described('POST', `/api/v1/schedules/${id}/deactivate`)
    await described('POST', `/api/v1/schedules/${id}/activate`)
    await described('PUT', `/api/v1/schedules/${id}`, { ...schedule, cron: 'never' })
    await described('DELETE', `/api/v1/schedules/${id}`)
    await described('GET', '/api/v1/timezones')
    const token = await described('POST', '/api/v1/waitpoints/tokens', {
      timeout: '1h',
      tags: ['doc'],
      idempotencyKey: unique('token'),
      idempotencyKeyTTL: '1h',
    })
    await described('GET', `/api/v1/waitpoints/tokens/${token.id}`)
    await described('POST', `/api/v1/waitpoints/tokens/${token.id}/complete`, { data: { ok: true } })
    await described('GET', `/api/v1/waitpoints/tokens/${token.id}`)
    await described('GET', '/api/v1/waitpoints/tokens?page%5Bsize%5D=1')
    const open = await described('POST', '/api/v1/waitpoints/tokens', {})
    await described('POST', new URL(open.url).pathname, { from: 'a third party' })
    await described('PUT', '/api/v2/packets/a%2Fb.json')
    await described('PUT', '/api/v1/packets/a%2Fb.json')
    await described('GET', '/api/v1/packets/a%2Fb.json')
    const line = JSON.stringify({ kind: 'environment', format: 1, exportedAt: 0, id: 'x', projectRef: 'x', slug: 'x' })
    await described('POST', '/api/v1/environment/import', line, { 'content-type': 'application/x-ndjson' })
    await described('GET', '/health')
    await described('POST', '/api/v1/auth/jwt/claims')
    await described('POST', '/api/v1/auth/jwt', { claims: { scopes: ['read:runs'] } })
    await described('POST', '/api/v1/auth/public-tokens', { scopes: ['read:runs'] })
    await described('GET', base, undefined, pat)
    await described('GET', `${base}/prod`, undefined, pat)
    await described('GET', '/api/v1/projects', undefined, pat)
    await described('GET', '/api/v1/projects/runtimes', undefined, pat)
    await described('POST', `${base}/branches`, { branch: 'doc', env: 'preview' }, pat)
    await described('GET', `${base}/branches`, undefined, pat)
    await described('POST', `${base}/branches/archive`, { branch: 'doc', env: 'preview' }, pat)
    await described('GET', '/api/v2/whoami', undefined, pat)
    await described('GET', '/api/v1/orgs', undefined, pat)
    await described('POST', '/api/v1/profile/complete', { name: 'Ada' }, pat)
    await described('GET', `${base}/prod/deploy-settings`)
    const made = (await http('GET', '/api/v1/orgs', undefined, pat)).body[0]
    const { externalRef } = await described('POST', `/api/v1/orgs/${made.slug}/projects`, { name: 'Doc' }, pat)
    await described('POST', `/api/v1/projects/${externalRef}/staging/pause`, undefined, pat)
    await described('POST', `/api/v1/projects/${externalRef}/staging/resume`, undefined, pat)
    await described('POST', `/api/v1/projects/${externalRef}/staging/regenerate-api-key`, {}, pat)
  })

  it('lists what is not built, and that answers 501', async () => {
    const unbuilt = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, operation]) => (operation.responses['501'] ? [{ path, method, operation }] : [])),
    )
    expect(unbuilt.map(({ operation }) => operation.operationId)).toEqual(
      expect.arrayContaining(['overrideConcurrencyLimit', 'createSession', 'executeQuery']),
    )
    for (const { path, method, operation } of unbuilt) {
      const answer = await http(method.toUpperCase(), path.replace(/\{\w+\}/g, 'x'), method === 'get' ? undefined : {})
      expect(answer, operation.operationId).toMatchObject({ status: 501, body: { code: 'not_implemented' } })
      expect(answer.headers.get('x-should-retry')).toBe('false')
    }
    expect((await http('GET', '/api/v1/prompts/anything/else')).status).toBe(501)
  })

  it('describes what the routes of our own client answer', async () => {
    const sentence = { strings: ['add one with n ', ''], values: [1] }
    await described('GET', '/api/v1/tasks')
    await described('PUT', '/api/v1/files/content?path=/doc/a.txt', 'a')
    await described('POST', '/api/v1/files/batch', { files: [{ path: '/doc/b.txt', content: 'Yg==' }] })
    await described('GET', '/api/v1/files/entry?path=/doc/a.txt')
    await described('GET', '/api/v1/files/entry?path=/doc')
    await described('GET', '/api/v1/files?path=/&limit=1')
    await described('GET', '/api/v1/files?path=/doc&pattern=*.txt')
    await described('DELETE', '/api/v1/files?path=/doc&recursive=true')
    await described('POST', '/api/v1/sentences/explain', sentence)
    await described('POST', '/api/v1/sentences/explain', { strings: ['every day at 3am, add one'], values: [] })
    await described('POST', '/api/v1/sentences/explain', { strings: ['when an order is placed, add one'], values: [] })
    await described('POST', '/api/v1/sentences/explain', { strings: ['juggle seven geese'], values: [] })
    await described('POST', '/api/v1/sentences/operate', { strings: ['retry all failed nobody jobs from yesterday'], values: [] })
    await described('POST', '/api/v1/sentences/operate', { strings: ['juggle seven geese'], values: [] })
    await described('POST', '/api/v1/sentences', { ...sentence, wait: 20 })
    const plan = await described('POST', '/api/v1/plans', { plan: { $run: sentence }, wait: 20 })
    await described('GET', `/api/v1/runs/${plan.id}/changes`)
    const { id } = await tasks.trigger('add-one', { n: 1 }, { delay: '1h' })
    await described('PUT', `/api/v1/runs/${id}/checkpoints/first`, { size: 1 })
    await described('GET', `/api/v1/runs/${id}/checkpoints`)
    const event = unique('event')
    const subscription = await described('POST', '/api/v1/event-subscriptions', { event, task: 'add-one', payload: { n: 1 } })
    await described('GET', '/api/v1/event-subscriptions')
    await described('POST', '/api/v1/events', { name: event })
    await described('POST', `/api/v1/event-subscriptions/${subscription.id}/pause`)
    await described('POST', `/api/v1/event-subscriptions/${subscription.id}/resume`)
    await described('DELETE', `/api/v1/event-subscriptions/${subscription.id}`)
  })

  it('is held against answers here, but for these', () => {
    const elsewhere = [
      // Streams and links, or only for the CLI, the first start or the inside of a run: other scenarios use them.
      ...[
        'createDeployment',
        'uploadArtifact',
        'downloadPacket',
        'uploadPacket',
        'getRunPacket',
        'seedPlatform',
        'exportEnvironment',
        'readFile',
      ],
      ...['platformNotifications', 'remoteBuildStatus', 'waitForDuration', 'waitForToken'],
      // A dev session's: engine.test.ts.
      ...['getDevConfig', 'openDevPresence', 'dequeueRuns', 'startDevAttempt', 'completeDevAttempt', 'getLatestSnapshot'],
      ...['heartbeatDevRun', 'sendDebugLog', 'disconnectDevRuns', 'registerWorker', 'getWorker', 'getDevStatus'],
      ...['exportTraces', 'exportLogs', 'exportMetrics'],
      // node-host.test.ts.
      ...['connectNodeHost', 'waitForBuilds', 'downloadBundle', 'indexDeployment', 'failDeployment', 'dequeueForHost'],
      ...[
        'heartbeatNodeHost',
        'heartbeatHostRun',
        'releaseRun',
        'startRunnerAttempt',
        'completeRunnerAttempt',
        'heartbeatRunner',
      ],
      ...['listRunnerSnapshots', 'suspendRunner', 'continueRunner', 'sendRunnerDebugLog'],
      // cli-trust.test.ts.
      'createOrganization',
      // streams.test.ts.
      ...['readRunStream', 'openRunStream', 'writeRunStream', 'getStreamProgress', 'appendToRunStream'],
      // login.test.ts.
      ...['askForLogin', 'exchangeLogin'],
      // cli-mcp.test.ts, realtime.test.ts.
      ...['createEnvironmentToken', 'subscribeToRun', 'subscribeToRuns', 'subscribeToBatch', 'createActorToken', 'renameProject'],
      // Only while one is at work: the bulk scenario does.
      'abortBulkAction',
      // Described by a neighbour that answers the same.
      ...['getPacketUrlV2', 'updateVariableByPost'],
    ]
    const all = Object.values(document.paths).flatMap((methods) => Object.values(methods))
    const left = all.filter((operation) => !operation.responses['501'] && !seen.has(operation.operationId))
    expect(left.map((operation) => operation.operationId).sort()).toEqual(elsewhere.sort())
  })
})
