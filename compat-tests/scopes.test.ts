/** Which public tokens open which route: every served route is named here, and every token that does not fit is refused. */
import { auth, batch, idempotencyKeys, runs, tasks, wait } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Answer, endpoints, finished, http, plain, useProject } from './harness.ts'

const task = 'add-one'
let ids: { run: string; batch: string; openBatch: string; token: string; tag: string; key: string }
/** Of another environment of the same project. */
let foreign: string

type Scopes = string[]
const readsRun = (): Scopes => [
  'read:runs',
  `read:runs:${ids.run}`,
  `read:tasks:${task}`,
  `read:tags:${ids.tag}`,
  `read:batch:${ids.batch}`,
  'read:all',
  'admin',
]

interface Rule {
  body?: unknown
  /** Path with real ids instead of the document's parameters. */
  path?: () => string
  /** Each of these alone is enough; none: no public token at all. */
  scopes?: () => Scopes
  raw?: string
}

/** By operation id. */
const rules: Record<string, Rule> = {
  triggerTask: {
    path: () => `/api/v1/tasks/${task}/trigger`,
    body: { payload: { n: 1 } },
    scopes: () => [`trigger:tasks:${task}`, 'trigger:tasks', `write:tasks:${task}`, 'write:tasks', 'admin'],
  },
  batchTriggerV1: {
    body: { items: [{ task, payload: { n: 1 } }] },
    scopes: () => [`batchTrigger:tasks:${task}`, 'batchTrigger:tasks', `write:tasks:${task}`, 'admin'],
  },
  batchTriggerV2: {
    body: { items: [{ task, payload: { n: 1 } }] },
    scopes: () => [`batchTrigger:tasks:${task}`, 'batchTrigger:tasks', `write:tasks:${task}`, 'admin'],
  },
  createBatch: {
    body: { runCount: 1, taskIdentifiers: [task] },
    scopes: () => [`batchTrigger:tasks:${task}`, 'batchTrigger:tasks', 'batchTrigger:batch', 'write:batch', 'admin'],
  },
  addBatchItems: {
    path: () => `/api/v3/batches/${ids.openBatch}/items`,
    raw: `{"index":0,"task":"${task}","payload":"{\\"n\\":1}"}\n`,
    scopes: () => [`write:batch:${ids.openBatch}`, `batchTrigger:tasks:${task}`, 'admin'],
  },
  retrieveBatchV1: {
    path: () => `/api/v1/batches/${ids.batch}`,
    scopes: () => [`read:batch:${ids.batch}`, 'read:batch', 'read:runs'],
  },
  retrieveBatchV2: {
    path: () => `/api/v2/batches/${ids.batch}`,
    scopes: () => [`read:batch:${ids.batch}`, 'read:batch', 'read:runs'],
  },
  listRuns: {
    path: () => `/api/v1/runs?filter%5BtaskIdentifier%5D=${task}`,
    scopes: () => ['read:runs', 'read:tasks', `read:tasks:${task}`, 'admin'],
  },
  retrieveRun: { path: () => `/api/v3/runs/${ids.run}`, scopes: readsRun },
  subscribeToRun: { path: () => `/realtime/v1/runs/${ids.run}?offset=-1`, scopes: readsRun },
  subscribeToRuns: {
    path: () => `/realtime/v1/runs?tags=${ids.tag}&offset=-1`,
    scopes: () => ['read:runs', `read:tags:${ids.tag}`, 'read:tags', 'admin'],
  },
  subscribeToBatch: {
    path: () => `/realtime/v1/batches/${ids.batch}?offset=-1`,
    scopes: () => [`read:batch:${ids.batch}`, 'read:batch', 'read:runs'],
  },
  // Of a run that has ended: the stream does, too.
  readRunStream: { path: () => `/realtime/v1/streams/${ids.run}/none`, scopes: readsRun },
  waitForRunChange: { path: () => `/api/v1/runs/${ids.run}/changes`, scopes: readsRun },
  startSentence: {
    body: { strings: ['add one with n ', ''], values: [1] },
    scopes: () => [`trigger:tasks:${task}`, 'trigger:tasks', `write:tasks:${task}`, 'write:tasks', 'admin'],
  },
  startPlan: {
    body: { plan: { $task: { id: task, payload: { n: 1 } } } },
    scopes: () => [`trigger:tasks:${task}`, 'trigger:tasks', `write:tasks:${task}`, 'write:tasks', 'admin'],
  },
  explainSentence: { body: { strings: ['add one'], values: [] }, scopes: () => ['read:tasks', 'read:all', 'admin'] },
  listTasks: { scopes: () => ['read:tasks', 'read:all', 'admin'] },
  getRunPacket: { path: () => `/api/v1/runs/${ids.run}/packets/payload`, scopes: readsRun },
  getRunTrace: { path: () => `/api/v1/runs/${ids.run}/trace`, scopes: readsRun },
  listRunEvents: { path: () => `/api/v1/runs/${ids.run}/events`, scopes: readsRun },
  getRunSpan: { path: () => `/api/v1/runs/${ids.run}/spans/0000000000000000`, scopes: readsRun },
  getPacketUrlV1: { path: () => `/api/v1/packets/${ids.run}/1/output.json`, scopes: readsRun },
  getPacketUrlV2: { path: () => `/api/v2/packets/${ids.run}/1/output.json`, scopes: readsRun },
  replayRun: {
    path: () => `/api/v1/runs/${ids.run}/replay`,
    scopes: () => [`trigger:tasks:${task}`, 'trigger:tasks', `write:tasks:${task}`, 'write:tasks', 'admin'],
  },
  cancelRun: {
    path: () => `/api/v2/runs/${ids.run}/cancel`,
    scopes: () => [`write:runs:${ids.run}`, 'write:runs', `write:tasks:${task}`, 'write:all', 'admin'],
  },
  completeWaitpointToken: {
    path: () => `/api/v1/waitpoints/tokens/${ids.token}/complete`,
    body: { data: 1 },
    scopes: () => [`write:waitpoints:${ids.token}`, 'write:waitpoints', 'admin'],
  },
  resetIdempotencyKey: {
    path: () => `/api/v1/idempotencyKeys/${ids.key}/reset`,
    body: { taskIdentifier: task },
    scopes: () => ['write:runs', 'admin'],
  },
  retrieveQueue: { path: () => `/api/v1/queues/${task}?type=task`, scopes: () => ['read:queues', 'admin'] },
  listDeployments: { scopes: () => ['read:deployments', 'admin'] },
  getCurrentDeployment: { scopes: () => ['read:deployments', 'admin'] },
  getLatestDeployment: { scopes: () => ['read:deployments', 'admin'] },
  getDeployment: { path: () => '/api/v1/deployments/deployment_x', scopes: () => ['read:deployments', 'admin'] },
}

/** Tokens of every kind that must open only what names them. */
const strangers = [
  'read:runs:run_other',
  'write:runs:run_other',
  'read:tasks:other',
  'read:tags:other',
  'read:batch:batch_other',
  'write:batch:batch_other',
  'trigger:tasks:other',
  'batchTrigger:tasks:other',
  'write:tasks:other',
  'write:waitpoints:waitpoint_other',
  'read:waitpoints',
  'read:envvars',
  'admin:runs',
  'runs',
  '',
]
/** Whole types; each opens what its rule says and nothing else. */
const wide = [
  'read:runs',
  'write:runs',
  'read:tasks',
  'write:tasks',
  'trigger:tasks',
  'batchTrigger:tasks',
  'read:batch',
  'write:batch',
  'read:queues',
  'read:deployments',
  'write:waitpoints',
]

interface Operation {
  id: string
  method: string
  path: string
}
let operations: Operation[]

async function tokenFor(scopes: string[]): Promise<string> {
  const answer = await http('POST', '/api/v1/auth/jwt', { claims: { scopes }, expirationTime: '10m' })
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body.token
}

function call(operation: Operation, token: string): Promise<Answer> {
  const rule = rules[operation.id] ?? {}
  const path = rule.path?.() ?? operation.path.replace(/\{(\w+)\}/g, (_, name) => (name === 'env' ? 'prod' : 'x'))
  const body = rule.raw ?? rule.body ?? (['POST', 'PUT', 'PATCH'].includes(operation.method) ? {} : undefined)
  return http(operation.method, path, body, {
    authorization: `Bearer ${token}`,
    ...(rule.raw ? { 'content-type': 'application/x-ndjson' } : {}),
  })
}

const isRefused = ({ status }: Answer): boolean => status === 401 || status === 403
/** For what a token may not, by scope: both on routes no token opens. */
const show = (operation: Operation, scope: string, { status, body }: Answer): string =>
  `${operation.method} ${operation.path} with '${scope}': ${status} ${JSON.stringify(body).slice(0, 120)}`

beforeAll(async () => {
  useProject(plain)
  const document = (await http('GET', '/openapi.json')).body as {
    paths: Record<string, Record<string, { operationId: string; security?: unknown[]; responses: Record<string, unknown> }>>
  }
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, operation]) => operation.security?.length !== 0 && !operation.responses['501'])
      .map(([method, operation]) => ({ id: operation.operationId, method: method.toUpperCase(), path })),
  )
  const tag = `scopes-${Date.now()}`
  const key = await idempotencyKeys.create(`scopes-${Date.now()}`, { scope: 'global' })
  const handle = await batch.trigger([{ id: task, payload: { n: 1 }, options: { tags: [tag], idempotencyKey: key } }])
  const listed = await http('GET', `/api/v1/batches/${handle.batchId}`)
  const run = listed.body.runs[0] as string
  await finished(run)
  const open = await http('POST', '/api/v3/batches', { runCount: 2, taskIdentifiers: [task] })
  ids = {
    run,
    batch: handle.batchId,
    openBatch: open.body.id,
    token: (await wait.createToken({ timeout: '1h' })).id,
    tag,
    key: String(key),
  }
  const project = await fetch(`${endpoints.apiUrl}/api/v1/projects/${plain.ref}/staging`, {
    headers: { authorization: `Bearer ${endpoints.accessToken}` },
  })
  foreign = ((await project.json()) as { apiKey: string }).apiKey
})

describe('public tokens', () => {
  it('every rule is of a served route', () => {
    const served = new Set(operations.map(({ id }) => id))
    expect(Object.keys(rules).filter((id) => !served.has(id))).toEqual([])
  })

  it('open what their scope names', async () => {
    const problems: string[] = []
    for (const operation of operations)
      for (const scope of rules[operation.id]?.scopes?.() ?? []) {
        const answer = await call(operation, await tokenFor([scope]))
        if (isRefused(answer) || answer.status >= 500) problems.push(show(operation, scope, answer))
      }
    expect(problems).toEqual([])
  })

  it('open nothing else', async () => {
    const problems: string[] = []
    const tokens = new Map<string, string>()
    for (const scope of [...strangers, ...wide, 'admin']) tokens.set(scope, await tokenFor([scope]))
    for (const operation of operations) {
      const rule = rules[operation.id]
      const opening = new Set(rule?.scopes?.() ?? [])
      for (const [scope, token] of tokens) {
        const opensMore = wideFor(operation.id).includes(scope)
        if (opening.has(scope) || opensMore) continue
        const answer = await call(operation, token)
        if (!isRefused(answer)) problems.push(show(operation, scope, answer))
      }
    }
    expect(problems).toEqual([])
  })

  it('of another environment, altered or expired open nothing', async () => {
    const mine = await tokenFor([`read:runs:${ids.run}`])
    const [head = '', claims = '', signature = ''] = mine.split('.')
    const other = JSON.parse(atob(claims.replace(/-/g, '+').replace(/_/g, '/')))
    const wider = btoa(JSON.stringify({ ...other, scopes: ['admin'] }))
      .replace(/\+/g, '-')
      .replace(/\//g, '_')
      .replace(/=+$/, '')
    const foreignToken = (
      await http('POST', '/api/v1/auth/jwt', { claims: { scopes: ['admin'] } }, { authorization: `Bearer ${foreign}` })
    ).body.token as string
    const unsigned = `${btoa('{"alg":"none"}').replace(/=+$/, '')}.${wider}.`
    const path = `/api/v3/runs/${ids.run}`
    const statusOf = async (token: string): Promise<number> =>
      (await http('GET', path, undefined, { authorization: `Bearer ${token}` })).status
    expect(await statusOf(mine)).toBe(200)
    expect(await statusOf(foreignToken)).toBe(404)
    for (const token of [`${head}.${wider}.${signature}`, unsigned, `${head}.${claims}.`, `${mine}x`])
      expect(await statusOf(token), token).toBe(401)
    const short = await auth.createPublicToken({ scopes: { read: { runs: true } }, expirationTime: '1s' })
    await new Promise((resolve) => setTimeout(resolve, 2_100))
    expect(await statusOf(short)).toBe(401)
  })

  it('reach a large payload only with the right to read its run', async () => {
    const handle = await tasks.trigger(task, { n: 1, filler: 'x'.repeat(200_000) })
    const other = await tasks.trigger(task, { n: 1 })
    const run = await http('GET', `/api/v3/runs/${handle.id}`)
    const path = /packets\/signed\/packets\/[^/]+\/[^/]+\/([^?]+)/.exec(
      decodeURIComponent(run.body.payloadPresignedUrl),
    )?.[1] as string
    const statusWith = async (scope: string): Promise<number> =>
      (
        await http('GET', `/api/v1/packets/${encodeURIComponent(path)}`, undefined, {
          authorization: `Bearer ${await tokenFor([scope])}`,
        })
      ).status
    expect(path).toBeTruthy()
    expect(await statusWith(`read:runs:${handle.id}`)).toBe(200)
    expect(await statusWith(`read:tasks:${task}`)).toBe(200)
    // The replay has the same packet, whose name is that of the first run.
    expect(await statusWith(`read:runs:${(await runs.replay(handle.id)).id}`)).toBe(200)
    expect(await statusWith(`read:runs:${other.id}`)).toBe(403)
    expect(await statusWith('read:tasks:other')).toBe(403)
    expect(await statusWith('write:runs')).toBe(403)
  })
})

/** Whole types that open a route beside those its rule tries. */
function wideFor(id: string): string[] {
  const more: Record<string, string[]> = {
    batchTriggerV1: ['write:tasks'],
    batchTriggerV2: ['write:tasks'],
    createBatch: ['write:tasks'],
    addBatchItems: ['write:batch', 'batchTrigger:tasks', 'write:tasks'],
    cancelRun: ['write:tasks'],
    retrieveBatchV1: ['admin'],
    retrieveBatchV2: ['admin'],
    subscribeToBatch: ['admin'],
  }
  return [
    ...(more[id] ?? []),
    // A whole type reads every run of that type.
    ...(rules[id]?.scopes === readsRun ? ['read:tasks', 'read:batch'] : []),
  ]
}
