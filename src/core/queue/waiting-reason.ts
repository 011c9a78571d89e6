/**
 * Why a run does not execute now, in words. Derived when it is read, from the run and from the rule admission goes by
 * (`holdOf`); nothing is stored for it but what nobody could derive: which version is missing, why a start was lost.
 */
import { formatDuration } from '../../contracts/durations.ts'
import type { RunRecord } from '../../contracts/rpc.ts'
import { isFinal, isQueued } from '../run/statuses.ts'
import { type AdmissionState, holdOf } from './admission.ts'
import { bucketOf } from './tokens.ts'

/** What a waiting run waits for. RUN and BATCH need no row of their own: their state is the runs'. */
export type Wait =
  | { kind: 'run'; runId: string }
  | { kind: 'batch'; batchId: string }
  | { kind: 'datetime'; waitpointId: string; until: number }
  | { kind: 'token'; waitpointId: string }

type WaitingRun = Pick<
  RunRecord,
  'task' | 'status' | 'queue' | 'concurrencyKey' | 'delayUntil' | 'startedAt' | 'waitingReason'
> & {
  engine: { waits: Wait[]; resuming?: boolean; dueAt?: number; rateKey?: string }
}

export function waitingReason(run: WaitingRun, admission: AdmissionState): string | undefined {
  const { engine } = run
  if (isFinal(run.status)) return undefined
  if (engine.resuming) return `all waits are done; ${inQueue(run, admission)}`
  const [wait] = engine.waits
  if (wait) return engine.waits.length > 1 ? `${inWords(wait)} and ${engine.waits.length - 1} more` : inWords(wait)
  if (run.status === 'DELAYED') return `delayed until ${iso(run.delayUntil ?? 0)}`
  const note = run.waitingReason
  if (run.status === 'PENDING_VERSION') return `waits for a version: ${note}`
  if (engine.dueAt !== undefined) return note ? `${note}, at ${iso(engine.dueAt)}` : `retry at ${iso(engine.dueAt)}`
  if (!isQueued(run.status)) return undefined
  return note ? `${note}; ${inQueue(run, admission)}` : inQueue(run, admission)
}

function inWords(wait: Wait): string {
  if (wait.kind === 'run') return `waits for child ${wait.runId}`
  if (wait.kind === 'batch') return `waits for batch ${wait.batchId}`
  if (wait.kind === 'datetime') return `waits until ${iso(wait.until)}`
  return `waits for token ${wait.waitpointId}`
}

function inQueue(run: WaitingRun, admission: AdmissionState): string {
  const { queue, concurrencyKey } = run
  const bucket = bucketOf(run, admission.tokens)
  const held = holdOf(admission, queue, concurrencyKey ?? '', bucket)
  if (!held) return `queued in ${queue}`
  if (held.hold === 'rate-limit') {
    const whose = bucket === run.task ? '' : ` for key "${run.engine.rateKey}"`
    const rate = `${held.rate.limit} per ${formatDuration(held.rate.periodMs / 1_000)}`
    return `rate limit of task ${run.task}${whose}: ${rate}, next at ${iso(held.nextAt)}`
  }
  const { hold, running, limit } = held
  switch (hold) {
    case 'environment-paused':
      return 'the environment is paused'
    case 'queue-paused':
      return `queue ${queue} is paused`
    case 'no-executor':
      return `queued in ${queue}: neither a session of \`trigger.dev dev\` nor a Node host asks for it`
    case 'environment-limit':
      return `environment limit: ${running} of ${limit} runs execute`
    case 'queue-limit':
      return concurrencyKey === undefined
        ? `queue limit: ${running} of ${limit} runs of ${queue} execute`
        : `concurrency key limit: ${running} of ${limit} runs of ${queue} with key "${concurrencyKey}" execute`
  }
}

function iso(at: number): string {
  return new Date(at).toISOString()
}
