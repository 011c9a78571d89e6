/** An environment's data leaves as NDJSON and comes back, here or elsewhere: over plain HTTP, read with the SDK. */
import { configure, runs, schedules, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { deploy, environmentKey } from './cli.ts'
import { endpoints, finished } from './harness.ts'
import { makeProject } from './made-project.ts'

// biome-ignore lint/suspicious/noExplicitAny: lines of every kind
type Line = any

const code = `import { logger, metadata, queue, schedules, task } from '@trigger.dev/sdk'
export const mails = queue({ name: 'mails', concurrencyLimit: 3 })
export const echo = task({ id: 'echo', queue: mails, run: async (payload: unknown) => {
  logger.info('echoed')
  metadata.set('seen', true)
  return payload
} })
export const fails = task({ id: 'fails', retry: { maxAttempts: 1 }, run: async () => { throw new TypeError('on purpose') } })
export const tick = schedules.task({ id: 'tick', run: async () => {} })
`
const large = { filler: 'ä'.repeat(600_000) }

let source: string
/** Another environment of the project, where the same code is deployed, and one where nothing is. */
let target: string
let bare: string
const ids: Record<string, string> = {}
let lines: Line[]
let file: string

function use(key: string): void {
  configure({ baseURL: endpoints.apiUrl, accessToken: key, requestOptions: { retry: { maxAttempts: 1 } } })
}

function call(key: string, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...init.headers }
  return fetch(`${endpoints.apiUrl}${path}`, { ...init, headers })
}

async function exported(key: string, query = ''): Promise<{ text: string; lines: Line[] }> {
  const response = await call(key, `/api/v1/environment/export${query}`)
  const text = await response.text()
  expect([response.status, response.headers.get('content-type')], text.slice(0, 300)).toEqual([200, 'application/x-ndjson'])
  const parsed = text.trimEnd().split('\n')
  return { text, lines: parsed.map((line) => JSON.parse(line)) }
}

async function imported(key: string, body: string, query = ''): Promise<{ status: number; body: Line }> {
  const headers = { 'content-type': 'application/x-ndjson' }
  const response = await call(key, `/api/v1/environment/import${query}`, { method: 'POST', body, headers })
  return { status: response.status, body: await response.json() }
}

const ofKind = (kind: string, of = lines): Line[] => of.filter((line) => line.kind === kind)
const here = (id: string, key: string): string => `${id.slice(0, -7)}${key.slice('tr_prod_'.length).slice(0, 6)}0`
const inTarget = (id: string): string => here(id, target.replace('tr_stg_', 'tr_prod_'))

beforeAll(async () => {
  const { folder, ref } = makeProject({ 'src/tasks.ts': code })
  for (const environment of ['prod', 'staging']) {
    const result = await deploy(endpoints, folder, ['--env', environment])
    expect(result.code, result.output).toBe(0)
  }
  source = (await environmentKey(endpoints, folder, 'prod')).secretKey
  target = (await environmentKey(endpoints, folder, 'staging')).secretKey
  bare = (await environmentKey(endpoints, makeProject({}).folder, 'prod')).secretKey
  use(source)
  ids.plain = (await tasks.trigger('echo', { n: 1 }, { tags: ['one', 'two'], idempotencyKey: 'the-key' })).id
  ids.large = (await tasks.trigger('echo', large)).id
  ids.failed = (await tasks.trigger('fails', {})).id
  for (const name of ['plain', 'large', 'failed']) await finished(ids[name] as string)
  ids.delayed = (await tasks.trigger('echo', { later: true }, { delay: '2h', tags: ['later'] })).id
  ids.cancelled = (await tasks.trigger('echo', {}, { delay: '2h' })).id
  await runs.cancel(ids.cancelled)
  ids.schedule = (
    await schedules.create({ task: 'tick', cron: '0 7 * * *', timezone: 'Europe/Berlin', deduplicationKey: 'report' })
  ).id
  await schedules.deactivate(ids.schedule)
  const post = (path: string, body: object): Promise<Response> =>
    call(source, path, { method: 'POST', body: JSON.stringify(body) })
  expect((await post('/api/v1/queues/mails/concurrency/override', { type: 'custom', concurrencyLimit: 2 })).status).toBe(200)
  expect((await post('/api/v1/queues/fails/pause', { type: 'task', action: 'pause' })).status).toBe(200)
  const variable = await post(`/api/v1/projects/${ref}/envvars/prod`, { name: 'SECRET_OF_MINE', value: 'hush', isSecret: true })
  expect(variable.status).toBe(200)
  const all = await exported(source)
  lines = all.lines
  file = all.text
})

describe('an export', () => {
  it('has the settings, each run whole, stored packets before the runs that have them, and an end', () => {
    expect(lines[0]).toMatchObject({ kind: 'environment', format: 1, slug: 'prod' })
    expect(lines.at(-1)).toEqual({ kind: 'end', runs: 5 })
    const byId = new Map(ofKind('run').map((line) => [line.run.id, line]))
    expect([...byId.keys()]).toEqual([...byId.keys()].sort())
    expect(byId.get(ids.plain)).toMatchObject({
      run: { status: 'COMPLETED_SUCCESSFULLY', tags: ['one', 'two'] },
      payload: { data: '{"json":{"n":1}}', dataType: 'application/super+json' },
      metadata: { data: '{"seen":true}' },
    })
    expect(byId.get(ids.plain).spans.some((span: Line) => span.name === 'echoed')).toBe(true)
    expect(byId.get(ids.failed).error).toMatchObject({ type: 'BUILT_IN_ERROR', message: 'on purpose' })
    expect(byId.get(ids.delayed).run.status).toBe('DELAYED')
    const stored = byId.get(ids.large)
    for (const packet of [stored.payload, stored.output]) {
      expect(packet.dataType).toBe('application/store')
      const pieces = ofKind('packet').filter((line) => line.path === packet.data)
      expect(pieces.length).toBeGreaterThan(1)
      const bytes = Buffer.concat(pieces.map((piece) => Buffer.from(piece.data, 'base64')))
      expect(JSON.parse(bytes.toString())).toEqual({ json: large })
      expect(lines.indexOf(pieces.at(-1))).toBeLessThan(lines.indexOf(stored))
    }
    expect(ofKind('queue')).toEqual([
      { kind: 'queue', name: 'mails', paused: false, override: { limit: 2 } },
      { kind: 'queue', name: 'task/fails', paused: true },
    ])
    expect(ofKind('schedule')).toMatchObject([{ id: ids.schedule, deduplicationKey: 'report', active: false }])
  })

  it('has variables only when asked for, and never the key', async () => {
    expect(file).not.toContain('hush')
    const asked = await exported(source, '?variables=true')
    expect(ofKind('variable', asked.lines)).toEqual([{ kind: 'variable', name: 'SECRET_OF_MINE', value: 'hush', isSecret: true }])
    expect(asked.text).not.toContain(source)
  })

  it('comes in pieces that go on where the last one ended', async () => {
    const seen: string[] = []
    let next: string | undefined
    do {
      const piece = await exported(source, `?limit=2${next ? `&after=${next}` : ''}`)
      expect(piece.lines[0].kind).toBe('environment')
      expect(ofKind('schedule', piece.lines).length).toBe(next ? 0 : 1)
      seen.push(...ofKind('run', piece.lines).map((line) => line.run.id))
      next = piece.lines.at(-1).next
    } while (next)
    expect(seen).toEqual(ofKind('run').map((line) => line.run.id))
  })
})

describe('an import', () => {
  it('into another environment makes readable runs, and the second time nothing', async () => {
    const first = await imported(target, file)
    expect(first).toMatchObject({
      status: 200,
      body: {
        runs: { imported: 4, unfinished: 1, known: 0, refused: 0 },
        packets: { imported: 2, known: 0, missing: 0 },
        schedules: { imported: 1, known: 0, refused: 0 },
        queues: { imported: 2, known: 0, refused: 0 },
        variables: { imported: 0 },
        refusals: [],
        isComplete: true,
      },
    })
    const second = await imported(target, file)
    expect(second.body).toMatchObject({
      runs: { imported: 0, known: 4, unfinished: 1 },
      packets: { imported: 0, known: 2 },
      schedules: { imported: 0, known: 1 },
      queues: { imported: 0, known: 2 },
    })
    use(target)
    const listed = await runs.list({ limit: 50 })
    expect(listed.data.map((run) => run.id).sort()).toEqual(
      ['plain', 'large', 'failed', 'cancelled'].map((name) => inTarget(ids[name] as string)).sort(),
    )
    const plainRun = await runs.retrieve(inTarget(ids.plain as string))
    expect(plainRun).toMatchObject({
      status: 'COMPLETED',
      payload: { n: 1 },
      output: { n: 1 },
      metadata: { seen: true },
      tags: ['one', 'two'],
    })
    const raw = await (await call(target, `/api/v3/runs/${inTarget(ids.plain as string)}`)).json()
    expect(raw).toMatchObject({ importedFrom: ids.plain })
    expect(await runs.retrieve(inTarget(ids.large as string))).toMatchObject({ payload: large, output: large })
    expect((await runs.retrieve(inTarget(ids.failed as string))).error).toMatchObject({
      name: 'TypeError',
      message: 'on purpose',
    })
    const tagged = await runs.list({ tag: 'two' })
    expect(tagged.data.map((run) => run.id)).toEqual([inTarget(ids.plain as string)])
    const events = (await (await call(target, `/api/v1/runs/${inTarget(ids.plain as string)}/events`)).json()) as Line
    expect(JSON.stringify(events)).toContain('echoed')
    // The idempotency key is spent here, too, and goes on meaning that run.
    const again = await tasks.trigger('echo', { n: 2 }, { idempotencyKey: 'the-key' })
    expect(again.id).toBe(inTarget(ids.plain as string))
    expect(await schedules.retrieve(ids.schedule as string)).toMatchObject({ active: false, deduplicationKey: 'report' })
    const queue = (await (await call(target, '/api/v1/queues/mails?type=custom')).json()) as Line
    expect(queue.concurrency).toMatchObject({ current: 2, base: 3, override: 2 })
  })

  it('queues unfinished runs again when asked to, each once, and they finish', async () => {
    const first = await imported(target, file, '?unfinished=queue')
    expect(first.body.runs).toMatchObject({ imported: 0, known: 4, queuedAgain: 1, unfinished: 0 })
    expect((await imported(target, file, '?unfinished=queue')).body.runs).toMatchObject({ known: 5, queuedAgain: 0 })
    use(target)
    const id = inTarget(ids.delayed as string)
    expect(await runs.retrieve(id)).toMatchObject({ status: 'DELAYED', tags: ['later'], payload: { later: true } })
    await runs.reschedule(id, { delay: new Date(Date.now() + 500) })
    expect(await finished(id)).toMatchObject({ status: 'COMPLETED', output: { later: true } })
  })

  it('into the environment it came from finds everything there', async () => {
    expect((await imported(source, file)).body.runs).toMatchObject({ imported: 0, known: 5 })
  })

  it('takes a schedule that a sentence made, with its payload', async () => {
    const sentence = { strings: ['every day at 4am, echo with note ', ''], values: ['hello'] }
    const made = await call(source, '/api/v1/sentences', { method: 'POST', body: JSON.stringify(sentence) })
    const { id, understood } = (await made.json()) as Line
    expect([made.status, understood.payload]).toEqual([200, { note: 'hello' }])
    const text = (await exported(source)).text
    expect((await imported(target, text)).body.schedules).toEqual({ imported: 1, known: 1, refused: 0 })
    const there = (await exported(target)).text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line)
    expect(there.find((line) => line.kind === 'schedule' && line.id === id)).toMatchObject({
      task: 'echo',
      payload: { note: 'hello' },
    })
    expect((await call(source, `/api/v1/schedules/${id}`, { method: 'DELETE' })).status).toBe(200)
  })

  it('says what cannot be taken, with its line, and takes the rest', async () => {
    const withVariables = (await exported(source, '?variables=true')).text
    const { status, body } = await imported(bare, withVariables)
    expect([status, body.runs.imported, body.variables.imported]).toEqual([200, 4, 1])
    // The task of the schedule is not deployed there.
    const line = lines.indexOf(ofKind('schedule')[0]) + 1
    expect(body.schedules).toEqual({ imported: 0, known: 0, refused: 1 })
    expect(body.refusals).toEqual([{ line, id: ids.schedule, reason: 'Task with identifier tick not found in project.' }])
    use(bare)
    expect((await runs.retrieve(here(ids.plain as string, bare))).output).toEqual({ n: 1 })
  })

  it('of a packet that is not whole, a broken line or another file is refused by line and field', async () => {
    const altered = (at: number, change: (line: Line) => void): string =>
      lines
        .map((line, index) => {
          const copy = structuredClone(line)
          if (index === at) change(copy)
          return JSON.stringify(copy)
        })
        .join('\n')
    const runAt = lines.findIndex((line) => line.kind === 'run')
    const refused = async (text: string): Promise<Line> => {
      const { status, body } = await imported(bare, text)
      expect([status, body.code], JSON.stringify(body)).toEqual([422, 'INVALID_LINE'])
      return body
    }
    const status = await refused(altered(runAt, (line) => (line.run.status = 'DONE')))
    expect(status).toMatchObject({ line: runAt + 1, field: 'run.status' })
    expect(status.error).toBe(`Line ${runAt + 1}: no status of a run at "run.status"`)
    expect(await refused(`${JSON.stringify(lines[0])}\n{"kind":`)).toMatchObject({ line: 2 })
    expect(await refused(JSON.stringify(lines[runAt]))).toMatchObject({ line: 1, field: 'kind' })
    const pieceAt = lines.findIndex((line) => line.kind === 'packet' && line.offset > 0)
    const without = lines.filter((_, index) => index !== pieceAt).map((line) => JSON.stringify(line))
    expect(await refused(without.join('\n'))).toMatchObject({ line: pieceAt + 1 })
    expect(await refused(altered(runAt, (line) => (line.run.id = `run_u${line.run.id.slice(5)}`)))).toMatchObject({
      field: 'run.id',
    })
    const cut = await imported(
      bare,
      lines
        .slice(0, runAt)
        .map((line) => JSON.stringify(line))
        .join('\n'),
    )
    expect(cut).toMatchObject({ status: 200, body: { isComplete: false } })
  })
})

describe('export and import', () => {
  it('are for secret keys: a public token is none, whatever its scopes', async () => {
    for (const scopes of [['admin'], ['read:all', 'write:all'], ['read:runs']]) {
      const answer = await call(source, '/api/v1/auth/jwt', { method: 'POST', body: JSON.stringify({ claims: { scopes } }) })
      const { token } = (await answer.json()) as { token: string }
      expect((await call(token, '/api/v1/environment/export')).status).toBe(401)
      expect((await imported(token, file)).status).toBe(401)
    }
    expect((await call('tr_prod_nobody', '/api/v1/environment/export')).status).toBe(401)
  })

  it('refuse what they do not know', async () => {
    for (const query of ['?limit=0', '?limit=20000', '?variables=yes'])
      expect((await call(source, `/api/v1/environment/export${query}`)).status, query).toBe(400)
    expect((await call(source, '/api/v1/environment/export?after=run_x')).status).toBe(404)
    expect((await imported(source, file, '?unfinished=all')).status).toBe(400)
    const json = await call(source, '/api/v1/environment/import', { method: 'POST', body: file })
    expect(json.status).toBe(415)
  })

  it('tell a client that is still sending why', async () => {
    const big = `${file}${'x'.repeat(16_000_000)}`
    expect((await imported(source, big, '?unfinished=all')).status).toBe(400)
    expect((await imported('tr_prod_nobody', big)).status).toBe(401)
    expect((await call(source, '/api/v1/environment/import', { method: 'POST', body: big })).status).toBe(415)
  })

  it('are described with the fields they answer', async () => {
    const document = (await (await call(source, '/openapi.json')).json()) as Line
    const answer = (await imported(bare, JSON.stringify(lines[0]))).body
    const described = document.components.schemas.ImportedEnvironment.properties
    expect(Object.keys(answer).filter((name) => !(name in described))).toEqual([])
    const content = document.paths['/api/v1/environment/export'].get.responses['200'].content
    expect(content['application/x-ndjson'].schema).toEqual({ $ref: '#/components/schemas/ExportLine' })
    const line = z.fromJSONSchema(document.components.schemas.ExportLine)
    for (const one of lines) expect(line.safeParse(one).error?.issues, JSON.stringify(one).slice(0, 300)).toBeUndefined()
  })
})
