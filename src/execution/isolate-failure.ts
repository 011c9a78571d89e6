/**
 * What it means when the call into an isolate itself fails. Lost by the platform costs no attempt; killed by the task
 * (CPU, memory, maxDuration) follows engine-behaviour.md §9 at once.
 */
import type { Completion, FinishInput } from '../contracts/rpc.ts'

type InternalCode = 'TASK_PROCESS_MAYBE_OOM_KILLED' | 'MAX_DURATION_EXCEEDED' | 'TASK_RUN_CRASHED' | 'COULD_NOT_IMPORT_TASK'

export interface IsolateFailure extends Pick<FinishInput, 'completion' | 'lost'> {
  /** The isolate is gone, and with it every other run that was in it. */
  killed?: true
}

export function classifyIsolateFailure(runId: string, error: unknown): IsolateFailure {
  const message = error instanceof Error ? error.message : String(error)
  if (message.includes('MAX_DURATION_EXCEEDED'))
    return { completion: internal(runId, 'MAX_DURATION_EXCEEDED', 'The run exceeded its maxDuration.') }
  if (/memory limit|exceeded its memory|out of memory/i.test(message))
    return { completion: internal(runId, 'TASK_PROCESS_MAYBE_OOM_KILLED', message), killed: true }
  if (/CPU time limit|exceeded CPU/i.test(message)) {
    const told = `The task used more CPU time than an isolate allows. ${message}`
    return { completion: internal(runId, 'TASK_RUN_CRASHED', told), killed: true }
  }
  if (/is missing from the bucket|Failed to start Worker|SyntaxError|does not provide an export/i.test(message)) {
    return { completion: internal(runId, 'COULD_NOT_IMPORT_TASK', message) }
  }
  return { lost: { reason: message } }
}

function internal(runId: string, code: InternalCode, message: string): Completion {
  return { ok: false, id: runId, error: { type: 'INTERNAL_ERROR', code, message } }
}
