/** Health, first start, tokens and time zones. */
import { z } from 'zod'
import { actorTokenSeconds, isActorToken, mintActorToken } from '../auth/actor-token.ts'
import { signPublicToken } from '../auth/jwt.ts'
import { parseDuration } from '../contracts/durations.ts'
import { OperationError } from '../contracts/errors.ts'
import type { EnvironmentAccess } from '../contracts/objects.ts'
import { branchOf } from '../operations/authenticate.ts'
import { environmentFor, environmentSlug, seed } from '../operations/projects.ts'
import { resetIdempotencyKey } from '../operations/runs.ts'
import * as queries from './queries.ts'
import { bearer, environmentOf, readBody, readText, requireScope, userOf } from './request.ts'
import * as responses from './responses.ts'
import { type App, route } from './route.ts'

const tag = 'platform'
const maxTokenSeconds = 30 * 86_400

export function platformRoutes(app: App): void {
  route(
    app,
    { method: 'get', path: '/health', operationId: 'health', summary: 'Health', response: responses.health, tag, open: true },
    (c) => c.json({ status: 'ok', initialised: Boolean(c.env.ROOT_SECRET) }),
  )

  const seedSchema = z.object({ email: z.string(), accessToken: z.string() })
  route(
    app,
    {
      method: 'post',
      path: '/internal/seed',
      operationId: 'seedPlatform',
      summary: 'First start, signed with the root secret',
      tag,
      body: seedSchema,
      open: true,
    },
    async (c) => {
      const body = await readText(c, 10_000)
      const timestamp = c.req.header('x-trigger-do-timestamp') ?? ''
      return c.json(await seed(c.env, body, timestamp, c.req.header('x-trigger-do-signature') ?? '', Date.now()))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/auth/jwt/claims',
      operationId: 'getTokenClaims',
      summary: 'Claims for public tokens',
      response: responses.tokenClaims,
      tag,
    },
    async (c) => {
      const { principal } = await environmentOf(c)
      return c.json({ sub: principal.access.identity.id, pub: true })
    },
  )

  const jwtSchema = z.object({
    claims: z
      .object({ scopes: z.array(z.string()).default([]) })
      .loose()
      .optional(),
    expirationTime: z.union([z.string(), z.number()]).default('1h'),
  })
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/auth/jwt',
      operationId: 'createToken',
      summary: 'A public token',
      response: responses.publicToken,
      tag,
      body: jwtSchema,
    },
    async (c) => {
      const { principal } = await environmentOf(c)
      const body = await readBody(c, jwtSchema, { optional: true, older: true })
      return c.json({ token: await signed(principal.access, body.claims?.scopes ?? [], body.expirationTime, false) })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/projects/:ref/:env{(?:dev|staging|stg|prod|preview)}/jwt',
      operationId: 'createEnvironmentToken',
      summary: 'A token for an environment, by personal token',
      response: responses.environmentToken,
      tag,
      body: jwtSchema,
    },
    async (c) => {
      const user = await userOf(c)
      const body = await readBody(c, jwtSchema, { optional: true, older: true })
      const slug = environmentSlug(c.req.param('env'))
      if (!slug) throw new OperationError('NOT_FOUND', 'Environment not found')
      const branch = branchOf(c.req.header('x-trigger-branch'))
      const access = await environmentFor(c.env, user, c.req.param('ref') as string, slug, branch)
      const token = await signed(access, body.claims?.scopes ?? [], body.expirationTime, false)
      return c.json({ token, environmentId: access.identity.id })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/auth/user-actor-token',
      operationId: 'createActorToken',
      summary: 'A token that speaks for the user for an hour',
      response: responses.actorToken,
      tag,
    },
    async (c) => {
      const user = await userOf(c)
      if (isActorToken(bearer(c) ?? ''))
        throw new OperationError('FORBIDDEN', 'Such a token is made with a personal access token only.')
      await readText(c, 10_000)
      const token = await mintActorToken(c.env.ROOT_SECRET as string, user.userId, Date.now())
      return c.json({ token, expiresInSeconds: actorTokenSeconds })
    },
  )

  const publicSchema = z.object({
    scopes: z.array(z.string()).min(1),
    expirationTime: z.union([z.string(), z.number()]).default('15m'),
    oneTimeUse: z.boolean().optional(),
  })
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/auth/public-tokens',
      operationId: 'createPublicToken',
      summary: 'A public token',
      response: responses.publicToken,
      tag,
      body: publicSchema,
    },
    async (c) => {
      const { principal } = await environmentOf(c)
      const body = await readBody(c, publicSchema, { older: true })
      return c.json({ token: await signed(principal.access, body.scopes, body.expirationTime, body.oneTimeUse ?? false) })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/timezones',
      operationId: 'listTimezones',
      query: queries.zoneFilter,
      summary: 'Time zones',
      response: responses.timezones,
      tag,
      open: true,
    },
    (c) => {
      const zones = Intl.supportedValuesOf('timeZone')
        .filter((zone) => zone !== 'UTC')
        .sort()
      return c.json({ timezones: c.req.query('excludeUtc') === 'true' ? zones : ['UTC', ...zones] })
    },
  )

  const resetSchema = z.object({ taskIdentifier: z.string().min(1) })
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/idempotencyKeys/:key/reset',
      operationId: 'resetIdempotencyKey',
      summary: 'Forget an idempotency key',
      response: responses.idOnly,
      tag,
      body: resetSchema,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      requireScope(c, principal)
      const { taskIdentifier } = await readBody(c, resetSchema)
      const key = c.req.param('key') as string
      const { cleared } = await resetIdempotencyKey(c.env, caller, taskIdentifier, key)
      if (cleared === 0)
        throw new OperationError('NOT_FOUND', `No runs found with idempotency key: ${key} and task: ${taskIdentifier}`)
      return c.json({ id: key })
    },
  )
}

async function signed(
  access: EnvironmentAccess,
  scopes: string[],
  expiration: string | number,
  oneTimeUse: boolean,
): Promise<string> {
  const now = Date.now()
  const seconds =
    typeof expiration === 'number'
      ? expiration - Math.floor(now / 1000)
      : Math.floor((parseDuration(expiration.replace(/\s|ours?|inutes?|in|econds?|ays?/g, '')) ?? Number.NaN) / 1000)
  if (Number.isNaN(seconds)) throw new OperationError('INVALID_REQUEST', 'Invalid expiration time')
  if (seconds <= 0) throw new OperationError('INVALID_REQUEST', 'Expiration time must be in the future')
  if (seconds > maxTokenSeconds) throw new OperationError('INVALID_REQUEST', 'Expiration time cannot exceed 30 days')
  const claims = { sub: access.identity.id, pub: true as const, scopes, ...(oneTimeUse ? { otu: true } : {}) }
  return signPublicToken(access.apiKey, claims, seconds, now)
}
