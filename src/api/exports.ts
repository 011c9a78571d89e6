/** An environment's data as NDJSON, out and in. Secret keys only: what is exported is everything a key can read. */
import { OperationError } from '../contracts/errors.ts'
import { environmentLine, exportLineSchema } from '../contracts/export.schema.ts'
import { limits } from '../contracts/limits.ts'
import type { Caller } from '../contracts/rpc.ts'
import { exportLines } from '../operations/export.ts'
import { broken, Importer } from '../operations/import.ts'
import { linesOf } from './lines.ts'
import * as queries from './queries.ts'
import { discard, environmentOf, queryError } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'environment'

export function exportRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: '/api/v1/environment/export',
      operationId: 'exportEnvironment',
      summary: 'Queue settings, schedules made over the API, runs with their packets and, if asked for, variables, as NDJSON',
      query: queries.exportPage,
      lines: { response: { schema: exportLineSchema, example } },
      tag,
    },
    async (c) => {
      const caller = await keyHolder(c)
      const query = queries.exportPage.safeParse({ ...c.req.query(), ...numbers(c, 'limit') })
      if (!query.success) throw firstIssue(query.error.issues)
      const { after, limit = limits.exportRuns, variables } = query.data
      const options = { limit, variables: variables === 'true', ...(after ? { after } : {}) }
      const lines = exportLines(c.env, caller, options, Date.now())
      // A refusal is an answer of its own; what fails later cuts the stream, and the last line is missing.
      const first = await lines.next()
      return new Response(streamOf(first.value, lines), {
        headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' },
      })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/environment/import',
      operationId: 'importEnvironment',
      summary: 'Take the lines of an export; what is here already stays as it is',
      query: queries.importOptions,
      lines: { body: { schema: exportLineSchema, example } },
      response: responses.imported,
      tag,
    },
    async (c) => {
      const { body } = c.req.raw
      const { caller, queueUnfinished } = await acceptImport(c).catch(async (error) => {
        // A file is still being sent: closed now, its sender would never see why.
        if (body) await discard(body.getReader())
        throw error
      })
      if (!body) throw new OperationError('INVALID_REQUEST', 'Request body is empty')
      return c.json(await importBody(c, caller, body, queueUnfinished))
    },
  )
}

async function acceptImport(c: Ctx): Promise<{ caller: Caller; queueUnfinished: boolean }> {
  const caller = await keyHolder(c)
  const query = queries.importOptions.safeParse(c.req.query())
  if (!query.success) throw firstIssue(query.error.issues)
  if (!/^application\/(x-)?ndjson\b/.test(c.req.header('content-type') ?? ''))
    throw new OperationError('UNSUPPORTED_MEDIA_TYPE', 'Content-Type must be application/x-ndjson or application/ndjson')
  return { caller, queueUnfinished: query.data.unfinished === 'queue' }
}

async function importBody(c: Ctx, caller: Caller, body: ReadableStream<Uint8Array>, queueUnfinished: boolean): Promise<object> {
  const importer = new Importer(c.env, caller, { queueUnfinished })
  let line = 0
  for await (const { text, isWhole } of linesOf(body, limits.importLineBytes)) {
    line += 1
    const fail = (field: string, message: string): OperationError => broken(line, field, message, importer.counts)
    if (!isWhole) throw fail('', `longer than ${limits.importLineBytes} bytes`)
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      throw fail('', 'not JSON')
    }
    const parsed = (line === 1 ? environmentLine : exportLineSchema).safeParse(json)
    if (!parsed.success) {
      const issue = parsed.error.issues[0]
      const what = line === 1 ? 'the first line of an export names its environment and format 1: ' : ''
      throw fail(issue?.path.join('.') ?? '', what + (issue?.message ?? 'not valid'))
    }
    await importer.take({ ...(parsed.data as Parameters<Importer['take']>[0]), line })
  }
  if (line === 0) throw new OperationError('INVALID_REQUEST', 'Request body is empty')
  return importer.finish()
}

async function keyHolder(c: Ctx): Promise<Caller> {
  return (await environmentOf(c)).caller
}

function numbers(c: Ctx, name: string): Record<string, number> {
  const given = c.req.query(name)
  return given === undefined ? {} : { [name]: Number(given) }
}

function firstIssue(issues: { path: PropertyKey[]; message: string }[]): OperationError {
  const [issue] = issues
  return queryError(String(issue?.path[0] ?? ''), issue?.message ?? 'Not valid')
}

function streamOf(first: string | undefined, rest: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream<Uint8Array>({
    start(controller) {
      if (first !== undefined) controller.enqueue(encoder.encode(first))
    },
    async pull(controller) {
      const { done, value } = await rest.next()
      if (done) controller.close()
      else controller.enqueue(encoder.encode(value))
    },
    async cancel() {
      await rest.return(undefined)
    },
  })
}

const example = [
  {
    kind: 'environment',
    format: 1,
    exportedAt: 1_795_546_800_000,
    id: '001k5n2v4abcdefghijk3f8q0',
    projectRef: 'proj_anythingyoulikehere',
    slug: 'prod',
  },
  { kind: 'queue', name: 'mails', paused: false, override: { limit: 5 } },
  {
    kind: 'schedule',
    id: 'sched_k3f8q0mncv42t1r9bd7a5',
    task: 'daily-report',
    cron: '0 7 * * *',
    timezone: 'Europe/Berlin',
    deduplicationKey: 'report',
    active: true,
  },
  {
    kind: 'run',
    run: {
      id: 'run_1k5n2v4ab0123456789k3f8q00',
      task: 'send-invoice',
      status: 'COMPLETED_SUCCESSFULLY',
      createdAt: 1_795_546_700_000,
      updatedAt: 1_795_546_702_000,
      queuedAt: 1_795_546_700_000,
      startedAt: 1_795_546_700_100,
      completedAt: 1_795_546_702_000,
      tags: ['invoice'],
      queue: 'task/send-invoice',
      version: '20261124.1',
      depth: 0,
      resumeParentOnCompletion: false,
      attemptNumber: 1,
      priorityMs: 0,
      isTest: false,
      durationMs: 1_900,
      costInCents: 0,
      baseCostInCents: 0,
      traceId: '0123456789abcdef0123456789abcdef',
      spanId: '0123456789abcdef',
    },
    payload: { data: '{"customer":"Ada"}', dataType: 'application/json' },
    output: { data: '{"sent":true}', dataType: 'application/json' },
    spans: [],
  },
  { kind: 'end', runs: 1 },
]
