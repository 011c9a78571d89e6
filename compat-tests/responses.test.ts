/** Every answer the SDK and the CLI read, against the zod schemas they publish: what is null instead of absent fails here. */
import { ApiError, TaskRunContext } from '@trigger.dev/core/v3'
import * as published from '@trigger.dev/core/v3/schemas'
import { runs, tasks, wait } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Answer, endpoints, finished, http, plain, runTask, unique, until, useProject } from './harness.ts'

interface Schema {
  safeParse(value: unknown): { success: boolean; error?: { issues: { path: PropertyKey[]; message: string }[] } }
}

/** Lists come in pages, whose frame the SDK reads by hand. */
const pageOf = (item: Schema): Schema => ({
  safeParse: (body) => {
    const { data, pagination } = body as { data: unknown[]; pagination: Record<string, unknown> }
    const issue = (message: string) => ({ success: false, error: { issues: [{ path: [], message }] } })
    if (!Array.isArray(data) || data.length === 0) return issue('no item to look at')
    if (!pagination || Object.values(pagination).some((value) => value === null)) return issue('pagination holds null')
    return data.map((one) => item.safeParse(one)).find((result) => !result.success) ?? { success: true }
  },
})

const schemas: Record<string, Schema> = {
  triggerTask: published.TriggerTaskResponse,
  batchTriggerV1: published.BatchTriggerTaskV2Response,
  batchTriggerV2: published.BatchTriggerTaskV3Response,
  batchTriggerTask: published.BatchTriggerTaskResponse,
  createBatch: published.CreateBatchResponse,
  addBatchItems: published.StreamBatchItemsResponse,
  retrieveBatchV1: published.RetrieveBatchResponse,
  retrieveBatchV2: published.RetrieveBatchV2Response,
  getBatchResults: published.BatchTaskRunExecutionResult,
  retrieveRun: published.RetrieveRunResponse,
  listRuns: pageOf(published.ListRunResponseItem),
  listProjectRuns: pageOf(published.ListRunResponseItem),
  cancelRun: published.CanceledRunResponse,
  replayRun: published.ReplayRunResponse,
  rescheduleRun: published.RetrieveRunResponse,
  getRunMetadata: published.UpdateMetadataResponseBody,
  updateRunMetadata: published.UpdateMetadataResponseBody,
  getRunResult: published.TaskRunExecutionResult,
  getRunPacket: published.CreateUploadPayloadUrlResponseBody,
  getRunTrace: published.RetrieveRunTraceResponseBody,
  getRunSpan: published.RetrieveSpanDetailResponseBody,
  createWaitpointToken: published.CreateWaitpointTokenResponseBody,
  listWaitpointTokens: pageOf(published.WaitpointTokenItem),
  retrieveWaitpointToken: published.WaitpointRetrieveTokenResponse,
  completeWaitpointToken: published.CompleteWaitpointTokenResponseBody,
  waitpointCallback: published.CompleteWaitpointTokenResponseBody,
  waitForToken: published.WaitForWaitpointTokenResponseBody,
  waitForDuration: published.WaitForDurationResponseBody,
  createPacketUrlV1: published.CreateUploadPayloadUrlResponseBody,
  getPacketUrlV1: published.CreateUploadPayloadUrlResponseBody,
  createPacketUrlV2: published.CreateUploadPayloadUrlResponseBody,
  getPacketUrlV2: published.CreateUploadPayloadUrlResponseBody,
  createBulkAction: published.CreateBulkActionResponseBody,
  retrieveBulkAction: published.BulkActionObject,
  listBulkActions: published.ListBulkActionsResponseBody,
  abortBulkAction: published.AbortBulkActionResponseBody,
  listQueues: pageOf(published.QueueItem),
  retrieveQueue: published.QueueItem,
  pauseQueue: published.QueueItem,
  overrideQueueConcurrency: published.QueueItem,
  resetQueueConcurrency: published.QueueItem,
  listTimezones: published.TimezonesResult,
  resetIdempotencyKey: published.ResetIdempotencyKeyResponse,
  listSchedules: published.ListSchedulesResult,
  createSchedule: published.ScheduleObject,
  retrieveSchedule: published.ScheduleObject,
  updateSchedule: published.ScheduleObject,
  activateSchedule: published.ScheduleObject,
  deactivateSchedule: published.ScheduleObject,
  deleteSchedule: published.DeletedScheduleObject,
  getWorkerVariables: published.GetEnvironmentVariablesResponseBody,
  importVariables: published.EnvironmentVariableResponseBody,
  listVariables: published.EnvironmentVariableWithSecret.array(),
  createVariable: published.EnvironmentVariableResponseBody,
  retrieveVariable: published.EnvironmentVariableWithSecret,
  updateVariable: published.EnvironmentVariableResponseBody,
  updateVariableByPost: published.EnvironmentVariableResponseBody,
  deleteVariable: published.EnvironmentVariableResponseBody,
  createArtifact: published.CreateArtifactResponseBody,
  listDeployments: pageOf(published.ApiDeploymentListResponseItem),
  getCurrentDeployment: published.RetrieveCurrentDeploymentResponseBody,
  getLatestDeployment: published.GetLatestDeploymentResponseBody,
  getDeployment: published.GetDeploymentResponseBody,
  promoteDeployment: published.PromoteDeploymentResponseBody,
  remoteBuildStatus: published.RemoteBuildProviderStatusResponseBody,
  whoami: published.WhoAmIResponseSchema,
  listProjects: published.GetProjectsResponseBody,
  listProjectRuntimes: published.GetProjectRuntimesResponseBody,
  listOrganizations: published.GetOrgsResponseBody,
  createProject: published.GetProjectResponseBody,
  getProject: published.GetProjectResponseBody,
  renameProject: published.GetProjectResponseBody,
  completeProfile: published.CompleteProfileResponseBody,
  upsertBranch: published.UpsertBranchResponseBody,
  listBranches: published.ApiBranchListResponseBody,
  getProjectEnvironment: published.GetProjectEnvResponse,
  getDeploySettings: published.GetDeploySettingsResponseBody,
}

/** Without a published schema, or read by the CLI with one that each deploy of this suite passes. */
/** Routes of trigger.do's own, which no SDK of Trigger.dev knows; openapi.test.ts holds their answers against the document. */
const own = `operate startSentence explainSentence startPlan listTasks waitForRunChange putRunCheckpoint listRunCheckpoints sendEvent
   listEventSubscriptions createEventSubscription deleteEventSubscription pauseEventSubscription resumeEventSubscription
   exportEnvironment importEnvironment listFiles statFile readFile writeFile writeFiles removeFiles`
/** engine.test.ts acts as a dev session and holds its answers against the published schemas. */
const engine = `getDevConfig openDevPresence dequeueRuns startDevAttempt completeDevAttempt getLatestSnapshot heartbeatDevRun
   sendDebugLog disconnectDevRuns registerWorker getWorker getDevStatus exportTraces exportLogs exportMetrics askForLogin exchangeLogin createEnvironmentToken subscribeToRun
   createActorToken createOrganization subscribeToRuns subscribeToBatch`
/** node-host.test.ts: the published controllers read the answers. */
const nodeHost = `connectNodeHost waitForBuilds downloadBundle indexDeployment failDeployment dequeueForHost heartbeatNodeHost
   heartbeatHostRun releaseRun startRunnerAttempt completeRunnerAttempt heartbeatRunner listRunnerSnapshots suspendRunner
   continueRunner sendRunnerDebugLog`
/** streams.test.ts: the SDK reads the answers. */
const runStreams = 'readRunStream openRunStream writeRunStream getStreamProgress appendToRunStream'
const unpublished = new Set(
  `health seedPlatform getTokenClaims createToken createPublicToken addRunTags listRunEvents downloadPacket uploadPacket
   uploadArtifact createDeployment platformNotifications archiveBranch regenerateKey pauseEnvironment
   resumeEnvironment ${engine} ${own} ${nodeHost} ${runStreams}`.split(/\s+/),
)

const pat = { authorization: `Bearer ${endpoints.accessToken}` }
/** As the SDK sends it; without it statuses have names that only SDK 3.3 knows. */
const modern = { 'x-trigger-api-version': '2025-07-16' }
const seen = new Set<string>()
let document: { paths: Record<string, Record<string, { operationId: string; responses?: Record<string, unknown> }>> }

function fits(operation: string, body: unknown): void {
  const result = (schemas[operation] as Schema).safeParse(body)
  const issues = result.error?.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('\n')
  expect(result.success, `${operation}\n${issues}\n${JSON.stringify(body)}`).toBe(true)
  seen.add(operation)
}

async function valid(
  operation: string,
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
  // biome-ignore lint/suspicious/noExplicitAny: bodies of every route
): Promise<any> {
  const answer = await http(method, path, body, { ...modern, ...headers })
  expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBeLessThan(300)
  fits(operation, answer.body)
  return answer.body
}

beforeAll(async () => {
  useProject(plain)
  document = await (await fetch(`${endpoints.apiUrl}/openapi.json`)).json()
})

describe('answers', () => {
  it('of runs in every state', async () => {
    const options = { tags: [unique('schema')], metadata: { a: 1 }, idempotencyKey: unique('key'), ttl: '1h', priority: 5 }
    const { id } = await valid('triggerTask', 'POST', '/api/v1/tasks/add-one/trigger', { payload: { n: 1 }, options })
    await finished(id)
    await valid('triggerTask', 'POST', '/api/v1/tasks/add-one/trigger', { payload: { n: 1 }, options })
    const delayed = (await tasks.trigger('add-one', { n: 1 }, { delay: '1h' })).id
    const unknown = (await tasks.trigger('nobody-has-this', {})).id
    const [failed, timedOut, large, parent, batched, silent] = await Promise.all([
      runTask('fails-custom'),
      runTask('too-long'),
      runTask('big-output', { bytes: 700_000 }),
      runTask('parent'),
      runTask('fire-and-forget'),
      runTask('no-output'),
    ])
    const child = (parent.output as { id: string }).id
    const inBatch = (await runs.list({ batch: (batched.output as { batchId: string }).batchId } as never)).data[0]?.id as string
    for (const one of [
      id,
      delayed,
      unknown,
      failed.id,
      timedOut.id,
      large.id,
      parent.id,
      batched.id,
      silent.id,
      child,
      inBatch,
    ]) {
      await valid('retrieveRun', 'GET', `/api/v3/runs/${one}`)
      await valid('getRunTrace', 'GET', `/api/v1/runs/${one}/trace`)
    }
    for (const one of [id, failed.id, timedOut.id, large.id, silent.id]) {
      await valid('getRunResult', 'GET', `/api/v1/runs/${one}/result`)
    }
    await valid('getRunPacket', 'GET', `/api/v1/runs/${large.id}/packets/output`)
    await valid('rescheduleRun', 'POST', `/api/v1/runs/${delayed}/reschedule`, { delay: '2h' })
    await valid('cancelRun', 'POST', `/api/v2/runs/${delayed}/cancel`)
    await valid('cancelRun', 'POST', `/api/v2/runs/${unknown}/cancel`)
    for (const one of [delayed, unknown]) {
      await valid('retrieveRun', 'GET', `/api/v3/runs/${one}`)
      await valid('getRunResult', 'GET', `/api/v1/runs/${one}/result`)
    }
    await valid('replayRun', 'POST', `/api/v1/runs/${id}/replay`)
    const held = (await tasks.trigger('add-one', { n: 1 }, { delay: '1h' })).id
    await valid('updateRunMetadata', 'PUT', `/api/v1/runs/${held}/metadata`, { metadata: { b: [1] } })
    await valid('getRunMetadata', 'GET', `/api/v1/runs/${held}/metadata`)
    await valid('cancelRun', 'POST', `/api/v2/runs/${held}/cancel`)
    await valid('listRuns', 'GET', '/api/v1/runs?page%5Bsize%5D=100')
    await valid('listProjectRuns', 'GET', `/api/v1/projects/${plain.ref}/runs?filter%5Benv%5D=prod`, undefined, pat)
    const key = unique('reset')
    const keyed = { payload: { n: 1 }, options: { idempotencyKey: key } }
    await finished((await http('POST', '/api/v1/tasks/add-one/trigger', keyed)).body.id)
    const reset = { taskIdentifier: 'add-one' }
    await valid('resetIdempotencyKey', 'POST', `/api/v1/idempotencyKeys/${key}/reset`, reset)
  })

  it('of traces, whole and in pages, with their spans and events', async () => {
    const { id } = await runTask('logs', { word: 'schema' })
    const { events } = await until(async () => {
      const { body } = await http('GET', `/api/v1/runs/${id}/events`)
      return body.events.some((event: { message: string }) => event.message === 'my span') && body
    }, 'the span')
    for (const event of events) {
      expect(event).toMatchObject({
        spanId: expect.any(String),
        runId: id,
        message: expect.any(String),
        events: expect.any(Array),
      })
      expect(event.startTime).toMatch(/^\d{19}$/)
      for (const name of ['isError', 'isPartial', 'isCancelled']) expect(event[name], name).toBeTypeOf('boolean')
      await valid('getRunSpan', 'GET', `/api/v1/runs/${id}/spans/${event.spanId}`)
    }
    let after = ''
    let count = 0
    do {
      const { body } = await http('GET', `/api/v1/runs/${id}/trace?page%5Bsize%5D=3${after && `&page%5Bafter%5D=${after}`}`)
      expect(published.RetrieveRunTracePageResponseBody.safeParse(body).error).toBeUndefined()
      count += body.data.length
      after = body.pagination.next ?? ''
    } while (after)
    expect(count).toBe(events.length)
  })

  it('of batches of three generations', async () => {
    const items = [
      { task: 'add-one', payload: { n: 1 } },
      { task: 'fails', payload: {} },
    ]
    const first = await valid('batchTriggerV1', 'POST', '/api/v1/tasks/batch', { items })
    const second = await valid('batchTriggerV2', 'POST', '/api/v2/tasks/batch', { items })
    await valid('batchTriggerTask', 'POST', '/api/v1/tasks/add-one/batch', { items: [{ payload: { n: 1 } }] })
    const third = await valid('createBatch', 'POST', '/api/v3/batches', { runCount: 2, idempotencyKey: unique('batch') })
    await valid('retrieveBatchV2', 'GET', `/api/v2/batches/${third.id}`)
    const lines = items.map((item, index) => JSON.stringify({ index, ...item })).join('\n')
    await valid('addBatchItems', 'POST', `/api/v3/batches/${third.id}/items`, lines, { 'content-type': 'application/x-ndjson' })
    for (const { id } of [first, second, third]) {
      const done = await until(async () => {
        const { body } = await http('GET', `/api/v1/batches/${id}`)
        return body.status === 'COMPLETED' && (body as { runs: string[] })
      }, 'the batch')
      for (const run of done.runs) await finished(run)
      await valid('retrieveBatchV1', 'GET', `/api/v1/batches/${id}`)
      await valid('retrieveBatchV2', 'GET', `/api/v2/batches/${id}`)
      const results = await valid('getBatchResults', 'GET', `/api/v1/batches/${id}/results`)
      expect(results.items.map((item: { ok: boolean }) => item.ok)).toEqual([true, false])
    }
  })

  it('of wait tokens in every state, outside and inside a run', async () => {
    const create = (body: object): Promise<{ id: string; url: string }> =>
      valid('createWaitpointToken', 'POST', '/api/v1/waitpoints/tokens', body)
    const open = await create({ timeout: '1h', tags: ['schema'], idempotencyKey: unique('token') })
    const short = await create({ timeout: '1s' })
    const called = await create({})
    const path = (id: string): string => `/api/v1/waitpoints/tokens/${id}`
    await valid('retrieveWaitpointToken', 'GET', path(open.id))
    const callback = await fetch(called.url, { method: 'POST', body: '{}' })
    fits('waitpointCallback', await callback.json())
    const run = await runTask('raw-answers', { token: open.id })
    fits('waitForDuration', (run.output as { duration: unknown }).duration)
    fits('waitForToken', (run.output as { token: unknown }).token)
    await valid('completeWaitpointToken', 'POST', `${path(open.id)}/complete`, { data: { deep: [1] } })
    await until(async () => (await wait.retrieveToken(short.id)).status === 'TIMED_OUT', 'the token to time out')
    for (const { id } of [open, short, called]) await valid('retrieveWaitpointToken', 'GET', path(id))
    await valid('listWaitpointTokens', 'GET', '/api/v1/waitpoints/tokens?page%5Bsize%5D=100')
  })

  it('of packets, queues, schedules and variables', async () => {
    const packet = encodeURIComponent(`${unique('packet')}.json`)
    for (const version of ['V1', 'V2']) {
      await valid(`createPacketUrl${version}`, 'PUT', `/api/${version.toLowerCase()}/packets/${packet}`)
      await valid(`getPacketUrl${version}`, 'GET', `/api/${version.toLowerCase()}/packets/${packet}`)
    }
    await valid('listQueues', 'GET', '/api/v1/queues?perPage=100')
    for (const queue of ['narrow?type=custom', 'add-one?type=task']) {
      await valid('retrieveQueue', 'GET', `/api/v1/queues/${queue}`)
    }
    const pausing = { type: 'custom', action: 'pause' }
    await valid('pauseQueue', 'POST', '/api/v1/queues/schema-pause/pause', pausing)
    await valid('retrieveQueue', 'GET', '/api/v1/queues/schema-pause?type=custom')
    await valid('pauseQueue', 'POST', '/api/v1/queues/schema-pause/pause', { ...pausing, action: 'resume' })
    const concurrency = '/api/v1/queues/schema-pause/concurrency'
    await valid('overrideQueueConcurrency', 'POST', `${concurrency}/override`, { type: 'custom', concurrencyLimit: 1 })
    await valid('resetQueueConcurrency', 'POST', `${concurrency}/reset`, { type: 'custom' })
    await valid('listTimezones', 'GET', '/api/v1/timezones')
    const schedules = await valid('listSchedules', 'GET', '/api/v1/schedules')
    const declared = schedules.data.find((schedule: { type: string }) => schedule.type === 'DECLARATIVE')
    await valid('retrieveSchedule', 'GET', `/api/v1/schedules/${declared.id}`)
    const schedule = { task: 'new-year', cron: '0 0 1 1 *', externalId: 'schema', window: '10%' }
    const path = '/api/v1/schedules'
    const { id } = await valid('createSchedule', 'POST', path, { ...schedule, deduplicationKey: unique('schedule') })
    await valid('retrieveSchedule', 'GET', `${path}/${id}`)
    await valid('updateSchedule', 'PUT', `${path}/${id}`, schedule)
    await valid('deactivateSchedule', 'POST', `${path}/${id}/deactivate`)
    await valid('activateSchedule', 'POST', `${path}/${id}/activate`)
    await valid('deleteSchedule', 'DELETE', `${path}/${id}`)
    const variables = `/api/v1/projects/${plain.ref}/envvars`
    await valid('createVariable', 'POST', `${variables}/prod`, { name: 'SCHEMA', value: '1' })
    await valid('updateVariable', 'PUT', `${variables}/prod/SCHEMA`, { value: '2' })
    await valid('updateVariableByPost', 'POST', `${variables}/prod/SCHEMA`, { value: '3' })
    await valid('importVariables', 'POST', `${variables}/prod/import`, { variables: { SCHEMA: '4' }, override: true })
    await valid('retrieveVariable', 'GET', `${variables}/prod/SCHEMA`)
    await valid('listVariables', 'GET', `${variables}/prod`)
    await valid('getWorkerVariables', 'GET', variables)
    await valid('deleteVariable', 'DELETE', `${variables}/prod/SCHEMA`)
  })

  it('of deployments, projects and the account', async () => {
    const list = await valid('listDeployments', 'GET', '/api/v1/deployments')
    const current = await valid('getCurrentDeployment', 'GET', '/api/v1/deployments/current')
    await valid('getLatestDeployment', 'GET', '/api/v1/deployments/latest')
    for (const { id } of list.data.slice(0, 5)) await valid('getDeployment', 'GET', `/api/v1/deployments/${id}`)
    expect(list.data.map((deployment: { version: string }) => deployment.version)).toContain(current.version)
    const runIds = Array.from({ length: 500 }, (_, index) => `run_none_${index}`)
    const bulk = await valid('createBulkAction', 'POST', '/api/v1/bulk-actions', { action: 'cancel', name: 'schema', runIds })
    const aborted = await http('POST', `/api/v1/bulk-actions/${bulk.id}/abort`)
    if (aborted.status === 200) fits('abortBulkAction', aborted.body)
    else expect(aborted).toMatchObject({ status: 409, body: { error: 'Bulk action is already completed' } })
    seen.add('abortBulkAction')
    await valid('retrieveBulkAction', 'GET', `/api/v1/bulk-actions/${bulk.id}`)
    await valid('listBulkActions', 'GET', '/api/v1/bulk-actions?page%5Bsize%5D=2')
    await valid('createArtifact', 'POST', '/api/v1/artifacts', { type: 'deployment_bundle', contentLength: 10 })
    await valid('remoteBuildStatus', 'GET', '/api/v1/remote-build-provider-status')
    await valid('whoami', 'GET', '/api/v2/whoami', undefined, pat)
    await valid('listProjects', 'GET', '/api/v1/projects', undefined, pat)
    await valid('listProjectRuntimes', 'GET', '/api/v1/projects/runtimes', undefined, pat)
    const [organization] = await valid('listOrganizations', 'GET', '/api/v1/orgs', undefined, pat)
    const made = await valid('createProject', 'POST', `/api/v1/orgs/${organization.slug}/projects`, { name: 'Schemas' }, pat)
    const project = `/api/v1/projects/${made.externalRef}`
    await valid('getProject', 'GET', project, undefined, pat)
    await valid('completeProfile', 'POST', '/api/v1/profile/complete', { name: 'Ada' }, pat)
    await valid('renameProject', 'PATCH', project, { name: plain.ref }, pat)
    await valid('upsertBranch', 'POST', `${project}/branches`, { branch: 'schema/one', env: 'preview' }, pat)
    await valid('listBranches', 'GET', `${project}/branches`, undefined, pat)
    for (const name of ['dev', 'staging', 'prod', 'preview']) {
      await valid('getProjectEnvironment', 'GET', `${project}/${name}`, undefined, pat)
    }
    await valid('getDeploySettings', 'GET', `/api/v1/projects/${plain.ref}/prod/deploy-settings`)
    const again = await http('POST', `/api/v1/deployments/${current.version}/promote`)
    if (again.status === 200) fits('promoteDeployment', again.body)
    else expect(again).toMatchObject({ status: 400, body: { error: expect.stringContaining('current') } })
    seen.add('promoteDeployment')
  })

  it('cover every route that has a schema', () => {
    const served = Object.values(document.paths).flatMap((methods) => Object.values(methods))
    const names = served.filter(({ responses }) => !responses?.['501']).map(({ operationId }) => operationId)
    expect(names.filter((name) => !(name in schemas) && !unpublished.has(name))).toEqual([])
    expect(Object.keys(schemas).filter((name) => !seen.has(name))).toEqual([])
  })
})

describe('errors', () => {
  const json = { 'content-type': 'application/json' }
  it.each<[number, string, string, unknown, Record<string, string>]>([
    [400, 'POST', '/api/v1/tasks/add-one/trigger', '{broken', json],
    [400, 'POST', '/api/v1/tasks/add-one/trigger', { options: { maxAttempts: 'x' } }, json],
    [400, 'POST', '/api/v3/batches', { runCount: 0 }, json],
    [401, 'GET', '/api/v1/runs', undefined, { authorization: 'Bearer tr_prod_wrong' }],
    [401, 'GET', '/api/v2/whoami', undefined, {}],
    [404, 'GET', '/api/v3/runs/run_unknown', undefined, {}],
    [404, 'GET', '/api/v1/schedules/sched_unknown', undefined, {}],
    [404, 'GET', '/api/v1/batches/batch_unknown', undefined, {}],
    [404, 'GET', '/api/v1/waitpoints/tokens/waitpoint_unknown', undefined, {}],
    [404, 'GET', '/api/v1/deployments/deployment_unknown', undefined, {}],
    [404, 'GET', '/api/v1/queues/unknown-queue?type=custom', undefined, {}],
    [415, 'POST', '/api/v3/batches/batch_unknown/items', '{}', json],
    [422, 'POST', '/api/v1/tasks/add-one/trigger', { options: { tags: Array.from({ length: 11 }, (_, i) => `t${i}`) } }, json],
    [422, 'POST', '/api/v1/schedules', { task: 'x', cron: '* * * * *', deduplicationKey: 'x' }, json],
    [501, 'POST', '/api/v1/sessions', {}, json],
  ])('%i of %s %s are JSON with a sentence the SDK shows', async (status, method, path, body, headers) => {
    const answer: Answer = await http(method, path, body, headers)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toContain('application/json')
    expect(answer.body.error).toBeTypeOf('string')
    expect(answer.body.error.length).toBeGreaterThan(5)
    const error = ApiError.generate(status, answer.body, undefined, Object.fromEntries(answer.headers))
    expect(error.message).toContain(answer.body.error)
    expect(JSON.stringify(answer.body)).not.toMatch(/\.ts:\d|at \w+ \(/)
  })
})

describe('the context of a run', () => {
  const parse = (run: { output?: unknown }) => {
    const result = TaskRunContext.safeParse(run.output)
    expect(result.error, JSON.stringify(run.output)).toBeUndefined()
    return result.data as NonNullable<typeof result.data>
  }

  it('has every field', async () => {
    const options = { tags: ['b', 'a'], idempotencyKey: unique('ctx'), priority: 3, maxDuration: 90 }
    const run = await runTask('prints-context', {}, options)
    const ctx = parse(run)
    expect(ctx).toMatchObject({
      attempt: { number: 1, startedAt: expect.any(Date) },
      task: { id: 'prints-context', filePath: 'src/trigger/acceptance.ts' },
      run: {
        id: run.id,
        tags: ['b', 'a'],
        isTest: false,
        isReplay: false,
        createdAt: run.createdAt,
        maxAttempts: 4,
        maxDuration: 90,
        priority: 3,
        version: run.version,
        idempotencyKey: options.idempotencyKey,
      },
      queue: { id: expect.stringMatching(/^queue_/), name: 'task/prints-context' },
      environment: { id: expect.any(String), slug: 'prod', type: 'PRODUCTION' },
      project: { ref: plain.ref, id: expect.any(String), slug: expect.any(String), name: expect.any(String) },
      organization: { id: expect.any(String), slug: expect.any(String), name: expect.any(String) },
      machine: { name: 'small-1x', cpu: 0.5, memory: 0.5, centsPerMs: expect.any(Number) },
      deployment: {
        id: expect.any(String),
        shortCode: expect.any(String),
        version: run.version,
        runtime: expect.stringMatching(/^node/),
      },
    })
    expect(ctx.run.startedAt.getTime()).toBeGreaterThanOrEqual(ctx.run.createdAt.getTime())
    expect(ctx.batch).toBeUndefined()
  })

  it('says where a run comes from', async () => {
    const first = await runTask('prints-context')
    const replay = await finished((await runs.replay(first.id)).id)
    expect(parse(replay).run).toMatchObject({ id: replay.id, isReplay: true })
    const batch = await tasks.batchTrigger('prints-context', [{ payload: {} }])
    const inBatch = await until(async () => (await runs.list({ batch: batch.batchId } as never)).data[0], 'the run of the batch')
    expect(parse(await finished(inBatch.id)).batch).toEqual({ id: batch.batchId })
    const test = await http('POST', '/api/v1/tasks/prints-context/trigger', { payload: {}, options: { test: true } })
    expect(parse(await finished(test.body.id)).run.isTest).toBe(true)
    const parent = await runTask('context-of-child')
    const { id, ctx } = parent.output as { id: string; ctx: unknown }
    expect(parse({ output: ctx }).run).toMatchObject({ id, parentTaskRunId: parent.id, rootTaskRunId: parent.id })
  })
})
