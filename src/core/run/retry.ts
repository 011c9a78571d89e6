/**
 * What follows a failed attempt (engine-behaviour.md §4): retry in place, retry through the queue, or a final status.
 * The server's budget always counts: an instruction of the runner never makes an attempt more than maxAttempts.
 */
import { settingsAt } from '../../contracts/backoff.ts'
import type { Completion, RetrySettings, RunStatus, TaskRunError } from '../../contracts/rpc.ts'

/** Retries sooner than this keep the slot (4.20). */
export const warmRetryMs = 30_000
export const attemptCeiling = 250
const defaults = { maxAttempts: 3, factor: 2, minTimeoutInMs: 1_000, maxTimeoutInMs: 60_000, randomize: true }

const neverRetried = new Set([
  'COULD_NOT_FIND_EXECUTOR',
  'COULD_NOT_FIND_TASK',
  'COULD_NOT_IMPORT_TASK',
  'CONFIGURED_INCORRECTLY',
  'TASK_ALREADY_RUNNING',
  'TASK_PROCESS_SIGKILL_TIMEOUT',
  'TASK_PROCESS_OOM_KILLED',
  'TASK_PROCESS_MAYBE_OOM_KILLED',
  'TASK_RUN_CANCELLED',
  'MAX_DURATION_EXCEEDED',
  'DISK_SPACE_EXCEEDED',
  'OUTDATED_SDK_VERSION',
  'TASK_RUN_HEARTBEAT_TIMEOUT',
  'TASK_DID_CONCURRENT_WAIT',
  'RECURSIVE_WAIT_DEADLOCK',
  'TASK_DEQUEUED_INVALID_STATE',
  'TASK_DEQUEUED_QUEUE_NOT_FOUND',
  'TASK_HAS_N0_EXECUTION_SNAPSHOT',
  'TASK_RUN_DEQUEUED_MAX_RETRIES',
  'BATCH_ITEM_COULD_NOT_TRIGGER',
  'PAYLOAD_TOO_LARGE',
  'UNSPECIFIED_ERROR',
])
/** Crashes that are retried with the task's own settings although the runner could not ask for it (4.7). */
const retriedByServer = new Set([
  'TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE',
  'TASK_PROCESS_SIGTERM',
  'TASK_PROCESS_SIGSEGV',
  'TASK_RUN_UNCAUGHT_EXCEPTION',
  'TASK_MIDDLEWARE_ERROR',
])
const failed = new Set([
  'RECURSIVE_WAIT_DEADLOCK',
  'TASK_INPUT_ERROR',
  'TASK_OUTPUT_ERROR',
  'TASK_MIDDLEWARE_ERROR',
  'TASK_RUN_UNCAUGHT_EXCEPTION',
])
const crashed = new Set([
  'TASK_PROCESS_OOM_KILLED',
  'TASK_PROCESS_MAYBE_OOM_KILLED',
  'TASK_PROCESS_SIGSEGV',
  'DISK_SPACE_EXCEEDED',
  'OUTDATED_SDK_VERSION',
  'HANDLE_ERROR_ERROR',
  'TASK_RUN_CRASHED',
  'TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE',
])

export function statusOfError(error: TaskRunError, development: boolean): RunStatus {
  if (error.type !== 'INTERNAL_ERROR') return 'COMPLETED_WITH_ERRORS'
  if (failed.has(error.code)) return 'COMPLETED_WITH_ERRORS'
  if (error.code === 'TASK_RUN_CANCELLED') return 'CANCELED'
  if (error.code === 'MAX_DURATION_EXCEEDED') return 'TIMED_OUT'
  if (error.code.startsWith('TASK_RUN_STALLED_EXECUTING')) return development ? 'CANCELED' : 'COMPLETED_WITH_ERRORS'
  return crashed.has(error.code) ? 'CRASHED' : 'SYSTEM_FAILURE'
}

/** 4.10; undefined = no attempt left. `random` is in [0, 1). */
export function retryDelay(settings: RetrySettings, attempt: number, random: number): number | undefined {
  const { maxAttempts, factor, minTimeoutInMs, maxTimeoutInMs, randomize } = { ...defaults, ...settingsAt(settings, attempt) }
  if (attempt >= maxAttempts) return undefined
  const jitter = randomize ? 1 + random : 1
  return Math.round(Math.min(maxTimeoutInMs, jitter * minTimeoutInMs * factor ** (attempt - 1)))
}

export type AfterFailure =
  | { kind: 'final'; status: RunStatus; error: TaskRunError }
  | { kind: 'retry'; at: number; warm: boolean; machine?: string }

export interface FailureInput {
  completion: Completion
  attempt: number
  /** Effective budget: trigger's, else the task's; undefined = the first failure is final. */
  maxAttempts?: number
  settings?: RetrySettings
  machine?: string
  development: boolean
  now: number
  random: number
}

export function afterFailure(input: FailureInput): AfterFailure {
  const error: TaskRunError = input.completion.error ?? { type: 'INTERNAL_ERROR', code: 'UNSPECIFIED_ERROR' }
  const code = error.type === 'INTERNAL_ERROR' ? error.code : undefined
  const final: AfterFailure = { kind: 'final', status: statusOfError(error, input.development), error }
  if (code === 'TASK_RUN_CANCELLED') return final
  if (isOutOfMemory(error)) {
    const machine = input.settings?.outOfMemory?.machine
    const delay = machine && machine !== input.machine ? retryDelay(input.settings ?? {}, input.attempt, input.random) : undefined
    return delay === undefined ? final : { kind: 'retry', at: input.now + delay, warm: false, machine }
  }
  if (code && neverRetried.has(code)) return final
  if (input.completion.skippedRetrying) return final
  if (input.attempt >= attemptCeiling) {
    const ceiling: TaskRunError = {
      type: 'INTERNAL_ERROR',
      code: 'TASK_RUN_CRASHED',
      message: `A run has at most ${attemptCeiling} attempts.`,
    }
    return { kind: 'final', status: 'CRASHED', error: ceiling }
  }
  if (!input.maxAttempts || input.attempt >= input.maxAttempts) return final
  if (input.completion.retry) {
    // The delay decides, not what is left of it by now: the answer may have come late.
    const { timestamp, delay } = input.completion.retry
    return { kind: 'retry', at: Math.max(input.now, timestamp), warm: delay < warmRetryMs }
  }
  if (!code || !retriedByServer.has(code) || !input.settings) return final
  const delay = retryDelay({ ...input.settings, maxAttempts: input.maxAttempts }, input.attempt, input.random)
  return delay === undefined ? final : { kind: 'retry', at: input.now + delay, warm: false }
}

function isOutOfMemory(error: TaskRunError): boolean {
  if (error.type === 'INTERNAL_ERROR')
    return error.code === 'TASK_PROCESS_OOM_KILLED' || error.code === 'TASK_PROCESS_MAYBE_OOM_KILLED'
  return error.type === 'BUILT_IN_ERROR' && error.name === 'OutOfMemoryError'
}

/** Waits before the same attempt starts again; lost once more than there are waits, the run has stalled (design §3.1.9). */
const lossDelays = [0, 1_000, 10_000]

export type AfterLoss = { kind: 'again'; at: number } | { kind: 'stalled'; status: RunStatus; error: TaskRunError }

/** The platform lost the attempt for the `losses`-th time in a row without progress: no attempt is counted. */
export function afterLoss(input: {
  losses: number
  waiting: boolean
  reason: string
  development: boolean
  now: number
}): AfterLoss {
  const delay = lossDelays[input.losses - 1]
  if (delay !== undefined) return { kind: 'again', at: input.now + delay }
  const code = input.waiting ? 'TASK_RUN_STALLED_EXECUTING_WITH_WAITPOINTS' : 'TASK_RUN_STALLED_EXECUTING'
  const error: TaskRunError = {
    type: 'INTERNAL_ERROR',
    code,
    message: `Lost ${input.losses} times in a row: ${input.reason}`,
  }
  return { kind: 'stalled', status: statusOfError(error, input.development), error }
}
