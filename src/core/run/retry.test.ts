import { describe, expect, it } from 'vitest'
import type { Completion } from '../../contracts/rpc.ts'
import { afterFailure, afterLoss, type FailureInput, retryDelay, statusOfError } from './retry.ts'

const thrown: Completion = {
  ok: false,
  id: 'run_x',
  error: { type: 'BUILT_IN_ERROR', name: 'Error', message: 'x', stackTrace: '' },
}
const internal = (code: string): Completion => ({ ok: false, id: 'run_x', error: { type: 'INTERNAL_ERROR', code } })
const base: FailureInput = { completion: thrown, attempt: 1, development: false, now: 1_000, random: 0 }

describe('after a failed attempt', () => {
  it('doubles the delay and stops at the budget', () => {
    const settings = { randomize: false }
    expect([1, 2, 3].map((attempt) => retryDelay(settings, attempt, 0.9))).toEqual([1_000, 2_000, undefined])
  })
  it('jitter only lengthens and the cap comes after it', () => {
    expect(retryDelay({}, 1, 0.5)).toBe(1_500)
    expect(retryDelay({ maxTimeoutInMs: 1_200 }, 1, 0.5)).toBe(1_200)
  })
  it('is final without a budget, whatever the runner asks', () => {
    const completion = { ...thrown, retry: { timestamp: 2_000, delay: 1_000 } }
    expect(afterFailure({ ...base, completion })).toMatchObject({ kind: 'final', status: 'COMPLETED_WITH_ERRORS' })
    expect(afterFailure({ ...base, completion, maxAttempts: 1 })).toMatchObject({ kind: 'final' })
    expect(afterFailure({ ...base, completion, maxAttempts: 3 })).toEqual({ kind: 'retry', at: 2_000, warm: true })
  })
  it('goes through the queue from 30 s on', () => {
    const completion = { ...thrown, retry: { timestamp: 31_000, delay: 30_000 } }
    expect(afterFailure({ ...base, completion, maxAttempts: 3 })).toMatchObject({ kind: 'retry', warm: false })
    expect(afterFailure({ ...base, completion, maxAttempts: 3, now: 5_000 })).toEqual({ kind: 'retry', at: 31_000, warm: false })
  })
  it('retries a crash by the task settings, through the queue', () => {
    const completion = internal('TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE')
    expect(afterFailure({ ...base, completion, maxAttempts: 2, settings: { randomize: false } })).toEqual({
      kind: 'retry',
      at: 2_000,
      warm: false,
    })
    expect(afterFailure({ ...base, completion, maxAttempts: 2 })).toMatchObject({ kind: 'final', status: 'CRASHED' })
  })
  it('moves to a bigger machine once when memory ran out', () => {
    const completion = internal('TASK_PROCESS_OOM_KILLED')
    const settings = { outOfMemory: { machine: 'medium-1x' }, randomize: false }
    expect(afterFailure({ ...base, completion, settings, machine: 'small-1x' })).toMatchObject({
      kind: 'retry',
      machine: 'medium-1x',
    })
    expect(afterFailure({ ...base, completion, settings, machine: 'medium-1x' })).toMatchObject({
      kind: 'final',
      status: 'CRASHED',
    })
  })
  it.each([
    ['MAX_DURATION_EXCEEDED', 'TIMED_OUT'],
    ['TASK_RUN_CANCELLED', 'CANCELED'],
    ['TASK_INPUT_ERROR', 'COMPLETED_WITH_ERRORS'],
    ['HANDLE_ERROR_ERROR', 'CRASHED'],
    ['TASK_DID_CONCURRENT_WAIT', 'SYSTEM_FAILURE'],
  ])('%s ends %s', (code, status) => {
    expect(statusOfError({ type: 'INTERNAL_ERROR', code }, false)).toBe(status)
    expect(afterFailure({ ...base, completion: internal(code) })).toMatchObject({ kind: 'final', status })
  })
})

describe('an attempt the platform lost', () => {
  const loss = { waiting: false, reason: 'gone', development: false, now: 1_000 }
  it('starts again at once, then later, then has stalled', () => {
    expect(afterLoss({ ...loss, losses: 1 })).toEqual({ kind: 'again', at: 1_000 })
    expect(afterLoss({ ...loss, losses: 2 })).toEqual({ kind: 'again', at: 2_000 })
    expect(afterLoss({ ...loss, losses: 3 })).toEqual({ kind: 'again', at: 11_000 })
    expect(afterLoss({ ...loss, losses: 4 })).toMatchObject({
      kind: 'stalled',
      status: 'COMPLETED_WITH_ERRORS',
      error: { code: 'TASK_RUN_STALLED_EXECUTING', message: 'Lost 4 times in a row: gone' },
    })
    expect(afterLoss({ ...loss, losses: 4, waiting: true, development: true })).toMatchObject({
      status: 'CANCELED',
      error: { code: 'TASK_RUN_STALLED_EXECUTING_WITH_WAITPOINTS' },
    })
  })
})
