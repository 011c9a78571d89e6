/** Token bucket per key in the isolate's memory (api-surface.md §1.8): a brake for runaway callers, not an account. */
import type { MiddlewareHandler } from 'hono'
import { bearer, runCallerOf } from './request.ts'
import type { Bindings } from './route.ts'

const exempt =
  /^\/api\/(v1\/timezones|v1\/auth\/jwt\/claims|v[12]\/packets\/|v1\/waitpoints\/tokens\/[^/]+\/callback\/|v\d\/deployments|v1\/artifacts|v2\/whoami|v1\/(token|authorization-code)$)/
const standard = { burst: 750, refill: 250 }
const windowMs = 10_000
const maxBuckets = 10_000

export function rateLimit(): MiddlewareHandler<Bindings> {
  const buckets = new Map<string, { tokens: number; at: number }>()
  return async (c, next) => {
    if (c.env.RATE_LIMIT === 'off' || exempt.test(c.req.path) || runCallerOf(c)) return next()
    const token = bearer(c)
    if (!token) {
      const detail = 'No authorization header provided'
      return c.json(
        { title: 'Unauthorized', status: 401, type: 'https://trigger.dev/docs/errors', detail, error: detail },
        401,
        problem,
      )
    }
    const { burst, refill } = settingsOf(c.env.RATE_LIMIT)
    const now = Date.now()
    const known = buckets.get(token)
    const tokens = known ? Math.min(burst, known.tokens + ((now - known.at) / windowMs) * refill) : burst
    if (buckets.size >= maxBuckets && !known) buckets.delete(buckets.keys().next().value as string)
    const allowed = tokens >= 1
    buckets.set(token, { tokens: allowed ? tokens - 1 : tokens, at: now })
    const remaining = Math.max(0, Math.floor(allowed ? tokens - 1 : tokens))
    const reset = now + Math.ceil(((allowed ? 0 : 1 - tokens) / refill) * windowMs)
    const headers = {
      'x-ratelimit-limit': String(burst),
      'x-ratelimit-remaining': String(remaining),
      'x-ratelimit-reset': String(reset),
    }
    if (allowed) {
      await next()
      for (const [name, value] of Object.entries(headers)) c.header(name, value)
      return
    }
    const secondsUntilReset = Math.max(1, Math.ceil((reset - now) / 1000))
    const detail = `Rate limit exceeded ${remaining}/${burst} requests remaining. Retry in ${secondsUntilReset} seconds.`
    const body = {
      title: 'Rate Limit Exceeded',
      status: 429,
      type: 'https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/429',
    }
    return c.json({ ...body, detail, reset, limit: burst, remaining, secondsUntilReset, error: detail }, 429, {
      ...headers,
      ...problem,
    })
  }
}

const problem = { 'content-type': 'application/problem+json' }

function settingsOf(text: string | undefined): { burst: number; refill: number } {
  const match = /^(\d+):(\d+)$/.exec(text ?? '')
  return match ? { burst: Number(match[1]), refill: Number(match[2]) } : standard
}
