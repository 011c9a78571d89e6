/** What is sent for a job, and what comes of it: one POST, then the run is followed to its end. */
import type { Expression } from '../contracts/plan.ts'
import type { Understanding } from '../contracts/sentence.ts'
import { RunError } from './errors.ts'
import { request } from './http.ts'
import type { Run } from './run.ts'
import { isFinal, outputOf, RunFeed } from './run-feed.ts'
import { type Connection, connect, type Settings, timezoneOf } from './settings.ts'

/** How a job is started: ``trigger.with({ tags: ['nightly'] })`…` ``. */
export interface JobOptions {
  /** Aborting before the job is sent sends nothing; later it ends the waiting, not the run. */
  signal?: AbortSignal
  /** IANA name for times in the sentence. */
  timezone?: string
  /** The same key again is the same run. */
  idempotencyKey?: string
  idempotencyKeyTTL?: string
  tags?: string[]
  queue?: { name: string }
  concurrencyKey?: string
  priority?: number
  maxAttempts?: number
  /** Seconds. */
  maxDuration?: number
  machine?: string
  ttl?: string | number
  delay?: string
  metadata?: Record<string, unknown>
}

export interface Context {
  settings: Settings
  options: JobOptions
}

/** What a schedule sentence came to. */
export interface MadeSchedule {
  kind: 'schedule'
  id: string
  task: string
  cron: string
  cronInWords: string
  timezone: string
}
/** What an event sentence came to. */
export interface MadeSubscription {
  kind: 'event'
  id: string
  event: string
  filter: Record<string, unknown>
  task: string
}

/** The answer to what was sent. */
export interface Started {
  kind: 'run' | 'plan' | 'schedule' | 'event'
  id: string
  understood?: Understanding
  stages?: Understanding[]
  feed?: RunFeed
  connection: Connection
}

export type Source =
  | { sentence: { strings: string[]; values: unknown[] } }
  | { task: { id: string; payload: unknown; options: JobOptions } }

/** `holdSeconds`: how long the answer may wait for the end of the run. */
export async function send(
  { settings, options: all }: Context,
  what: Source | { plan: Expression },
  holdSeconds: number,
): Promise<Started> {
  const connection = connect(settings)
  const { signal, timezone = timezoneOf(settings), ...options } = all
  if ('task' in what) {
    const { id, payload } = what.task
    const path = `/api/v1/tasks/${encodeURIComponent(id)}/trigger`
    const { signal: taskSignal = signal, timezone: _, ...taskOptions } = { ...options, ...what.task.options }
    const answer = await request<{ id: string }>(connection, 'POST', path, {
      body: { payload, options: { ...taskOptions, payloadType: 'application/json' } },
      signal: taskSignal,
    })
    return { kind: 'run', id: answer.id, connection, feed: new RunFeed(connection, answer.id) }
  }
  const body = {
    ...('plan' in what ? { plan: what.plan } : what.sentence),
    ...(timezone ? { timezone } : {}),
    ...(holdSeconds > 0 ? { wait: holdSeconds } : {}),
    ...(Object.keys(options).length > 0 ? { options } : {}),
  }
  const path = 'plan' in what ? '/api/v1/plans' : '/api/v1/sentences'
  const { run, ...answer } = await request<Omit<Started, 'feed' | 'connection'> & { run?: Run }>(connection, 'POST', path, {
    body,
    signal,
  })
  if (answer.kind !== 'run' && answer.kind !== 'plan') return { ...answer, connection }
  return { ...answer, connection, feed: new RunFeed(connection, answer.id, run && isFinal(run) ? run : undefined) }
}

/** The output of the run, what was made of a schedule or an event; throws what the task threw. */
export async function outcome(started: Started, signal?: AbortSignal): Promise<unknown> {
  const { id, understood, feed, connection } = started
  if (feed) {
    const run = await feed.end(signal)
    if (run.status === 'PENDING_VERSION')
      throw new RunError(run.id, run.status, { message: `Run ${run.id} has not started: ${run.waitingReason}.` })
    if (run.status !== 'COMPLETED') throw new RunError(run.id, run.status, run.error)
    return outputOf(connection, run, signal)
  }
  if (understood?.understood && understood.kind === 'schedule') {
    const { task, cron, cronInWords, timezone } = understood
    return { kind: 'schedule', id, task, cron, cronInWords, timezone } satisfies MadeSchedule
  }
  if (understood?.understood && understood.kind === 'event') {
    const { event, filter = {}, task } = understood
    return { kind: 'event', id, event, filter, task } satisfies MadeSubscription
  }
  throw new Error(`The API answered with a ${started.kind} that this version of trigger.do does not know.`)
}
