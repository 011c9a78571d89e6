/** Inside a task: tasks are the SDK's, checkpoints and progress belong to the run. */
import { resourceCatalog, runMetadata, taskContext } from '@trigger.dev/core/v3'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { configure } from '../client/settings.ts'
import { checkpoint } from './checkpoint.ts'
import { progress } from './progress.ts'
import { schedules, task } from './task.ts'

const asked: { method: string; path: string; body: unknown }[] = []
const rows: unknown[] = []

afterEach(() => {
  taskContext.disable?.()
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
  asked.length = 0
})

function inRun(): void {
  vi.stubEnv('TRIGGER_RUN_ID', 'run_1')
  configure({
    baseURL: 'https://api.test',
    accessToken: 'k',
    fetch: async (input, init = {}) => {
      const body = init.body ? JSON.parse(String(init.body)) : undefined
      asked.push({ method: init.method as string, path: new URL(String(input)).pathname, body })
      return new Response(JSON.stringify({ ok: true, data: rows }))
    },
  })
}

describe('task()', () => {
  it('registers a task of the SDK, with the options it knows and those it does not', () => {
    const registered = vi.spyOn(resourceCatalog, 'registerTaskMetadata')
    const made = task({
      id: 'process-video',
      retry: { maxAttempts: 3, backoff: 'linear', initialDelay: '1s' },
      concurrency: { limit: 10, key: 'payload.userId' },
      run: async (payload: { videoId: string; userId: string }) => ({ url: payload.videoId }),
    })
    expect(made.id).toBe('process-video')
    expect(registered.mock.calls[0]?.[0]).toMatchObject({
      id: 'process-video',
      retry: { maxAttempts: 3, backoff: 'linear', initialDelay: '1s', minTimeoutInMs: 1_000 },
      queue: { concurrencyLimit: 10 },
    })
  })

  it('refuses a bad option where it is written', () => {
    expect(() => task({ id: 'a', rateLimit: { limit: 0, period: '1m' }, run: async () => {} })).toThrow('Task a: rateLimit.limit')
    expect(() => schedules.task({ id: 'b', retry: { maxAttempts: 0 }, run: async () => {} })).toThrow('Task b: retry.maxAttempts')
  })

  it('sends the concurrency key along', async () => {
    const bodies: { options: { concurrencyKey?: string } }[] = []
    vi.stubEnv('TRIGGER_API_URL', 'https://api.test')
    vi.stubEnv('TRIGGER_SECRET_KEY', 'tr_dev_x')
    vi.stubGlobal('fetch', async (_: unknown, init: { body: string }) => {
      bodies.push(JSON.parse(init.body))
      return new Response('{"id":"run_1"}', { headers: { 'content-type': 'application/json' } })
    })
    const keyed = task({ id: 'k', concurrency: { limit: 1, key: 'payload.userId' }, run: async (_: { userId?: string }) => {} })
    await keyed.trigger({ userId: 'u1' })
    await keyed.trigger({ userId: 'u1' }, { concurrencyKey: 'mine' })
    await keyed.trigger({})
    expect(bodies.map(({ options }) => options.concurrencyKey)).toEqual(['u1', 'mine', undefined])
  })

  it('schedules are the SDK’s, with task() of ours', () => {
    const updated = vi.spyOn(resourceCatalog, 'updateTaskMetadata')
    schedules.task({ id: 'daily-cleanup', cron: '0 3 * * *', run: async () => {} })
    expect(updated.mock.calls[0]).toMatchObject(['daily-cleanup', { schedule: { cron: '0 3 * * *' } }])
    expect(schedules.create).toBeTypeOf('function')
  })
})

describe('checkpoint()', () => {
  it('stores, and finds what was stored', async () => {
    inRun()
    await checkpoint('down/loaded', { size: 1, none: undefined, at: new Date(0) })
    await checkpoint('empty')
    expect(asked).toEqual([
      { method: 'PUT', path: '/api/v1/runs/run_1/checkpoints/down%2Floaded', body: { size: 1, at: '1970-01-01T00:00:00.000Z' } },
      { method: 'PUT', path: '/api/v1/runs/run_1/checkpoints/empty', body: null },
    ])
    expect(await checkpoint.last()).toBeUndefined()
    rows.push({ name: 'a', data: 1, attempt: 1, createdAt: '1970-01-01T00:00:00.000Z' })
    rows.push({ name: 'b', data: null, attempt: 2, createdAt: '1970-01-01T00:00:01.000Z' })
    expect(await checkpoint.last()).toEqual({ name: 'b', data: null, attempt: 2, at: new Date(1_000) })
    expect([await checkpoint.get('a'), await checkpoint.get('b'), await checkpoint.get('c')]).toEqual([1, null, undefined])
  })

  it('refuses what cannot be stored, before asking', async () => {
    inRun()
    await expect(checkpoint('')).rejects.toThrow('1 to 128 characters')
    await expect(checkpoint('x'.repeat(129))).rejects.toThrow('1 to 128 characters')
    await expect(checkpoint('big', 'ä'.repeat(131_072))).rejects.toThrow('are 262146 bytes of JSON; at most 262144')
    await expect(checkpoint('bad', { a: 1n })).rejects.toThrow('The data of checkpoint bad.a is a bigint')
    expect(asked).toEqual([])
  })

  it('outside of a run says so', async () => {
    await expect(checkpoint('a')).rejects.toThrow('checkpoint() belongs into the code of a task')
    await expect(checkpoint.last()).rejects.toThrow('checkpoint.last() belongs')
    expect(() => progress('a', 1)).toThrow('progress() belongs into the code of a task')
  })

  it('knows the run from the SDK', async () => {
    inRun()
    taskContext.setGlobalTaskContext({ ctx: { run: { id: 'run_sdk' } }, worker: {} } as never)
    await checkpoint('a')
    expect(asked[0]?.path).toBe('/api/v1/runs/run_sdk/checkpoints/a')
  })
})

it('progress() is metadata of the run', () => {
  inRun()
  const set = vi.spyOn(runMetadata, 'set').mockReturnValue(runMetadata as never)
  progress('encoding', 40)
  expect(set).toHaveBeenCalledWith('progress', { stage: 'encoding', percent: 40 })
  for (const bad of [-1, 101, Number.NaN, '5' as never]) expect(() => progress('x', bad)).toThrow('from 0 to 100')
})
