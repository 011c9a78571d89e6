/** How every route is registered: one table entry that serves the request and describes itself in the OpenAPI document. */
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { z } from 'zod'
import { scopeTable } from '../auth/scope-table.ts'
import type { Env } from '../contracts/bindings.ts'

/** `operation`: which of them is served, for the table of scopes. */
export type Bindings = { Bindings: Env; Variables: { operation?: string } }
export type App = OpenAPIHono<Bindings>
export type Ctx = Context<Bindings>

export interface RouteSpec {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete'
  path: string
  operationId: string
  summary: string
  tag: string
  /** Described only; the handler reads and refuses the body itself, with upstream's exact words. */
  body?: z.ZodType
  /** Described only, like the body. */
  query?: z.ZodObject
  response?: z.ZodType
  /** Lines of JSON instead of one document, with an example of each kind of line. */
  lines?: { body?: LineSpec; response?: LineSpec }
  /** Bytes in place of JSON. */
  bytes?: 'body' | 'response'
  /** Of the success; 200 unless said. */
  status?: number
  /** No credential needed. */
  open?: boolean
  /** Known, answered with 501. */
  unbuilt?: boolean
}

interface LineSpec {
  /** Of one line. */
  schema: z.ZodType
  example: object[]
}

const errorSchema = z.looseObject({ error: z.string(), code: z.string().optional() })
const bytesContent = { 'application/octet-stream': { schema: z.string().meta({ format: 'binary' }) } }
const anySchema = z.record(z.string(), z.unknown())
const refusals: Record<number, string> = {
  400: 'Refused: the request is not valid',
  401: 'Refused: no valid credential',
  403: 'Refused: the credential does not allow this',
  404: 'Not found',
  413: 'Refused: the body is too large',
  422: 'Refused: the request is well formed but cannot be done',
  429: 'Refused: too many requests',
}

export function route(app: App, spec: RouteSpec, handler: (c: Ctx) => Response | Promise<Response>): void {
  describe(app, spec)
  app.on(spec.method.toUpperCase(), spec.path, (c) => {
    c.set('operation', spec.operationId)
    return handler(c)
  })
}

export function describe(app: App, spec: RouteSpec): void {
  const success = spec.status ?? 200
  const params = [...spec.path.matchAll(/:(\w+)(\{[^}]*\})?/g)].map((match) => match[1] as string)
  if (spec.path.endsWith('*')) params.push('path')
  const scopes = scopeTable[spec.operationId]
  app.openAPIRegistry.registerPath({
    method: spec.method,
    path: spec.path.replace(/:(\w+)(\{[^}]*\})?/g, '{$1}').replace(/\*$/, '{path}'),
    operationId: spec.operationId,
    summary: spec.summary,
    tags: [spec.tag],
    security: spec.open ? [] : [{ bearer: [] }],
    ...(scopes ? { 'x-scopes': scopes } : {}),
    request: {
      ...(params.length > 0 ? { params: z.object(Object.fromEntries(params.map((name) => [name, z.string()]))) } : {}),
      ...(spec.query ? { query: spec.query } : {}),
      ...(spec.body ? { body: { content: { 'application/json': { schema: spec.body } } } } : {}),
      ...(spec.bytes === 'body' ? { body: { content: bytesContent } } : {}),
      ...(spec.lines?.body ? { body: { content: { 'application/x-ndjson': linesOf(spec.lines.body) } } } : {}),
    },
    responses: Object.fromEntries(
      answersOf(spec).map(([status, description, schema]) => [
        status,
        { description, content: status === success ? contentOf(spec, schema) : { 'application/json': { schema } } },
      ]),
    ),
  })
}

function contentOf({ bytes, lines }: RouteSpec, schema: z.ZodType): Record<string, { schema: z.ZodType; example?: string }> {
  if (bytes === 'response') return bytesContent
  if (lines?.response) return { 'application/x-ndjson': linesOf(lines.response) }
  return { 'application/json': { schema } }
}

function linesOf({ schema, example }: LineSpec): { schema: z.ZodType; example: string } {
  return { schema, example: example.map((line) => `${JSON.stringify(line)}\n`).join('') }
}

function answersOf(spec: RouteSpec): [status: number, description: string, schema: z.ZodType][] {
  if (spec.unbuilt) {
    return [
      [401, refusals[401] as string, errorSchema],
      [501, 'Not built yet', errorSchema],
    ]
  }
  const statuses = [
    400,
    ...(spec.open ? [] : [401, 403]),
    404,
    ...(spec.body || spec.lines?.body || spec.bytes === 'body' ? [413, 422] : []),
    ...(spec.open ? [] : [429]),
  ]
  return [
    [spec.status ?? 200, 'Success', spec.response ?? anySchema],
    ...statuses.map((status): [number, string, z.ZodType] => [status, refusals[status] as string, errorSchema]),
  ]
}
