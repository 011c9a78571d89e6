/** Health, first start, tokens, time zones, and the routes that are known but not built. */
import { z } from 'zod'
import { signPublicToken } from '../auth/jwt.ts'
import { parseDuration } from '../contracts/durations.ts'
import { OperationError } from '../contracts/errors.ts'
import { seed } from '../operations/projects.ts'
import { resetIdempotencyKey } from '../operations/runs.ts'
import { environmentOf, readBody, readText, requireScope, userOf } from './request.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'platform'
const maxTokenSeconds = 30 * 86_400

export function platformRoutes(app: App): void {
  route(app, { method: 'get', path: '/health', operationId: 'health', summary: 'Health', tag, open: true }, (c) =>
    c.json({ status: 'ok', initialised: Boolean(c.env.ROOT_SECRET) }),
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
    { method: 'post', path: '/api/v1/auth/jwt/claims', operationId: 'getTokenClaims', summary: 'Claims for public tokens', tag },
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
    { method: 'post', path: '/api/v1/auth/jwt', operationId: 'createToken', summary: 'A public token', tag, body: jwtSchema },
    async (c) => {
      const body = await readBody(c, jwtSchema, { optional: true, older: true })
      return mintToken(c, body.claims?.scopes ?? [], body.expirationTime, false)
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
      tag,
      body: publicSchema,
    },
    async (c) => {
      const body = await readBody(c, publicSchema, { older: true })
      return mintToken(c, body.scopes, body.expirationTime, body.oneTimeUse ?? false)
    },
  )

  route(
    app,
    { method: 'get', path: '/api/v1/timezones', operationId: 'listTimezones', summary: 'Time zones', tag, open: true },
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
      tag,
      body: resetSchema,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c, { publicToken: true })
      requireScope(principal, [{ action: 'write', type: 'runs' }])
      const { taskIdentifier } = await readBody(c, resetSchema)
      const key = c.req.param('key') as string
      const { cleared } = await resetIdempotencyKey(c.env, caller, taskIdentifier, key)
      if (cleared === 0)
        throw new OperationError('NOT_FOUND', `No runs found with idempotency key: ${key} and task: ${taskIdentifier}`)
      return c.json({ id: key })
    },
  )
}

/** Known groups that are not built: one clear answer, never a pretended success. */
const groups = [
  ...['prompts', 'query', 'sessions', 'webhooks', 'errors', 'reports', 'concurrency-limits', 'bulk-actions'].map(
    (name) => `/api/v1/${name}`,
  ),
]
const single = [
  '/api/v1/queues/:queue/concurrency/override',
  '/api/v1/queues/:queue/concurrency/reset',
  '/api/v1/deployments/:id/background-workers',
  '/api/v1/deployments/:id/generate-registry-credentials',
  '/api/v1/deployments/:id/build-env-vars',
  '/api/v1/deployments/:id/progress',
  '/api/v1/deployments/:id/cancel',
  '/api/v1/deployments/:id/fail',
  '/api/:version{v[123]}/deployments/:id/finalize',
  '/api/v1/auth/oidc/token',
]

export function unbuiltRoutes(app: App): void {
  const refuse = async (c: Ctx): Promise<Response> => {
    await (c.req.header('authorization')?.startsWith('Bearer tr_pat_')
      ? userOf(c)
      : environmentOf(c, { publicToken: true, parentAllowed: true }))
    throw new OperationError('NOT_IMPLEMENTED', 'This part of the API is not built yet.', {
      body: { code: 'not_implemented' },
      headers: { 'x-should-retry': 'false' },
    })
  }
  for (const path of groups) for (const pattern of [path, `${path}/*`]) app.all(pattern, refuse)
  for (const path of single) app.all(path, refuse)
}

async function mintToken(c: Ctx, scopes: string[], expiration: string | number, oneTimeUse: boolean): Promise<Response> {
  const { principal } = await environmentOf(c)
  const now = Date.now()
  const seconds =
    typeof expiration === 'number'
      ? expiration - Math.floor(now / 1000)
      : Math.floor((parseDuration(expiration.replace(/\s|ours?|inutes?|in|econds?|ays?/g, '')) ?? Number.NaN) / 1000)
  if (Number.isNaN(seconds)) throw new OperationError('INVALID_REQUEST', 'Invalid expiration time')
  if (seconds <= 0) throw new OperationError('INVALID_REQUEST', 'Expiration time must be in the future')
  if (seconds > maxTokenSeconds) throw new OperationError('INVALID_REQUEST', 'Expiration time cannot exceed 30 days')
  const claims = { sub: principal.access.identity.id, pub: true as const, scopes, ...(oneTimeUse ? { otu: true } : {}) }
  return c.json({ token: await signPublicToken(principal.access.apiKey, claims, seconds, now) })
}
