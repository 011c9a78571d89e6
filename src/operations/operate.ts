/** What an agent asks for in one sentence: something about the runs there are, or a new run, schedule or subscription. */
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import type { Caller } from '../contracts/rpc.ts'
import { readOperation } from '../core/nl/operation.ts'
import type { Operation } from '../core/nl/sentence.ts'
import { withoutSetUp } from '../core/nl/set-up.ts'
import { createBulkAction } from './bulk-actions.ts'
import { hasModel } from './model.ts'
import { explain, type SentenceInput, type Started, start } from './sentences.ts'
import type { TriggerContext } from './trigger.ts'

export interface Operated {
  kind: 'bulk'
  /** Of the bulk action. */
  id: string
  understood: { kind: 'bulk'; action: Operation['verb']; filter: Record<string, unknown>; inWords: string }
}

export async function operate(
  env: Env,
  caller: Caller,
  sentence: SentenceInput,
  context: TriggerContext,
): Promise<Operated | Started> {
  const { strings, values, timezone = 'UTC' } = sentence
  const operation = readOperation({ strings, values }, { now: context.now, timezone })
  if (operation) return bulk(env, caller, operation, context.now)
  const rest = withoutSetUp({ strings, values })
  // The frame may be part of a task's name: it comes off only when the words do not fit as they stand.
  const asIs = rest && !(await explain(env, caller, sentence)).understood ? { ...sentence, ...rest } : sentence
  try {
    return await start(env, caller, asIs, undefined, context, () => {})
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== 'UNPROCESSABLE' || !error.extras.body?.code) throw error
    // A task that is missing a value is understood; only what is not would be a model's business.
    if (error.extras.body.code !== 'NO_MATCH') throw error
    throw new OperationError('UNPROCESSABLE', `${error.message} ${hasModel(env) ? neither : noModel} ${sayAs}`, error.extras)
  }
}

const noModel = 'What the grammar does not read would need a language model, and this platform asks none (MODEL_URL).'
const neither = 'The language model had no words for it either.'
const sayAs =
  'Please say it as a task, a schedule ("every day at 3am, …"), an event ("when …, …"), or as "retry" or "cancel" with runs.'

async function bulk(env: Env, caller: Caller, { verb, filter }: Operation, now: number): Promise<Operated> {
  const { task, from, to, status } = filter
  const asked = {
    status,
    ...(task === undefined ? {} : { taskIdentifier: task }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  }
  const { id } = await createBulkAction(env, caller, { action: verb, name: 'by a sentence', filter: asked }, now)
  const span = [from === undefined ? '' : ` from ${iso(from)}`, to === undefined ? '' : ` to ${iso(to)}`].join('')
  const inWords = `${verb} runs${task ? ` of ${task}` : ''} that are ${status.join(', ')}${span}`
  return { kind: 'bulk', id, understood: { kind: 'bulk', action: verb, filter: asked, inWords } }
}

function iso(at: number): string {
  return new Date(at).toISOString()
}
