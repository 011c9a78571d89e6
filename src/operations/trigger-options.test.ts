import { describe, expect, it } from 'vitest'
import type { EnvironmentIdentity, TriggerOptions } from '../contracts/rpc.ts'
import { triggerBodySchema } from '../contracts/trigger.schema.ts'
import { triggerOptions } from './trigger-options.ts'

const now = 1_800_000_000_000

function read(options: Record<string, unknown>, environment: Partial<EnvironmentIdentity> = {}): TriggerOptions {
  const identity = { type: 'PRODUCTION', ...environment } as EnvironmentIdentity
  return triggerOptions('t', triggerBodySchema.parse({ options }), {
    now,
    environment: identity,
    regions: 'eu,home=weur,away=enam',
  })
}

describe('options of a trigger', () => {
  it.each([
    ['1h', now + 3_600_000],
    [new Date(now + 5_000).toISOString(), now + 5_000],
    [now + 7_000, now + 7_000],
    ['99999999999w', now + 100 * 365 * 86_400_000],
    [1e300, undefined],
    [8e15, 9_000_000_000_000],
    ['soon', undefined],
    ['1.5h', undefined],
    ['-5s', undefined],
    ['10', undefined],
    ['0s', undefined],
    [new Date(now - 1).toISOString(), undefined],
    [-1, undefined],
  ])('delay %s', (delay, at) => {
    expect(read({ delay }).delayUntil).toBe(at)
  })

  it.each([
    [0, '0s'],
    [120, '2m'],
    [3_600, '1h'],
    [90_061, '1d1h1m1s'],
    ['1h30m', '1h30m'],
    ['whenever', 'whenever'],
  ])('ttl %s', (ttl, text) => {
    expect(read({ ttl }).ttl).toBe(text)
  })

  it('reads a debounce, whose delays are durations', () => {
    const key = 'k'
    expect(read({ debounce: { key, delay: '5s' } }).debounce).toEqual({ key, delayMs: 5_000, mode: 'leading' })
    expect(read({ debounce: { key, delay: '1m30s', mode: 'trailing', maxDelay: '1h' } }).debounce).toEqual({
      key,
      delayMs: 90_000,
      mode: 'trailing',
      maxDelayMs: 3_600_000,
    })
    expect(read({ delay: '1h', debounce: { key, delay: '5s' } })).toMatchObject({ delayUntil: now + 3_600_000 })
  })

  it.each([
    [{ delay: 'soon' }, {}, 'Invalid debounce.delay: "soon"'],
    [{ delay: new Date(now + 5_000).toISOString() }, {}, 'Invalid debounce.delay'],
    [{ delay: '0s' }, {}, 'at least 1s'],
    [{ delay: '5s', maxDelay: 'later' }, {}, 'Invalid debounce.maxDelay: "later"'],
    [{ delay: '5s', maxDelay: '5s' }, {}, 'debounce.maxDelay "5s" must be longer than debounce.delay "5s"'],
    [{ delay: '5s' }, { delay: 'soon' }, 'options.delay "soon"'],
    [{ delay: '5s' }, { delay: new Date(now - 1).toISOString() }, 'options.delay'],
  ])('refuses the debounce %o beside %o', (debounce, options, message) => {
    expect(() => read({ ...options, debounce: { key: 'k', ...debounce } })).toThrow(message)
  })

  it('clamps maxDuration and priority', () => {
    expect(read({ maxDuration: 1 }).maxDuration).toBe(5)
    expect(read({ maxDuration: 1e12 }).maxDuration).toBe(2_147_483_647)
    expect(read({ priority: 1.2345 }).priorityMs).toBe(1_235)
    expect(read({ priority: 1e9 }).priorityMs).toBe(2_147_483_647)
    expect(read({ priority: -1e9 }).priorityMs).toBe(-2_147_483_648)
  })

  it('takes the name of a queue however it is wrapped, and cleans it', () => {
    expect(read({ queue: { name: 'a b!/c', concurrencyLimit: 3 } }).queue).toBe('ab/c')
    expect(read({ queue: { name: { name: 'x'.repeat(200) } } }).queue).toBe('x'.repeat(128))
    expect(read({ queue: { name: '!!!' } }).queue).toBe('task/t')
    expect(read({ queue: {} }).queue).toBeUndefined()
    expect(read({ concurrencyKey: 7 }).concurrencyKey).toBe('7')
  })

  it('knows the regions that were set up; development has none', () => {
    expect(read({ region: 'eu' }).region).toBe('eu')
    expect(() => read({ region: 'us' })).toThrow('The region you specified doesn\'t exist ("us").')
    expect(read({ region: 'us' }, { type: 'DEVELOPMENT' }).region).toBeUndefined()
    expect(read({ region: 'home' }, { region: 'home' }).region).toBe('home')
    expect(() => read({ region: 'away' }, { region: 'home' })).toThrow('isn\'t available to you ("away")')
  })

  it('refuses what it would have to ignore', () => {
    for (const [name, value] of [
      ['concurrency', ['a']],
      ['gates', [{ queue: 'q' }]],
      ['dependentAttempt', 'attempt_1'],
    ] as const) {
      expect(() => read({ [name]: value }), name).toThrow(new RegExp(`${name}.*not built`))
    }
    for (const options of [{ concurrency: [] }, { gates: [] }]) expect(() => read(options)).not.toThrow()
  })

  it('pins to an external id, unless a version is locked', () => {
    const id = (options: Record<string, unknown>, environment = {}): string | undefined =>
      read(options, environment).externalDeploymentId
    expect(id({ externalDeploymentId: ' abc ' })).toBe('abc')
    expect(id({ externalDeploymentId: '  ' })).toBeUndefined()
    expect(id({ externalDeploymentId: null })).toBeUndefined()
    expect(id({ externalDeploymentId: 'abc', lockToVersion: '20260101.1' })).toBeUndefined()
    expect(id({ externalDeploymentId: 'abc' }, { type: 'DEVELOPMENT' })).toBeUndefined()
  })
})
