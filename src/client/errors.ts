/** What goes wrong, in three kinds: the API says no, a sentence is not understood, a run fails. */
import type { Candidate, RefusalCode } from '../contracts/sentence.ts'

/** The API answered with an error. `status` is the HTTP status, `code` the API's own word for it when it has one. */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly status: number
  readonly code: string | undefined

  constructor(message: string, status: number, code?: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

export type SentenceErrorCode = RefusalCode | 'PLAN_INVALID' | 'PLAN_TOO_DEEP' | 'PLAN_TOO_WIDE' | 'PLAN_TOO_LARGE'

/**
 * A sentence or chain was refused and nothing was started. `message` says what is missing, `candidates` are the nearest tasks.
 *
 * @example
 * try {
 *   await trigger`send ${1} to nobody`
 * } catch (error) {
 *   if (error instanceof SentenceError) console.log(error.code, error.candidates)
 * }
 */
export class SentenceError extends Error {
  override name = 'SentenceError'
  readonly code: SentenceErrorCode
  readonly candidates: Candidate[]

  constructor(message: string, code: SentenceErrorCode, candidates: Candidate[] = []) {
    super(message)
    this.code = code
    this.candidates = candidates
  }
}

/** A run that did not end well: `name`, `message` and `stack` are those of the error in the task. */
export class RunError extends Error {
  readonly runId: string
  /** FAILED, CRASHED, CANCELED, EXPIRED, TIMED_OUT, SYSTEM_FAILURE or INTERRUPTED. */
  readonly status: string

  constructor(runId: string, status: string, error: { name?: string; message?: string; stackTrace?: string } = {}) {
    super(error.message ?? `Run ${runId} ended with status ${status}.`)
    this.name = error.name ?? 'RunError'
    if (error.stackTrace) this.stack = error.stackTrace
    this.runId = runId
    this.status = status
  }
}

/** Of `{ error, code?, candidates? }`, the body of every refusal. */
export function errorOf(status: number, text: string): ApiError | SentenceError {
  let body: { error?: unknown; code?: unknown; candidates?: unknown } = {}
  try {
    body = JSON.parse(text) ?? {}
  } catch {}
  const message =
    typeof body.error === 'string' ? body.error : `The API answered ${status}${text ? `: ${text.slice(0, 200)}` : ''}`
  const code = typeof body.code === 'string' ? body.code : undefined
  const isRefusal = Array.isArray(body.candidates) || code?.startsWith('PLAN_')
  if (status === 422 && code && isRefusal)
    return new SentenceError(message, code as SentenceErrorCode, (body.candidates ?? []) as Candidate[])
  return new ApiError(message, status, code)
}
