import { runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { finished, plain, record, runTask, until, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

interface Attempt {
  n: number
  at: number
}

describe.concurrent('failures and retries', () => {
  it('A04 fails at once without a retry setting', async () => {
    const run = await runTask('fails')
    expect(run).toMatchObject({ status: 'FAILED', isFailed: true, attemptCount: 1, error: { name: 'Error', message: 'no luck' } })
    expect(run.output).toBeUndefined()
  })

  it('keeps the name of a custom error', async () => {
    expect((await runTask('fails-custom')).error).toMatchObject({ name: 'CustomError', message: 'of my own' })
  })

  it('points the stack at the source file', async () => {
    const run = await runTask('stack')
    expect(run.error?.stackTrace).toMatch(/failures\.ts:\d+/)
    expect(run.error?.stackTrace).toContain('deeper')
  })

  it('A05 retries with growing delays until it succeeds', async () => {
    const run = await runTask('flaky', { failures: 2 })
    expect(run).toMatchObject({ status: 'COMPLETED', attemptCount: 3, output: { attempts: 3 } })
    const attempts = run.metadata?.attempts as unknown as Attempt[]
    expect(attempts.map((attempt) => attempt.n)).toEqual([1, 2, 3])
    const [first, second, third] = attempts.map((attempt) => attempt.at) as [number, number, number]
    expect(second - first).toBeGreaterThanOrEqual(290)
    expect(third - second).toBeGreaterThanOrEqual(590)
  })

  it('A06 fails when attempts are used up', async () => {
    const run = await runTask('flaky', { failures: 9 })
    expect(run).toMatchObject({ status: 'FAILED', attemptCount: 3, error: { message: 'attempt 3' } })
  })

  it('takes maxAttempts from the trigger', async () => {
    expect(await runTask('flaky', { failures: 9 }, { maxAttempts: 1 })).toMatchObject({ status: 'FAILED', attemptCount: 1 })
  })

  it('A08 does not retry an aborted run', async () => {
    expect(await runTask('aborts')).toMatchObject({ status: 'FAILED', attemptCount: 1, error: { message: 'stop here' } })
  })

  it('A09 keeps thrown text and objects', async () => {
    expect((await runTask('throws-text')).error?.message).toBe('boom')
    expect(JSON.parse((await runTask('throws-object')).error?.message as string)).toEqual({ code: 7 })
  })

  it('A10 lets catchError skip, delay or leave the retry', async () => {
    expect(await runTask('catches', { mode: 'skip' })).toMatchObject({ status: 'FAILED', attemptCount: 1 })
    expect(await runTask('catches', { mode: 'delay' })).toMatchObject({ status: 'COMPLETED', attemptCount: 2 })
    expect(await runTask('catches', { mode: 'nothing' })).toMatchObject({ status: 'FAILED', attemptCount: 3 })
  })

  it('A12 stops a run at maxDuration', async () => {
    const run = await runTask('too-long')
    expect(run).toMatchObject({ status: 'TIMED_OUT', attemptCount: 1 })
  })

  it('refuses a payload that does not fit the schema', async () => {
    const run = await runTask('validated', { name: 5 })
    expect(run).toMatchObject({ status: 'FAILED', attemptCount: 1 })
    expect((await runTask('validated', { name: 'x' })).output).toEqual({ name: 'x', age: 7 })
  })
})

describe.concurrent('hooks', () => {
  it('A11 run in order when it succeeds', async () => {
    const notes = record()
    const run = await runTask('hooks', { recorder: notes.url })
    expect(run).toMatchObject({ status: 'COMPLETED', output: { made: 'by init' } })
    expect(await notes.read()).toEqual([
      'middleware in',
      'init',
      'onStart',
      'onStartAttempt',
      'run 1',
      'onSuccess',
      'onComplete true',
      'cleanup',
      'middleware out',
    ])
  })

  it('A11 call onStart once over two attempts', async () => {
    const notes = record()
    await runTask('hooks', { recorder: notes.url, failures: 1 })
    const list = await notes.read()
    expect(list.filter((note) => note === 'onStart')).toHaveLength(1)
    expect(list.filter((note) => note === 'init')).toHaveLength(2)
    expect(list.filter((note) => note === 'onStartAttempt')).toHaveLength(2)
    expect(list.filter((note) => note.startsWith('onComplete'))).toEqual(['onComplete true'])
    expect(list.filter((note) => note === 'cleanup')).toHaveLength(2)
  })

  it('A06 call onFailure and onComplete once when it fails', async () => {
    const notes = record()
    expect((await runTask('hooks', { recorder: notes.url, failures: 9 })).status).toBe('FAILED')
    const list = await notes.read()
    expect(list.filter((note) => note === 'onFailure')).toHaveLength(1)
    expect(list.filter((note) => note.startsWith('onComplete'))).toEqual(['onComplete false'])
    expect(list).not.toContain('onSuccess')
  })

  it('A46 abort the signal and call onCancel', async () => {
    const notes = record()
    const handle = await tasks.trigger('cancel-hook', { recorder: notes.url })
    await until(async () => (await notes.read()).includes('run'), 'the run to start')
    await runs.cancel(handle.id)
    await until(async () => (await notes.read()).includes('onCancel'), 'onCancel')
    expect((await finished(handle.id)).status).toBe('CANCELED')
  })

  it('are called around a wait', async () => {
    const notes = record()
    expect((await runTask('wait-hooks', { recorder: notes.url })).output).toBe('done')
    expect(await notes.read()).toEqual(['onWait task', 'onResume task'])
  })
})
