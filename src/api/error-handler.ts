/** The only place that knows HTTP statuses of refusals (bodies: api-surface.md §1.6). */
import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { type ErrorCode, OperationError, RpcRefusal } from '../contracts/errors.ts'
import { forgetAccess } from '../operations/authenticate.ts'
import type { App } from './route.ts'

const statuses: Record<ErrorCode, ContentfulStatusCode> = {
  INVALID_REQUEST: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  CONFLICT: 409,
  LENGTH_REQUIRED: 411,
  TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  UNPROCESSABLE: 422,
  RATE_LIMITED: 429,
  INTERNAL: 500,
  NOT_IMPLEMENTED: 501,
  OVERLOADED: 503,
  NOT_INITIALISED: 503,
}

export function handleError(error: Error, c: Context): Response {
  if (error instanceof OperationError) {
    return c.json({ error: error.message, ...error.extras.body }, statuses[error.code], error.extras.headers)
  }
  if (error instanceof RpcRefusal) {
    const { code, message, status, retryable } = error.rpc
    // The key was revoked since this isolate verified it.
    if (status === 401) forgetAccess()
    const body = status === 400 || status === 404 ? { error: message } : { error: message, code }
    // 409, 429 and 5xx are retried by clients unless told otherwise.
    const headers =
      status === 409 || status === 429 || status >= 500 ? { 'x-should-retry': String(retryable ?? status === 503) } : undefined
    return c.json(body, status as ContentfulStatusCode, headers)
  }
  console.error(error)
  return c.json({ error: 'Internal Server Error' }, 500)
}

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** Nothing answered: an unknown path, or a known one with another method. */
export function unanswered(app: App): (c: Context) => Response {
  // Middleware fits every path; what is registered for one method only is a route.
  const isRoute = (method: string, path: string): boolean =>
    app.router.match(method, path)[0].some(([[, route]]) => route.method === method)
  return (c) => {
    const allowed = methods.filter((method) => isRoute(method, c.req.path))
    if (allowed.length === 0) return c.json({ error: 'Not found' }, 404)
    return c.json({ error: 'Method not allowed' }, 405, { allow: allowed.join(', ') })
  }
}
