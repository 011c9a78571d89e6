import { mayDo, parentRule } from '../auth/scope-table.ts'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import { triggerBodySchema } from '../contracts/trigger.schema.ts'
import type { EnvironmentPrincipal } from '../operations/authenticate.ts'
import { type TriggerContext, triggerTask } from '../operations/trigger.ts'
import { environmentOf, readBody, requireScope, tokenHeaders } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

export function triggerRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/tasks/:taskId/trigger',
      operationId: 'triggerTask',
      summary: 'Trigger one task',
      tag: 'tasks',
      body: triggerBodySchema,
      response: responses.triggered,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const task = c.req.param('taskId') as string
      requireScope(c, principal, { task })
      const body = await readBody(c, triggerBodySchema, { maxBytes: limits.triggerBodyBytes })
      requireParent(principal, body.options?.parentRunId)
      const result = await triggerTask(c.env, caller, task, body, triggerContext(c, principal))
      const scopes = [`read:runs:${result.id}`, `write:inputStreams:${result.id}`]
      return c.json({ id: result.id, isCached: result.isCached }, 200, await tokenHeaders(principal, scopes, 3_600))
    },
  )
}

/** Naming a parent needs the right to write it. */
export function requireParent(principal: EnvironmentPrincipal, parentRunId: string | undefined): void {
  if (!parentRunId || mayDo(principal.scopes, parentRule, { run: parentRunId })) return
  throw new OperationError('FORBIDDEN', 'Unauthorized')
}

export function triggerContext(c: Ctx, principal: EnvironmentPrincipal): TriggerContext {
  const requestKey = c.req.header('x-trigger-request-idempotency-key')
  const traceparent = c.req.header('x-trigger-span-parent-as-link') ? undefined : c.req.header('traceparent')
  return {
    now: Date.now(),
    ...(principal.oneTimeToken ? { oneTimeToken: principal.oneTimeToken } : {}),
    ...(requestKey ? { requestKey } : {}),
    ...(traceparent ? { traceparent } : {}),
  }
}
