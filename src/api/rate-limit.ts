/**
 * Rate limits in the isolate's memory (api-surface.md §1.8): brakes for runaway callers, not accounts. Token buckets per key
 * for requests and per environment for batch items, a fixed window per public token. Calls of task code are not limited.
 */
import type { MiddlewareHandler } from 'hono'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import type { Caller } from '../contracts/rpc.ts'
import { bearer, runCallerOf } from './request.ts'
import type { Bindings, Ctx } from './route.ts'

const exempt =
  /^\/api\/(v1\/timezones|v1\/auth\/jwt\/claims|v[12]\/packets\/|v1\/waitpoints\/tokens\/[^/]+\/callback\/|v\d\/deployments|v1\/artifacts|v2\/whoami|v1\/(token|authorization-code)$|v1\/workload-actions\/)/
const standard = { burst: 750, refill: 250 }
const batchStandard = { burst: 1_200, refill: 100 }
const publicStandard = 60
const windowMs = 10_000
const publicWindowMs = 60_000
const uploadGrants = 10
const maxEntries = 10_000

interface Verdict {
  allowed: boolean
  limit: number
  remaining: number
  /** Unix time in milliseconds. */
  reset: number
}

interface Settings {
  burst: number
  refill: number
}

class Buckets {
  readonly #known = new Map<string, { tokens: number; at: number }>()

  spend(key: string, cost: number, { burst, refill }: Settings, now: number): Verdict {
    const known = this.#known.get(key)
    const tokens = known ? Math.min(burst, known.tokens + ((now - known.at) / windowMs) * refill) : burst
    if (!known) dropOldest(this.#known)
    const allowed = tokens >= cost
    const left = allowed ? tokens - cost : tokens
    this.#known.set(key, { tokens: left, at: now })
    const reset = now + Math.ceil((Math.max(0, (allowed ? 1 : cost) - left) / refill) * windowMs)
    return { allowed, limit: burst, remaining: Math.max(0, Math.floor(left)), reset }
  }
}

export function rateLimit(): MiddlewareHandler<Bindings> {
  const buckets = new Buckets()
  const windows = new Map<string, { count: number; until: number }>()
  return async (c, next) => {
    if (exempt.test(c.req.path) || runCallerOf(c)) return next()
    const isPublic = bearer(c)?.startsWith('ey') ?? false
    const settings = bucketOf(c.env.RATE_LIMIT, standard)
    const perMinute = publicLimit(c.env)
    if (isPublic ? perMinute === undefined : settings === undefined) return next()
    const token = bearer(c)
    // The endpoint says itself how to come in.
    if (!token && c.req.path === '/mcp') return next()
    if (!token) {
      const detail = 'No authorization header provided'
      return c.json(
        { title: 'Unauthorized', status: 401, type: 'https://trigger.dev/docs/errors', detail, error: detail },
        401,
        problem,
      )
    }
    if (spendGrant(c.req.method, c.req.path)) return next()
    const now = Date.now()
    const verdict = isPublic
      ? spendWindow(windows, token, perMinute as number, now)
      : buckets.spend(token, 1, settings as Settings, now)
    const headers = headersOf(verdict)
    if (verdict.allowed) {
      await next()
      // A refused batch has told of its own limit.
      if (!c.res.headers.has('x-ratelimit-limit')) for (const [name, value] of Object.entries(headers)) c.header(name, value)
      return
    }
    const { limit, remaining, reset } = verdict
    const secondsUntilReset = secondsUntil(reset, now)
    const detail = `Rate limit exceeded ${remaining}/${limit} requests remaining. Retry in ${secondsUntilReset} seconds.`
    const body = {
      title: 'Rate Limit Exceeded',
      status: 429,
      type: 'https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/429',
    }
    return c.json({ ...body, detail, reset, limit, remaining, secondsUntilReset, error: detail }, 429, {
      ...headers,
      ...problem,
    })
  }
}

const problem = { 'content-type': 'application/problem+json' }

const batchBuckets = new Buckets()
/** Each item of a new batch costs one (2.98). */
export function spendBatch(c: Ctx, caller: Caller, items: number): void {
  const settings = bucketOf(c.env.BATCH_RATE_LIMIT ?? (c.env.RATE_LIMIT === 'off' ? 'off' : undefined), batchStandard)
  if (!settings || runCallerOf(c)) return
  const now = Date.now()
  const verdict = batchBuckets.spend(caller.environment.id, items, settings, now)
  if (verdict.allowed) return
  const seconds = secondsUntil(verdict.reset, now)
  throw new OperationError(
    'RATE_LIMITED',
    `Batch rate limit exceeded: ${items} items asked, ${verdict.remaining} of ${verdict.limit} left. Retry in ${seconds} seconds.`,
    { headers: { ...headersOf(verdict), 'retry-after': String(seconds) } },
  )
}

/** Uploads to a batch created here are paid for with its items. */
const grants = new Map<string, number>()
export function grantUploads(batchId: string): void {
  dropOldest(grants)
  grants.set(batchId, uploadGrants)
}

function spendGrant(method: string, path: string): boolean {
  const id = method === 'POST' ? /^\/api\/v3\/batches\/([^/]+)\/items$/.exec(path)?.[1] : undefined
  const left = id ? (grants.get(id) ?? 0) : 0
  if (left > 0) grants.set(id as string, left - 1)
  return left > 0
}

function spendWindow(windows: Map<string, { count: number; until: number }>, key: string, limit: number, now: number): Verdict {
  const known = windows.get(key)
  if (!known) dropOldest(windows)
  const current = known && known.until > now ? known : { count: 0, until: now + publicWindowMs }
  const allowed = current.count < limit
  if (allowed) current.count += 1
  windows.set(key, current)
  return { allowed, limit, remaining: limit - current.count, reset: current.until }
}

function headersOf({ limit, remaining, reset }: Verdict): Record<string, string> {
  return {
    'x-ratelimit-limit': String(limit),
    'x-ratelimit-remaining': String(remaining),
    'x-ratelimit-reset': String(reset),
  }
}

function secondsUntil(reset: number, now: number): number {
  return Math.max(1, Math.ceil((reset - now) / 1_000))
}

function dropOldest(map: Map<string, unknown>): void {
  if (map.size >= maxEntries) map.delete(map.keys().next().value as string)
}

function bucketOf(text: string | undefined, otherwise: Settings): Settings | undefined {
  if (text === 'off') return undefined
  const match = /^(\d+):(\d+)$/.exec(text ?? '')
  return match ? { burst: Number(match[1]), refill: Number(match[2]) } : otherwise
}

function publicLimit(env: Env): number | undefined {
  const text = env.PUBLIC_RATE_LIMIT ?? (env.RATE_LIMIT === 'off' ? 'off' : undefined)
  if (text === 'off') return undefined
  return Number(text) > 0 ? Number(text) : publicStandard
}
