import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { WaitpointRecord } from '../contracts/objects.ts'
import { tagsSchema } from '../contracts/trigger.schema.ts'
import * as waitpoints from '../operations/waitpoints.ts'
import { defined, iso } from './present-run.ts'
import * as queries from './queries.ts'
import { environmentOf, originOf, readBody, readText, requireScope, runCallerOf, tokenHeaders } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'
import { createdWindow, pageSize } from './runs.ts'

const tag = 'waitpoints'
const tokens = '/api/v1/waitpoints/tokens'

const createSchema = z.object({
  timeout: z.string().optional(),
  idempotencyKey: z.string().max(limits.idempotencyKeyChars).optional(),
  idempotencyKeyTTL: z.string().optional(),
  tags: tagsSchema.optional(),
})
const completeSchema = z.object({ data: z.unknown().optional() })
const durationSchema = z.object({
  date: z.string(),
  idempotencyKey: z.string().optional(),
  idempotencyKeyTTL: z.string().optional(),
})

export function waitpointRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: tokens,
      operationId: 'createWaitpointToken',
      summary: 'Create a wait token',
      response: responses.createdToken,
      tag,
      body: createSchema,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const body = await readBody(c, createSchema, { maxBytes: limits.tokenCreateBodyBytes, optional: true })
      const { id, isCached } = await waitpoints.createToken(c.env, caller, body)
      const url = await waitpoints.tokenUrl(c.env, originOf(c), id)
      return c.json({ id, isCached, url }, 200, await tokenHeaders(principal, [`write:waitpoints:${id}`], 86_400))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: tokens,
      operationId: 'listWaitpointTokens',
      query: queries.tokenFilter,
      summary: 'List wait tokens',
      response: responses.tokenList,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const list = (name: string): string[] | undefined => c.req.query(`filter[${name}]`)?.split(',').filter(Boolean)
      const [statuses, tags] = [list('status'), list('tags')]
      const result = await waitpoints.listTokens(c.env, caller.environment, caller, {
        size: pageSize(c, 25),
        ...createdWindow(c),
        ...(c.req.query('page[after]') ? { after: c.req.query('page[after]') as string } : {}),
        ...(c.req.query('page[before]') ? { before: c.req.query('page[before]') as string } : {}),
        ...(statuses ? { statuses } : {}),
        ...(tags ? { tags } : {}),
        ...(c.req.query('filter[idempotencyKey]') ? { idempotencyKey: c.req.query('filter[idempotencyKey]') as string } : {}),
      })
      const data = await Promise.all(result.tokens.map((token) => present(c, token)))
      return c.json({ data, pagination: defined({ next: result.next, previous: result.previous }) })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `${tokens}/:id`,
      operationId: 'retrieveWaitpointToken',
      summary: 'Read a wait token',
      response: responses.token,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const token = await waitpoints.getToken(c.env, caller, c.req.param('id') as string)
      const output = token.output?.data === undefined ? {} : { output: token.output.data, outputType: token.output.dataType }
      return c.json({
        ...(await present(c, token)),
        ...output,
        ...(token.status === 'WAITING' ? {} : { outputIsError: token.outputIsError }),
      })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${tokens}/:id/complete`,
      operationId: 'completeWaitpointToken',
      summary: 'Complete a wait token',
      response: responses.success,
      tag,
      body: completeSchema,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const id = c.req.param('id') as string
      requireScope(c, principal, { waitpoint: id })
      const body = await readBody(c, completeSchema, { maxBytes: limits.tokenCompleteBodyBytes, optional: true })
      return c.json(await waitpoints.completeToken(c.env, caller, id, body.data))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${tokens}/:id/callback/:hash`,
      operationId: 'waitpointCallback',
      summary: 'Complete by callback address',
      response: responses.success,
      tag,
      open: true,
    },
    async (c) => {
      const text = await readText(c, limits.tokenCompleteBodyBytes)
      let data: unknown = {}
      try {
        data = JSON.parse(text)
      } catch {
        // What a third party posts is theirs; anything else than JSON completes with {}.
      }
      return c.json(await waitpoints.completeByCallback(c.env, c.req.param('id') as string, c.req.param('hash') as string, data))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/engine/v1/runs/:runId/waitpoints/tokens/:id/wait',
      operationId: 'waitForToken',
      summary: 'A run waits for a token',
      response: responses.success,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      return c.json(await waitpoints.waitForToken(c.env, caller, ownRun(c), c.req.param('id') as string))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/engine/v1/runs/:runId/wait/duration',
      operationId: 'waitForDuration',
      summary: 'A run waits for a time',
      response: responses.waitsUntil,
      tag,
      body: durationSchema,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const body = await readBody(c, durationSchema)
      const result = await waitpoints.waitForDuration(c.env, caller, ownRun(c), body)
      return c.json({ waitUntil: new Date(result.waitUntil).toISOString(), waitpoint: { id: result.waitpointId } })
    },
  )
}

/** From inside a run only its own waits may be touched (design §4.4). */
function ownRun(c: Ctx): string {
  const id = c.req.param('runId') as string
  const inside = runCallerOf(c)
  if (inside && inside.run.runId !== id) throw new OperationError('FORBIDDEN', 'A run can only wait for itself.')
  return id
}

async function present(c: Ctx, token: WaitpointRecord): Promise<Record<string, unknown>> {
  return defined({
    id: token.id,
    url: await waitpoints.tokenUrl(c.env, originOf(c), token.id),
    status: token.status,
    tags: token.tags,
    createdAt: iso(token.createdAt),
    completedAt: iso(token.completedAt),
    completedAfter: iso(token.completedAfter),
    timeoutAt: iso(token.completedAfter),
    idempotencyKey: token.idempotencyKey,
    idempotencyKeyExpiresAt: iso(token.idempotencyKeyExpiresAt),
  })
}
