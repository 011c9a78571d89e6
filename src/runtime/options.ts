/**
 * The options of our `task()` in the SDK's words. What the SDK does not know stays in the object it is given: the platform reads
 * it from there. A bad option fails where the task is written.
 */
import { parseDuration } from '../contracts/durations.ts'

/** `'30s'`, `'1h30m'`, `'2d'`, or a number of milliseconds. */
export type Duration = string | number

export interface RetryOptions {
  /** How often a run is tried in all. */
  maxAttempts?: number
  /** How the pause grows: `exponential` by `factor`, `linear` by `initialDelay`, or `fixed`. */
  backoff?: 'exponential' | 'linear' | 'fixed'
  /** The first pause. */
  initialDelay?: Duration
  /** No pause is longer. */
  maxDelay?: Duration
  factor?: number
  /** Spreads the pauses at random, so that many runs do not try again together. */
  jitter?: boolean
  /** The SDK's own words are taken as well. */
  minTimeoutInMs?: number
  maxTimeoutInMs?: number
  randomize?: boolean
  outOfMemory?: { machine?: string }
}

export interface OwnOptions {
  retry?: RetryOptions
  /** How many runs execute at once: of the task, or of each value of `key`, a path such as `payload.userId`. */
  concurrency?: { limit: number; key?: string }
  /** How many runs start within a period: of the task, or of each value of `key`. */
  rateLimit?: { limit: number; period: Duration; key?: string }
  /** Words a sentence may call the task by, beside its id and description. */
  keywords?: string[]
  /** Seconds, or a duration such as `'5m'`. */
  maxDuration?: number | string
}

type Plain = Record<string, unknown>
const longestDelayMs = 7 * 86_400_000

export function sdkOptions(options: object): Plain {
  const { id } = options as { id?: unknown }
  if (typeof id !== 'string' || id === '') throw new TypeError('A task needs an id.')
  const check = new Check(id)
  const { retry, concurrency, rateLimit, keywords, maxDuration, ...rest } = options as OwnOptions & Plain
  const result: Plain = { ...rest }
  if (retry !== undefined) result.retry = retryOptions(check, retry)
  if (concurrency !== undefined) {
    if (!isOwnConcurrency(concurrency)) result.concurrency = concurrency
    else {
      check.count('concurrency.limit', concurrency.limit)
      check.path('concurrency.key', concurrency.key)
      const { queue } = rest
      if (queue !== undefined) check.fail('concurrency.limit', 'and queue cannot both be given: set queue.concurrencyLimit')
      result.queue = { concurrencyLimit: concurrency.limit }
      if (concurrency.key !== undefined) result.concurrencyKeyPath = concurrency.key
    }
  }
  if (rateLimit !== undefined) {
    check.object('rateLimit', rateLimit)
    check.count('rateLimit.limit', rateLimit.limit)
    const periodMs = check.duration('rateLimit.period', rateLimit.period)
    if (periodMs < 1_000) check.fail('rateLimit.period', 'must be at least 1s')
    check.path('rateLimit.key', rateLimit.key)
    result.rateLimit = rateLimit
  }
  if (keywords !== undefined) {
    const areWords = Array.isArray(keywords) && keywords.every((word) => typeof word === 'string' && word.trim() !== '')
    if (!areWords) check.fail('keywords', 'must be an array of words')
    result.keywords = keywords
  }
  if (maxDuration !== undefined)
    result.maxDuration = typeof maxDuration === 'number' ? maxDuration : check.duration('maxDuration', maxDuration) / 1_000
  return result
}

/** The SDK has a `concurrency` of its own (`perKey`, `total`, names), which is passed on. */
function isOwnConcurrency(concurrency: unknown): concurrency is { limit: number; key?: string } {
  if (typeof concurrency !== 'object' || concurrency === null || Array.isArray(concurrency)) return false
  return !('name' in concurrency || 'perKey' in concurrency || 'total' in concurrency)
}

function retryOptions(check: Check, retry: RetryOptions): Plain {
  check.object('retry', retry)
  const { maxAttempts, backoff, initialDelay, maxDelay, factor, jitter } = retry
  if (maxAttempts !== undefined) check.count('retry.maxAttempts', maxAttempts)
  if (backoff !== undefined && !['exponential', 'linear', 'fixed'].includes(backoff))
    check.fail('retry.backoff', `must be exponential, linear or fixed, not ${JSON.stringify(backoff)}`)
  const firstMs = initialDelay === undefined ? undefined : check.duration('retry.initialDelay', initialDelay, longestDelayMs)
  const mostMs = maxDelay === undefined ? undefined : check.duration('retry.maxDelay', maxDelay, longestDelayMs)
  if (firstMs !== undefined && mostMs !== undefined && mostMs < firstMs)
    check.fail('retry.maxDelay', `${JSON.stringify(maxDelay)} is shorter than retry.initialDelay ${JSON.stringify(initialDelay)}`)
  if (factor !== undefined && !(typeof factor === 'number' && factor >= 1 && Number.isFinite(factor)))
    check.fail('retry.factor', 'must be a number of at least 1')
  if (jitter !== undefined && typeof jitter !== 'boolean') check.fail('retry.jitter', 'must be true or false')
  return {
    ...retry,
    ...(firstMs === undefined ? {} : { minTimeoutInMs: firstMs }),
    ...(mostMs === undefined ? {} : { maxTimeoutInMs: mostMs }),
    // A platform that only knows the SDK's words grows by a factor; a linear pause it cannot say.
    ...(backoff === 'fixed' ? { factor: 1 } : {}),
    ...(jitter === undefined ? {} : { randomize: jitter }),
  }
}

/** The value at `payload.a.b` as a concurrency key; undefined when there is none. */
export function keyOf(path: string, payload: unknown): string | undefined {
  let value = payload
  for (const name of path.split('.').slice(1)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Plain)[name]
  }
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : undefined
}

class Check {
  readonly #task: string

  constructor(task: string) {
    this.#task = task
  }

  fail(field: string, what: string): never {
    throw new TypeError(`Task ${this.#task}: ${field} ${what}.`)
  }

  object(field: string, value: unknown): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail(field, 'must be an object')
  }

  count(field: string, value: unknown): void {
    if (!Number.isInteger(value) || (value as number) < 1)
      this.fail(field, `must be a whole number of at least 1, not ${say(value)}`)
  }

  duration(field: string, value: unknown, mostMs = Number.POSITIVE_INFINITY): number {
    const ms = typeof value === 'string' ? parseDuration(value) : value
    if (typeof ms !== 'number' || !Number.isFinite(ms) || ms < 0)
      this.fail(field, `must be milliseconds or a duration such as '30s' or '1h30m', not ${say(value)}`)
    if (ms > mostMs) this.fail(field, `is at most ${mostMs / 86_400_000}d`)
    return ms
  }

  path(field: string, value: unknown): void {
    if (value === undefined) return
    if (typeof value !== 'string' || !/^payload(\.[^.\s]+)+$/.test(value))
      this.fail(field, `must be a path such as payload.userId, not ${say(value)}`)
  }
}

function say(value: unknown): string {
  return typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? String(value))
}
