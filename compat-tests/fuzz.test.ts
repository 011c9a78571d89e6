/**
 * Every route of the served OpenAPI document with requests made from its own schemas, right and wrong ones. Whatever comes is
 * answered soon, with JSON, without an internal error; what is refused changes nothing. `FUZZ_SEED` and `FUZZ_RUNS` ask for others.
 */
import { Agent, request } from 'node:http'
import { batch, runs, tasks, wait } from '@trigger.dev/sdk'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { Project } from './cli.ts'
import { cron, date, duration, fromSchema, type Known, mutated, type Schema, zone } from './from-schema.ts'
import { deployFixture, type PlatformProcess, startPlatform, unique, useEnvironment } from './harness.ts'

/** They would replace the key of the other scenarios or hold back their runs; and questions that are held open for long. */
const left = ['regenerateKey', 'pauseEnvironment', 'waitForBuilds', 'dequeueForHost', 'readRunStream']

interface Operation {
  operationId: string
  parameters?: { name: string; in: string; schema: Schema }[]
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, unknown>
}
interface Route {
  method: string
  path: string
  operation: Operation
}
interface Call {
  path: string
  body?: string
  headers: Record<string, string>
  /** Parsed again from `body`, when that is JSON. */
  json?: unknown
}
interface Answer {
  status: number
  text: string
  ms: number
}

const seed = Number(process.env.FUZZ_SEED ?? 20_261_124)
const numRuns = Number(process.env.FUZZ_RUNS ?? 12)
const slowMs = 10_000

let platform: PlatformProcess
let project: Project
let document: { paths: Record<string, Record<string, Operation>>; components: { schemas: Record<string, Schema> } }
let known: Known
const agent = new Agent({ keepAlive: true, maxSockets: 8 })

beforeAll(async () => {
  platform = await startPlatform()
  project = await deployFixture(platform, 'plain')
  useEnvironment(platform)
  document = await (await fetch(`${platform.endpoints.apiUrl}/openapi.json`)).json()
  known = await seedEnvironment()
}, 180_000)

afterAll(async () => {
  agent.destroy()
  await platform?.stop()
})

/** Something of each kind to hit, and the names by which a request refers to it. */
async function seedEnvironment(): Promise<Known> {
  const done = await tasks.trigger('echo', { n: 1 }, { tags: ['one'], idempotencyKey: unique('key') })
  await runs.poll(done.id, { pollIntervalMs: 200 })
  const delayed = await tasks.trigger('echo', {}, { delay: '10d', tags: ['two'] })
  const made = await batch.trigger([{ id: 'echo', payload: 1 }])
  const token = await wait.createToken({ timeout: '10d', tags: ['three'] })
  const get = async (path: string): Promise<unknown> => JSON.parse((await send('GET', { path, headers: {} })).text)
  const current = (await get('/api/v1/deployments/current')) as { id: string; version: string }
  const queue = (await get('/api/v1/queues?page=1')) as { data?: { id: string }[] }
  await send('POST', { path: `/api/v1/projects/${project.ref}/envvars/prod`, body: '{"name":"FUZZ","value":"1"}', headers: {} })
  const nowhere = `run_${'0'.repeat(26)}`
  return {
    runId: [done.id, delayed.id, delayed.id, nowhere],
    parentRunId: [done.id, nowhere],
    taskId: ['echo', 'nobody'],
    task: ['echo', 'nobody'],
    taskIdentifier: ['echo', 'nobody'],
    batchId: [made.batchId],
    id: [token.id, delayed.id, done.id],
    deploymentId: [current.id],
    version: [current.version],
    lockToVersion: [current.version],
    queue: [queue.data?.[0]?.id ?? 'x', 'task/echo'],
    ref: [project.ref],
    projectRef: [project.ref],
    env: ['prod', 'dev', 'preview', 'staging'],
    name: ['FUZZ', 'FUZZ_OTHER'],
    'filter[env]': ['prod', 'staging'],
    'filter[status]': ['COMPLETED', 'DELAYED,QUEUED', 'WAITING', 'x'],
    'filter[batch]': [made.batchId],
    'page[after]': [done.id, token.id],
    'page[before]': [done.id, token.id],
    pattern: ['a'],
    email: ['someone@example.com'],
  }
}

/** Not `fetch`, which would tidy the path. */
function send(method: string, call: Call): Promise<Answer> {
  const { hostname, port } = new URL(platform.endpoints.apiUrl)
  // Node frames the body of a DELETE only when told its length.
  const length = call.body === undefined ? {} : { 'content-length': Buffer.byteLength(call.body) }
  const headers = { authorization: `Bearer ${project.secretKey}`, ...call.headers, ...length }
  const start = Date.now()
  return new Promise((done, fail) => {
    const out = request({ hostname, port, method, path: call.path, headers, agent, timeout: slowMs })
    out.once('error', fail)
    out.once('timeout', () => out.destroy(new Error(`${method} ${call.path} gave no answer in ${slowMs / 1000} s`)))
    out.once('response', (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.once('error', fail)
      answer.once('end', () =>
        done({ status: answer.statusCode as number, text: Buffer.concat(parts).toString(), ms: Date.now() - start }),
      )
    })
    out.end(call.body)
  })
}

const resolve = (ref: string): Schema => document.components.schemas[ref.slice(ref.lastIndexOf('/') + 1)] as Schema

function routes(): Route[] {
  return (
    Object.entries(document.paths)
      .flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
      )
      // They would end the key this test calls with, and keep its runs from starting.
      .filter(({ operation }) => !left.includes(operation.operationId ?? ''))
  )
}

const oddSegment = fc.constantFrom(
  '%E0%A4',
  '%',
  '%00',
  '..%2F..',
  '.',
  'x'.repeat(3_000),
  '%F0%9F%92%A9',
  '__proto__',
  'run_',
  '%20',
)
const headerText = fc.string({ unit: fc.constantFrom(...'abc019 -_./;=,"%'), maxLength: 30 })

function headersOf(): fc.Arbitrary<Record<string, string>> {
  const one = fc.record(
    {
      'x-trigger-api-version': fc.constantFrom('2025-07-16', '1'),
      'idempotency-key': fc.oneof(headerText, fc.constant('k'.repeat(3_000))),
      'idempotency-key-ttl': duration.map(ascii),
      'x-trigger-branch': fc.oneof(headerText, fc.constantFrom('main', '../x')),
      'trigger-version': headerText,
      traceparent: fc.oneof(headerText, fc.constant(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`)),
      'x-trigger-client': headerText,
      'content-type': fc.constantFrom(
        'application/json',
        'application/x-ndjson',
        'text/plain',
        'multipart/form-data',
        'a/b; charset=x',
      ),
    },
    { requiredKeys: [] },
  )
  return one as fc.Arbitrary<Record<string, string>>
}
function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '')
}

function callOf({ path, operation, method }: Route): fc.Arbitrary<Call> {
  const parameters = operation.parameters ?? []
  const inPath = parameters.filter((one) => one.in === 'path')
  const inQuery = parameters.filter((one) => one.in === 'query')
  const segment = (name: string, schema: Schema): fc.Arbitrary<string> =>
    fc.oneof(
      {
        arbitrary: fromSchema(schema, name, known, resolve).map((value) => encodeURIComponent(wellFormed(String(value)))),
        weight: 8,
      },
      oddSegment,
    )
  const segments = fc.record(Object.fromEntries(inPath.map((one) => [one.name, segment(one.name, one.schema)])))
  const query = fc.record(
    Object.fromEntries(
      inQuery.map((one) => [
        one.name,
        fc.oneof({ arbitrary: fromSchema(one.schema, one.name, known, resolve), weight: 3 }, duration, cron, zone, date),
      ]),
    ),
    { requiredKeys: [] },
  )
  const schema = operation.requestBody?.content['application/json']?.schema
  const valid = schema ? fromSchema(schema, '', known, resolve) : fc.jsonValue({ maxDepth: 2 })
  const text = fc.oneof(
    { arbitrary: valid.map((value) => JSON.stringify(value)), weight: 5 },
    { arbitrary: mutated(valid).map((value) => JSON.stringify(value)), weight: 5 },
    fc.tuple(valid, fc.nat(60)).map(([value, cut]) => (JSON.stringify(value) ?? '').slice(0, cut)),
  )
  const body = method === 'GET' ? fc.constant(undefined) : text
  const user = /^\/api\/(v1\/(projects|orgs)|v2\/whoami)/.test(path)
  return fc.record({ segments, query, body, headers: headersOf(), odd: fc.nat(15) }).map((parts) => {
    const filled = path.replace(/\{(\w+)\}/g, (_, name) => parts.segments[name] as string)
    const pairs = Object.entries(parts.query).map(
      ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(wellFormed(String(value)))}`,
    )
    if (parts.odd === 0) pairs.push('%E0%A4=%E0%A4&&=')
    const credential = parts.odd === 1 ? 'ey.bad.token' : parts.odd === 2 || user ? platform.endpoints.accessToken : undefined
    const headers = { ...parts.headers, ...(credential ? { authorization: `Bearer ${credential}` } : {}) }
    let json: unknown
    try {
      json = JSON.parse(parts.body ?? '')
    } catch {}
    return {
      // Longer ones never reach the Worker: the server in front refuses them.
      path: (filled + (pairs.length > 0 ? `?${pairs.join('&')}` : '')).slice(0, 6_000),
      headers,
      ...(parts.body === undefined ? {} : { body: parts.body }),
      ...(json === undefined ? {} : { json }),
    }
  })
}
function wellFormed(text: string): string {
  return text.toWellFormed()
}

function describeCall(route: Route, call: Call, { status, text }: Answer): string {
  const request = `${route.operation.operationId}: ${route.method} ${call.path.slice(0, 300)} ${JSON.stringify(call.headers).slice(0, 500)}`
  return `${request}\n${(call.body ?? '').slice(0, 1_000)}\n-> ${status} ${text.slice(0, 400)}`
}

function check(route: Route, call: Call, answer: Answer): void {
  const { status, text, ms } = answer
  const where = describeCall(route, call, answer)
  expect(ms, where).toBeLessThan(slowMs)
  if (status < 400) return
  let body: { error?: unknown; code?: unknown } = {}
  try {
    body = JSON.parse(text)
  } catch {}
  expect(typeof body?.error, where).toBe('string')
  if (status < 500) return
  // What is not built says so by its code; this platform has its secret and is never busy.
  expect([status, body.code], where).toEqual([501, 'not_implemented'])
}

/** A body its own schema refuses and the platform took. */
function checkAccepted(route: Route, call: Call, answer: Answer): void {
  const schema = route.operation.requestBody?.content['application/json']?.schema
  if (!schema || answer.status >= 300 || call.json === undefined) return
  const { success, error } = z.fromJSONSchema(schema as never).safeParse(call.json)
  expect(success, `Taken: ${describeCall(route, call, answer)}\n${error ? z.prettifyError(error) : ''}`).toBe(true)
}

/** Of what is left after shrinking. */
function reasonOf(result: fc.RunDetails<[Call]>): string {
  const { errorInstance } = result as { errorInstance?: unknown }
  return errorInstance instanceof Error ? errorInstance.message : String(errorInstance)
}

/** What lists show of the environment, but for what moves by itself. */
async function listed(): Promise<string> {
  const user = { authorization: `Bearer ${platform.endpoints.accessToken}` }
  const base = `/api/v1/projects/${project.ref}`
  const read = async (path: string, headers = {}): Promise<Record<string, unknown>[]> => {
    const { status, text } = await send('GET', { path, headers })
    expect(status, `${path} ${text}`).toBe(200)
    const body = JSON.parse(text)
    return body.data ?? body.branches ?? body.deployments ?? [body].flat()
  }
  const pick = (rows: Record<string, unknown>[], ...names: string[]): unknown[] =>
    rows.map((row) => names.map((name) => row[name]))
  // What was accepted before may still make runs.
  let actions = await read('/api/v1/bulk-actions?page%5Bsize%5D=50')
  while (actions.some((one) => one.status === 'PENDING')) actions = await read('/api/v1/bulk-actions?page%5Bsize%5D=50')
  const lists = await Promise.all([
    actions.map((one) => one.id),
    read('/api/v1/runs?page%5Bsize%5D=50').then((all) => pick(all, 'id', 'tags', 'delayedUntil', 'taskIdentifier')),
    read('/api/v1/waitpoints/tokens?page%5Bsize%5D=50').then((all) => pick(all, 'id', 'tags', 'timeoutAt')),
    // A queue is listed from its first run on, and a run can be delayed.
    read('/api/v1/queues?perPage=100').then((all) =>
      pick(
        all.filter((one) => one.paused),
        'id',
      ),
    ),
    read('/api/v1/schedules').then((all) => pick(all, 'id', 'active')),
    read('/api/v1/deployments?page%5Bsize%5D=50').then((all) => pick(all, 'id')),
    read('/api/v1/deployments/current').then((all) => pick(all, 'id')),
    read(`${base}/envvars/prod`),
    read(`${base}/branches`, user).then((all) => pick(all, 'id', 'name')),
    read('/api/v1/projects', user).then((all) => pick(all, 'id', 'name')),
  ])
  return JSON.stringify(lists, null, 1)
}

function changes(before: string, after: string): string {
  const [old, fresh] = [before.split('\n'), after.split('\n')]
  const at = fresh.findIndex((line, index) => line !== old[index])
  return before === after ? '' : `${old.slice(at, at + 8).join('\n')}\nbecame\n${fresh.slice(at, at + 8).join('\n')}`
}

describe('requests made from the OpenAPI document', () => {
  it('are answered soon and in JSON, and never with an internal error', async () => {
    const waiting = routes()
    const failures: string[] = []
    const accepted = new Set<string>()
    const worker = async (): Promise<void> => {
      for (let route = waiting.shift(); route; route = waiting.shift()) {
        const one = route
        const property = fc.asyncProperty(callOf(one), async (call) => {
          const answer = await send(one.method, call)
          check(one, call, answer)
          checkAccepted(one, call, answer)
          if (answer.status < 300) accepted.add(one.operation.operationId)
        })
        // Each route is told of, not only the first that fails.
        const result = await fc.check(property, { seed, numRuns, endOnFailure: true, interruptAfterTimeLimit: 20_000 })
        if (result.failed) failures.push(reasonOf(result))
      }
    }
    await Promise.all(Array.from({ length: 4 }, worker))
    expect(failures.join('\n\n')).toBe('')
    // The requests are not all nonsense.
    expect(accepted.size).toBeGreaterThan(30)
  }, 90_000)

  it('change nothing that is listed when they are refused', async () => {
    const failures: string[] = []
    let before = await listed()
    let refused = 0
    // What is not built has nothing to change.
    for (const route of routes().filter(({ method, operation }) => method !== 'GET' && !operation.responses['501'])) {
      const property = fc.asyncProperty(callOf(route), async (call) => {
        const answer = await send(route.method, call)
        check(route, call, answer)
        const after = await listed().catch((error) => {
          throw new Error(`${error.message}\nafter ${describeCall(route, call, answer)}`)
        })
        const last = before
        before = after
        if (answer.status < 400) return
        refused += 1
        expect(changes(last, after), describeCall(route, call, answer)).toBe('')
      })
      const result = await fc.check(property, { seed: seed + 1, numRuns, endOnFailure: true, interruptAfterTimeLimit: 10_000 })
      if (result.failed) failures.push(reasonOf(result))
    }
    expect(failures.join('\n\n')).toBe('')
    expect(refused).toBeGreaterThan(50)
  }, 90_000)

  it('leave the platform working', async () => {
    await platform.waitUntilHealthy()
    const { text } = await send('POST', {
      path: '/api/v1/queues/echo/pause',
      body: '{"type":"task","action":"resume"}',
      headers: {},
    })
    expect(JSON.parse(text)).toMatchObject({ paused: false })
    const handle = await tasks.trigger('echo', { alive: true })
    expect(await runs.poll(handle.id, { pollIntervalMs: 200 })).toMatchObject({ status: 'COMPLETED', output: { alive: true } })
  })
})
