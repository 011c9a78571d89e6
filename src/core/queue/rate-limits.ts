/** Rate limits as tasks declare them: what is wrong with one, what admission counts by, and whose bucket a payload names. */
import { parseDuration } from '../../contracts/durations.ts'
import type { Packet, RateLimitSettings, TaskDefinition } from '../../contracts/rpc.ts'
import type { RateLimit } from './token-bucket.ts'

const most = { limit: 1_000_000, periodMs: 30 * 86_400_000, perSecond: 1_000, keyChars: 200 }
/** What tells two buckets apart; what comes after is ignored. */
const keyValueChars = 256

export function ratesOf(tasks: Pick<TaskDefinition, 'id' | 'rateLimit'>[]): Map<string, RateLimit> {
  const rates = new Map<string, RateLimit>()
  for (const { id, rateLimit } of tasks) {
    const periodMs = parseDuration(rateLimit?.period ?? '')
    if (rateLimit && periodMs) rates.set(id, { limit: rateLimit.limit, periodMs, isKeyed: rateLimit.key !== undefined })
  }
  return rates
}

/** Names every rate limit that is not valid, with the task and the field. */
export function rateLimitProblem(tasks: Pick<TaskDefinition, 'id' | 'rateLimit'>[]): string | undefined {
  const problems = tasks.flatMap(({ id, rateLimit }) => {
    const problem = rateLimit === undefined ? undefined : problemOf(rateLimit)
    return problem ? [`Task "${id}": rateLimit${problem}`] : []
  })
  return problems.length > 0 ? problems.join('\n') : undefined
}

function problemOf(given: unknown): string | undefined {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return ' must be an object { limit, period, key }.'
  const { limit, period, key, ...others } = given as Record<string, unknown>
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) return ` has no field "${unknown}": it takes limit, period and key.`
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > most.limit)
    return `.limit must be a whole number from 1 to ${most.limit}, not ${JSON.stringify(limit)}.`
  const periodMs = typeof period === 'string' ? parseDuration(period) : undefined
  if (periodMs === undefined || periodMs < 1_000 || periodMs > most.periodMs)
    return `.period must be a duration from "1s" to "30d", like "1m" or "1h30m", not ${JSON.stringify(period)}.`
  if ((limit as number) * 1_000 > most.perSecond * periodMs)
    return `.limit ${limit} per ${period} is more than ${most.perSecond} a second; leave the rate limit away instead.`
  if (key === undefined) return undefined
  const isPath = typeof key === 'string' && key.length <= most.keyChars && /^payload(\.[\w$-]+)+$/.test(key)
  return isPath ? undefined : `.key must be a path into the payload, like "payload.userId", not ${JSON.stringify(key)}.`
}

/**
 * The value the limit's key has in this payload. Nothing when it is no text, number or boolean, when the payload is no JSON, or
 * when it is stored elsewhere: such runs share one bucket.
 */
export function rateKeyOf(rateLimit: RateLimitSettings | undefined, payload: Packet): string | undefined {
  return keyAt(rateLimit?.key, payload)
}

/** The same for any path `payload.a.b`. */
export function keyAt(path: string | undefined, payload: Packet): string | undefined {
  const isJson = payload.dataType === 'application/json' || payload.dataType === 'application/super+json'
  if (!path || !isJson || payload.data === undefined) return undefined
  let at: unknown
  try {
    at = JSON.parse(payload.data)
  } catch {
    return undefined
  }
  if (payload.dataType === 'application/super+json') at = own(at, 'json')
  for (const name of path.split('.').slice(1)) at = own(at, name)
  return ['string', 'number', 'boolean'].includes(typeof at) ? String(at).slice(0, keyValueChars) : undefined
}

function own(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}
