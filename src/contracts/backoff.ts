/** Our words for retries (`backoff`, `initialDelay`, `maxDelay`, `jitter`) in the SDK's, which knows exponential delays only. */
import { parseDuration } from './durations.ts'
import type { RetrySettings } from './rpc.ts'

const kinds = ['exponential', 'linear', 'fixed']
const longestDelayMs = 7 * 86_400_000

/**
 * What the SDK computes the delay after this attempt from: with a factor of one, the delay itself. The SDK fills in what it
 * knows and we cannot tell that from what was written, so our words win, and linear and fixed delays jitter only when told to.
 */
export function settingsAt(given: RetrySettings, attempt: number): RetrySettings {
  const { backoff, initialDelay, maxDelay, jitter } = given
  if (backoff === undefined && initialDelay === undefined && maxDelay === undefined && jitter === undefined) return given
  const first = delayMs(initialDelay) ?? given.minTimeoutInMs ?? 1_000
  const isGrowing = backoff === undefined || backoff === 'exponential'
  return {
    ...given,
    factor: isGrowing ? (given.factor ?? 2) : 1,
    minTimeoutInMs: backoff === 'linear' ? first * attempt : first,
    maxTimeoutInMs: delayMs(maxDelay) ?? Math.max(first, given.maxTimeoutInMs ?? 60_000),
    randomize: jitter ?? (isGrowing ? (given.randomize ?? true) : false),
  }
}

/** Names the field that is not valid. */
export function retryProblem(given: RetrySettings | undefined): string | undefined {
  const { backoff, initialDelay, maxDelay, jitter } = (given ?? {}) as Record<string, unknown>
  if (backoff !== undefined && !kinds.includes(backoff as string))
    return `retry.backoff must be one of ${kinds.join(', ')}, not ${JSON.stringify(backoff)}.`
  for (const [name, value] of Object.entries({ initialDelay, maxDelay })) {
    const ms = delayMs(value)
    if (value !== undefined && (ms === undefined || ms < 0 || ms > longestDelayMs))
      return `retry.${name} must be milliseconds or a duration like "5s", at most 7d, not ${JSON.stringify(value)}.`
  }
  const [first, most] = [delayMs(initialDelay), delayMs(maxDelay)]
  if (first !== undefined && most !== undefined && most < first)
    return `retry.maxDelay ${JSON.stringify(maxDelay)} is shorter than retry.initialDelay ${JSON.stringify(initialDelay)}.`
  return jitter === undefined || typeof jitter === 'boolean'
    ? undefined
    : `retry.jitter must be true or false, not ${JSON.stringify(jitter)}.`
}

function delayMs(value: unknown): number | undefined {
  return typeof value === 'string'
    ? parseDuration(value)
    : typeof value === 'number' && Number.isFinite(value)
      ? value
      : undefined
}
