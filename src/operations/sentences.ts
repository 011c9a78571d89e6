/** A sentence becomes a run, a schedule or a subscription, or is refused with what would do. */
import { sha256Hex } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import type { ScheduleRecord } from '../contracts/objects.ts'
import type { Caller } from '../contracts/rpc.ts'
import type {
  NotUnderstood,
  RefusalCode,
  Sentence,
  Understanding,
  UnderstoodEvent,
  UnderstoodSchedule,
} from '../contracts/sentence.ts'
import type { TriggerBody } from '../contracts/trigger.schema.ts'
import { askFor, readAnswer } from '../core/nl/rephrase.ts'
import { understand } from '../core/nl/understand.ts'
import { askModel, hasModel } from './model.ts'
import { callEnvironment } from './objects.ts'
import { createSentenceSchedule } from './schedules.ts'
import { currentTasks } from './tasks.ts'
import { type TriggerContext, triggerTask } from './trigger.ts'

export interface SentenceInput extends Sentence {
  /** IANA name, for times in the sentence that name none. */
  timezone?: string | undefined
}
export interface Started {
  kind: 'run' | 'schedule' | 'event'
  id: string
  understood: Understanding
}

export async function explain(env: Env, caller: Caller, sentence: SentenceInput): Promise<Understanding> {
  const { index, entries } = await currentTasks(env, caller)
  const { strings, values, timezone = 'UTC' } = sentence
  const clock = { now: Date.now(), timezone }
  const understood = understand({ strings, values }, index, clock)
  if (understood.understood || !hasModel(env) || !beyondGrammar.has(understood.code)) return understood
  const answer = await askModel(env, askFor({ strings, values }, entries))
  const rephrased = answer === undefined ? undefined : readAnswer(answer, { strings, values })
  if (!rephrased) return understood
  const again = understand(rephrased, index, clock)
  if (!again.understood) return understood
  const words = rephrased.strings.join('…')
  return { ...again, notes: [...(again.notes ?? []), `A language model put it as "${words}".`] }
}

/** A sentence that is negated, or names an impossible time, is understood well enough. */
const beyondGrammar = new Set<RefusalCode>(['NO_MATCH', 'AMBIGUOUS', 'NOT_UNDERSTOOD'])

/** `options` are those of a trigger; a schedule and a subscription have none. */
export async function start(
  env: Env,
  caller: Caller,
  sentence: SentenceInput,
  options: TriggerBody['options'],
  context: TriggerContext,
  /** Throws when the caller may not start what was understood. */
  allow: (understood: Extract<Understanding, { understood: true }>) => void,
): Promise<Started> {
  const understood = await explain(env, caller, sentence)
  if (!understood.understood) throw notUnderstood(understood)
  allow(understood)
  if (understood.kind === 'schedule') {
    refuseOptions(options, 'a schedule')
    return { kind: 'schedule', id: (await scheduleTask(env, caller, understood)).id, understood }
  }
  if (understood.kind === 'event') {
    refuseOptions(options, 'an event')
    return { kind: 'event', id: await subscription(env, caller, understood), understood }
  }
  if (understood.at && options?.delay !== undefined)
    throw new OperationError('INVALID_REQUEST', 'The sentence says when to run: leave the option delay out.')
  const body = { payload: understood.payload, options: { ...options, ...(understood.at ? { delay: understood.at } : {}) } }
  const { id } = await triggerTask(env, caller, understood.task, body, context)
  return { kind: 'run', id, understood }
}

export function notUnderstood({ code, message, candidates }: NotUnderstood, place = ''): OperationError {
  return new OperationError('UNPROCESSABLE', `${place}${message}`, { body: { code, candidates } })
}

function refuseOptions(options: TriggerBody['options'], what: string): void {
  const [name] = Object.keys(options ?? {})
  if (name) throw new OperationError('INVALID_REQUEST', `Option ${name} is for a run; the sentence makes ${what}.`)
}

/** The same one made again, as when a program starts again, is the schedule there is. */
export async function scheduleTask(
  env: Env,
  caller: Caller,
  { task, cron, timezone, payload }: Pick<UnderstoodSchedule, 'task' | 'cron' | 'timezone' | 'payload'>,
): Promise<ScheduleRecord> {
  const key = `sentence:${await sha256Hex(JSON.stringify([task, cron, timezone, payload]))}`
  return createSentenceSchedule(env, caller.environment, { task, cron, timezone, payload }, key)
}

async function subscription(env: Env, caller: Caller, { task, event, filter, payload }: UnderstoodEvent): Promise<string> {
  const hash = await sha256Hex(JSON.stringify([task, event, filter, payload]))
  const { id } = await callEnvironment(env, caller.environment.locator, '0', (environment) =>
    environment.subscribe(caller, {
      id: `subscription_${hash.slice(0, 24)}`,
      event,
      task,
      filter: filter ?? {},
      payload,
      active: true,
      createdAt: 0,
    }),
  )
  return id
}
