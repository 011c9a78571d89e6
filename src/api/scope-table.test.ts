/** The table of scopes against the routes: each walks the other. compat-tests/scopes.test.ts does so with the running Worker. */
import { describe, expect, it } from 'vitest'
import { signPublicToken } from '../auth/jwt.ts'
import { mayDo, parentRule, type Resource, scopeTable } from '../auth/scope-table.ts'
import { mintId } from '../contracts/ids.ts'
import { createApp, documentInfo } from './app.ts'
import { fakeEnv, runDetail } from './testing.ts'

interface Operation {
  operationId: string
  security: unknown[]
  responses: Record<string, unknown>
  requestBody?: unknown
  'x-scopes'?: string[]
}

const app = createApp()
const { paths } = app.getOpenAPI31Document(documentInfo) as unknown as { paths: Record<string, Record<string, Operation>> }
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods)
    .filter(([, { security, responses }]) => security.length > 0 && !responses['501'])
    .map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })),
)
const named = Object.keys(scopeTable)

const locator = 'scopes'
const runId = mintId('run', locator)
const batchId = mintId('batch', locator)
const missing = async () => ({ ok: false, error: { code: 'NOT_FOUND', message: 'Not found', status: 404 } })
/** What handlers look at before they know the resource; what comes after finds nothing, which is not a refusal. */
const { env, access } = await fakeEnv({
  locator,
  task: {
    currentDeployment: async () => null,
    getDeployment: async () => null,
    listDeployments: async () => ({ deployments: [] }),
  },
  environment: {
    ...Object.fromEntries(['trigger', 'createBatch', 'addBatchItems', 'cancelRun', 'listRuns'].map((name) => [name, missing])),
    ...Object.fromEntries(['getTrace', 'getQueue', 'completeToken', 'resetIdempotencyKey'].map((name) => [name, missing])),
    getRun: async () => ({ ok: true, value: runDetail(runId) }),
    getBatch: async () => ({ ok: true, value: { id: batchId, status: 'PENDING', runCount: 1, runs: [], errors: [] } }),
    currentTasks: async () => ({ ok: true, value: { version: '20261124.1', tasks: [{ id: 'hello' }] } }),
    packetOwners: async () => ({ ok: true, value: [runId] }),
  },
})
const bodies: Record<string, string> = {
  batchTriggerV1: '{"items":[{"task":"hello"}]}',
  batchTriggerV2: '{"items":[{"task":"hello"}]}',
  createBatch: '{"runCount":1,"taskIdentifiers":["hello"]}',
  startSentence: '{"strings":["run hello"],"values":[]}',
  startPlan: '{"plan":{"$task":{"id":"hello","payload":{}}}}',
  addBatchItems: '{"index":0,"task":"hello"}\n',
}

async function statusWith(scopes: string[], { path, method, operationId }: (typeof operations)[number]): Promise<number> {
  const token = await signPublicToken(access.apiKey, { sub: access.identity.id, pub: true, scopes }, 60, Date.now())
  const values: Record<string, string> = {
    runId,
    batchId,
    taskId: 'hello',
    field: 'payload',
    env: 'prod',
    path: `${runId}/payload.json`,
  }
  const url = path.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? 'x')
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' }
  const body = method === 'GET' ? {} : { body: bodies[operationId] ?? '{}' }
  return (await app.request(url, { method, headers, ...body }, env)).status
}

describe('the table of scopes', () => {
  it('names served operations only, and the document names its scopes', () => {
    expect(named.filter((id) => !operations.some(({ operationId }) => operationId === id))).toEqual([])
    const described = operations.filter((operation) => operation['x-scopes'])
    expect(described.map(({ operationId }) => operationId).sort()).toEqual([...named].sort())
    for (const operation of described) expect(operation['x-scopes']).toEqual(scopeTable[operation.operationId])
  })

  it.each(operations.filter(({ operationId }) => !named.includes(operationId)))(
    '$operationId is not in it: no public token gets in',
    async (operation) => {
      expect(await statusWith(['admin'], operation)).toBe(401)
    },
  )

  it.each(operations.filter(({ operationId }) => named.includes(operationId)))(
    '$operationId is in it: a token gets in with one of its scopes, and with nothing else',
    async (operation) => {
      const rule = scopeTable[operation.operationId] ?? []
      for (const scopes of [[], ['read:nothing', 'write:nothing'], ['read:runs:run_other', 'write:runs:run_other']])
        expect(await statusWith(scopes, operation), String(scopes)).toBe(403)
      for (const template of rule) {
        const [action, type] = template.split(':')
        // For the whole type, so that it does not matter whether this run has a batch.
        if (type === 'batch' && rule.includes('read:runs:{run}')) continue
        expect([401, 403], template).not.toContain(await statusWith([`${action}:${type}`], operation))
      }
      expect([401, 403]).not.toContain(await statusWith(['admin'], operation))
    },
  )
})

describe('a rule', () => {
  const may = (scope: string, rule: string[], resource: Resource): boolean => mayDo([scope], rule, resource)

  it('fits what the request is about, and the whole type', () => {
    expect(may('read:runs:r1', ['read:runs:{run}'], { run: 'r1' })).toBe(true)
    expect(may('read:runs', ['read:runs:{run}'], { run: 'r1' })).toBe(true)
    expect(may('read:runs:r2', ['read:runs:{run}'], { run: 'r1' })).toBe(false)
    expect(may('read:tags:a:b', ['read:tags:{tag}'], { tag: ['x', 'a:b'] })).toBe(true)
  })

  it('fits the whole type only when nothing is said', () => {
    expect(may('read:tasks', ['read:tasks:{task}'], {})).toBe(true)
    expect(may('read:tasks:a', ['read:tasks:{task}'], {})).toBe(false)
  })

  it('fits nothing of an empty list, and no rule fits nobody', () => {
    expect(may('read:batch', ['read:batch:{batch}'], { batch: [] })).toBe(false)
    expect(mayDo(['admin'], undefined, {})).toBe(false)
    expect(mayDo(undefined, undefined, {})).toBe(true)
  })

  it('of the parent asks for the right to write that run', () => {
    expect(may('write:runs:p', [...parentRule], { run: 'p' })).toBe(true)
    expect(may('write:runs:q', [...parentRule], { run: 'p' })).toBe(false)
  })
})
