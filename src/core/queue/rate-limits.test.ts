import { describe, expect, it } from 'vitest'
import type { RateLimitSettings } from '../../contracts/rpc.ts'
import { rateKeyOf, rateLimitProblem, ratesOf } from './rate-limits.ts'

const problem = (rateLimit: unknown): string | undefined =>
  rateLimitProblem([{ id: 'fine' }, { id: 'mail', rateLimit: rateLimit as RateLimitSettings }])

describe('a declared rate limit', () => {
  it('is what admission counts by', () => {
    const tasks = [
      { id: 'a', rateLimit: { limit: 100, period: '1m', key: 'payload.userId' } },
      { id: 'b' },
      { id: 'c', rateLimit: { limit: 1, period: '1s' } },
    ]
    expect(rateLimitProblem(tasks)).toBeUndefined()
    expect([...ratesOf(tasks)]).toEqual([
      ['a', { limit: 100, periodMs: 60_000, isKeyed: true }],
      ['c', { limit: 1, periodMs: 1_000, isKeyed: false }],
    ])
  })

  it.each([
    [5, 'Task "mail": rateLimit must be an object'],
    [null, 'Task "mail": rateLimit must be an object'],
    [{ limit: 0, period: '1m' }, 'Task "mail": rateLimit.limit must be a whole number from 1 to 1000000, not 0.'],
    [{ limit: 1.5, period: '1m' }, 'rateLimit.limit'],
    [{ limit: '5', period: '1m' }, 'rateLimit.limit'],
    [{ period: '1m' }, 'rateLimit.limit'],
    [{ limit: 1 }, 'rateLimit.period'],
    [{ limit: 1, period: 60_000 }, 'rateLimit.period must be a duration from "1s" to "30d", like "1m" or "1h30m", not 60000.'],
    [{ limit: 1, period: '0s' }, 'rateLimit.period'],
    [{ limit: 1, period: '31d' }, 'rateLimit.period'],
    [{ limit: 1, period: 'minute' }, 'rateLimit.period'],
    [{ limit: 1_001, period: '1s' }, 'rateLimit.limit 1001 per 1s is more than 1000 a second'],
    [{ limit: 1, period: '1s', key: 'userId' }, 'rateLimit.key'],
    [{ limit: 1, period: '1s', key: 'payload' }, 'rateLimit.key'],
    [{ limit: 1, period: '1s', key: '' }, 'rateLimit.key'],
    [{ limit: 1, period: '1s', keys: 'payload.a' }, 'rateLimit has no field "keys"'],
  ])('%j is refused by task and field', (given, text) => {
    expect(problem(given)).toContain(text)
  })
})

describe('the key of a payload', () => {
  const key = (path: string, data: unknown, dataType = 'application/json'): string | undefined =>
    rateKeyOf({ limit: 1, period: '1s', key: path }, { data: typeof data === 'string' ? data : JSON.stringify(data), dataType })

  it.each([
    ['payload.user', { user: 'u1' }, 'u1'],
    ['payload.user.id', { user: { id: 7 } }, '7'],
    ['payload.0.on', [{ on: true }], 'true'],
    ['payload.user', { user: {} }, undefined],
    ['payload.user', { user: null }, undefined],
    ['payload.user.id', {}, undefined],
    ['payload.toString', {}, undefined],
    ['payload.length', '"text"', undefined],
    ['payload.user', 'no json', undefined],
  ])('%s of %j', (path, data, expected) => {
    expect(key(path, data)).toBe(expected)
  })
  it('is read from super+json, and not from text or from what is stored elsewhere', () => {
    expect(key('payload.user', { json: { user: 'u1' }, meta: {} }, 'application/super+json')).toBe('u1')
    expect(key('payload.user', { user: 'u1' }, 'text/plain')).toBeUndefined()
    expect(key('payload.user', 'packets/x', 'application/store')).toBeUndefined()
    expect(rateKeyOf({ limit: 1, period: '1s' }, { data: '{}', dataType: 'application/json' })).toBeUndefined()
  })
  it('is cut', () => {
    expect(key('payload.a', { a: 'x'.repeat(1_000) })).toHaveLength(256)
  })
})
