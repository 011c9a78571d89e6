import { describe, expect, it } from 'vitest'
import { retryDelay } from '../core/run/retry.ts'
import { retryProblem } from './backoff.ts'
import type { RetrySettings } from './rpc.ts'

/** As the SDK hands it on, filled up. */
const filled = { maxAttempts: 5, factor: 2, minTimeoutInMs: 1_000, maxTimeoutInMs: 60_000, randomize: true }
const delays = (given: RetrySettings, random = 0): (number | undefined)[] =>
  [1, 2, 3, 4].map((attempt) => retryDelay({ ...filled, ...given }, attempt, random))

describe('the delay of a retry', () => {
  it.each<[string, RetrySettings, number[]]>([
    ['exponential', { backoff: 'exponential', initialDelay: 500 }, [500, 1_000, 2_000, 4_000]],
    ['exponential with a factor', { backoff: 'exponential', initialDelay: 500, factor: 3 }, [500, 1_500, 4_500, 13_500]],
    ['linear', { backoff: 'linear', initialDelay: '2s' }, [2_000, 4_000, 6_000, 8_000]],
    ['linear with an end', { backoff: 'linear', initialDelay: '2s', maxDelay: '5s' }, [2_000, 4_000, 5_000, 5_000]],
    ['fixed', { backoff: 'fixed', initialDelay: '3s' }, [3_000, 3_000, 3_000, 3_000]],
    ['fixed, longer than the SDK delays', { backoff: 'fixed', initialDelay: '5m' }, [300_000, 300_000, 300_000, 300_000]],
    ['fixed, from the SDK words', { backoff: 'fixed', minTimeoutInMs: 700 }, [700, 700, 700, 700]],
    ['that of the SDK', {}, [1_000, 2_000, 4_000, 8_000]],
    ['that of the SDK with an end of ours', { maxDelay: 3_000 }, [1_000, 2_000, 3_000, 3_000]],
  ])('%s', (_, given, expected) => {
    expect(delays(given)).toEqual(expected)
  })

  it('jitters when told to, and exponential ones unless told not to', () => {
    expect(delays({ backoff: 'fixed', initialDelay: 1_000 }, 0.5)[0]).toBe(1_000)
    expect(delays({ backoff: 'fixed', initialDelay: 1_000, jitter: true }, 0.5)[0]).toBe(1_500)
    expect(delays({ backoff: 'exponential', initialDelay: 1_000 }, 0.5)[0]).toBe(1_500)
    expect(delays({ backoff: 'exponential', initialDelay: 1_000, jitter: false }, 0.5)[0]).toBe(1_000)
  })

  it.each([
    [{ backoff: 'quadratic' }, 'retry.backoff must be one of exponential, linear, fixed, not "quadratic".'],
    [{ initialDelay: 'soon' }, 'retry.initialDelay must be milliseconds or a duration like "5s", at most 7d, not "soon".'],
    [{ initialDelay: -1 }, 'retry.initialDelay'],
    [{ maxDelay: '8d' }, 'retry.maxDelay'],
    [{ initialDelay: '5s', maxDelay: 4_000 }, 'retry.maxDelay 4000 is shorter than retry.initialDelay "5s".'],
    [{ jitter: 0.5 }, 'retry.jitter must be true or false, not 0.5.'],
  ])('%j is refused', (given, text) => {
    expect(retryProblem(given as RetrySettings)).toContain(text)
  })
  it('is right as the SDK fills it in, and when nothing is said', () => {
    expect(retryProblem({ ...filled, backoff: 'linear', initialDelay: '1s', maxDelay: '1m', jitter: true })).toBeUndefined()
    expect(retryProblem(undefined)).toBeUndefined()
  })
})
