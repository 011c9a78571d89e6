/** How every route is registered: one table entry that serves the request and describes itself in the OpenAPI document. */
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { z } from 'zod'
import type { Env } from '../contracts/bindings.ts'

export type Bindings = { Bindings: Env }
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
  response?: z.ZodType
  /** No credential needed. */
  open?: boolean
}

const errorSchema = z.object({ error: z.string(), code: z.string().optional() })
const anySchema = z.record(z.string(), z.unknown())

export function route(app: App, spec: RouteSpec, handler: (c: Ctx) => Response | Promise<Response>): void {
  const params = [...spec.path.matchAll(/:(\w+)(\{[^}]*\})?/g)].map((match) => match[1] as string)
  app.openAPIRegistry.registerPath({
    method: spec.method,
    path: spec.path.replace(/:(\w+)(\{[^}]*\})?/g, '{$1}').replace(/\*$/, '{path}'),
    operationId: spec.operationId,
    summary: spec.summary,
    tags: [spec.tag],
    security: spec.open ? [] : [{ bearer: [] }],
    request: {
      ...(params.length > 0 || spec.path.endsWith('*')
        ? {
            params: z.object(
              Object.fromEntries([...params, ...(spec.path.endsWith('*') ? ['path'] : [])].map((name) => [name, z.string()])),
            ),
          }
        : {}),
      ...(spec.body ? { body: { content: { 'application/json': { schema: spec.body } } } } : {}),
    },
    responses: {
      200: { description: 'Success', content: { 'application/json': { schema: spec.response ?? anySchema } } },
      400: { description: 'Refused: the request is not valid', content: { 'application/json': { schema: errorSchema } } },
      401: { description: 'Refused: no valid credential', content: { 'application/json': { schema: errorSchema } } },
      404: { description: 'Not found', content: { 'application/json': { schema: errorSchema } } },
    },
  })
  app.on(spec.method.toUpperCase(), spec.path, handler)
}
