import { describe, expect, it } from 'vitest'
import { keyOf, sdkOptions } from './options.ts'

const run = async (): Promise<void> => {}

describe('options of task() in the words of the SDK', () => {
  it('as on the front page', () => {
    const given = {
      id: 'process-video',
      retry: { maxAttempts: 3, backoff: 'exponential', initialDelay: '1s', maxDelay: '1h', factor: 2, jitter: true },
      concurrency: { limit: 10, key: 'payload.userId' },
      rateLimit: { limit: 100, period: '1m' },
      keywords: ['transcode', 'video'],
      maxDuration: '5m',
      run,
    }
    const { concurrency: _own, ...others } = given
    expect(sdkOptions(given)).toEqual({
      ...others,
      concurrencyKeyPath: 'payload.userId',
      retry: { ...given.retry, minTimeoutInMs: 1_000, maxTimeoutInMs: 3_600_000, randomize: true },
      queue: { concurrencyLimit: 10 },
      maxDuration: 300,
    })
  })

  it('the SDK’s own words are passed on', () => {
    const given = {
      id: 'a',
      retry: { maxAttempts: 2, factor: 1.8, minTimeoutInMs: 500, maxTimeoutInMs: 3_000, randomize: false },
      queue: { name: 'slow', concurrencyLimit: 1 },
      machine: 'small-2x',
      maxDuration: 60,
      ttl: '10m',
      run,
    }
    expect(sdkOptions(given)).toEqual(given)
    for (const concurrency of [{ perKey: 1 }, [{ total: 2 }, 'shared'], { name: 'shared' }])
      expect(sdkOptions({ id: 'a', concurrency, run })).toEqual({ id: 'a', concurrency, run })
  })

  it('a fixed pause does not grow, numbers are milliseconds', () => {
    expect(sdkOptions({ id: 'a', retry: { backoff: 'fixed', initialDelay: 250, factor: 3 }, run }).retry).toMatchObject({
      factor: 1,
      minTimeoutInMs: 250,
    })
  })

  it.each<[object, string]>([
    [{ retry: { maxAttempts: 0 } }, 'retry.maxAttempts must be a whole number of at least 1, not 0'],
    [{ retry: { backoff: 'quadratic' } }, 'retry.backoff must be exponential, linear or fixed, not "quadratic"'],
    [
      { retry: { initialDelay: '1x' } },
      "retry.initialDelay must be milliseconds or a duration such as '30s' or '1h30m', not \"1x\"",
    ],
    [{ retry: { initialDelay: -1 } }, 'retry.initialDelay'],
    [{ retry: { maxDelay: '8d' } }, 'retry.maxDelay is at most 7d'],
    [{ retry: { initialDelay: '5s', maxDelay: 4_000 } }, 'retry.maxDelay 4000 is shorter than retry.initialDelay "5s"'],
    [{ retry: { factor: 0.5 } }, 'retry.factor must be a number of at least 1'],
    [{ retry: { jitter: 'yes' } }, 'retry.jitter must be true or false'],
    [{ retry: 3 }, 'retry must be an object'],
    [{ concurrency: { limit: 0 } }, 'concurrency.limit'],
    [{ concurrency: { limit: 1.5 } }, 'concurrency.limit'],
    [{ concurrency: { limit: 1, key: 'userId' } }, 'concurrency.key must be a path such as payload.userId, not "userId"'],
    [{ concurrency: { limit: 1 }, queue: { concurrencyLimit: 2 } }, 'concurrency.limit and queue cannot both be given'],
    [{ rateLimit: { limit: 1 } }, 'rateLimit.period'],
    [{ rateLimit: { limit: 1, period: 500 } }, 'rateLimit.period must be at least 1s'],
    [{ rateLimit: { limit: 1n, period: '1m' } }, 'rateLimit.limit must be a whole number of at least 1, not 1n'],
    [{ rateLimit: { limit: 1, period: '1m', key: 'payload.' } }, 'rateLimit.key'],
    [{ keywords: 'video' }, 'keywords must be an array of words'],
    [{ keywords: [''] }, 'keywords'],
    [{ maxDuration: 'soon' }, 'maxDuration'],
  ])('%o is refused by name', (options, message) => {
    expect(() => sdkOptions({ id: 'a', run, ...options })).toThrow(`Task a: ${message}`)
  })

  it('a task needs an id', () => {
    expect(() => sdkOptions({ run })).toThrow('needs an id')
  })

  it('a key is read where its path leads', () => {
    expect(keyOf('payload.user.id', { user: { id: 7 } })).toBe('7')
    for (const payload of [undefined, null, 'x', { user: null }, { user: { id: {} } }])
      expect(keyOf('payload.user.id', payload)).toBeUndefined()
    expect(keyOf('payload.toString', {})).toBeUndefined()
  })
})
