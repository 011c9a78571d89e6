/**
 * Carrying out a chain: stages that were recorded grow into one plan; one that was not cuts the chain: what is before it is
 * sent and awaited, its callback is called here with the real value, and what it returns is where the rest goes on from.
 */
import { type Expression, planLimits } from '../contracts/plan.ts'
import { literal } from '../core/plan/expression.ts'
import { type Callback, type Recorded, sentenceExpression, valueExpression } from './recording.ts'
import { type Context, outcome, type Source, type Started, send } from './sending.ts'

export type Stage = { checkpoint: string } | { callback: Callback; recorded: Recorded | undefined }

/** Where a chain stands: not sent yet, a plan that is not sent yet, or a value. */
type Position = { source: Source } | { plan: Expression } | { value: unknown }

export interface Chain {
  context: Context
  base: { source: Source } | { value: unknown }
  stages: Stage[]
  /** Asked before each POST; throws when the job was cancelled. */
  holdSeconds: (isFollowed: boolean) => number
  onStarted: (started: Started) => void
}

/** Ends when its last job is started, or with the value when that is known here. */
export async function carryOut(chain: Chain): Promise<Started | { value: unknown }> {
  let position: Position = chain.base
  const sent = async (at: { source: Source } | { plan: Expression }, isFollowed: boolean): Promise<Started> => {
    const started = await send(chain.context, 'source' in at ? at.source : at, chain.holdSeconds(isFollowed))
    chain.onStarted(started)
    return started
  }
  for (const stage of chain.stages) {
    if ('checkpoint' in stage) {
      // A value that is known here needs no checkpoint on the server.
      if (!('value' in position)) position = { plan: { $checkpoint: { name: stage.checkpoint, of: expressionOf(position) } } }
      continue
    }
    const { recorded } = stage
    if (recorded && isWorthSending(position, recorded)) {
      position = { plan: { $then: { of: expressionOf(position), as: recorded.as, do: recorded.do } } }
      continue
    }
    const value: unknown = 'value' in position ? position.value : await valueAfter(await sent(position, true), chain.context)
    position = { value: await settle((stage.callback as (value: unknown) => unknown)(value)) }
  }
  return 'value' in position ? position : sent(position, false)
}

async function valueAfter(started: Started, { options }: Context): Promise<unknown> {
  if (!started.feed) throw new TypeError(`A chain goes on from a job; the sentence made ${article(started.kind)}.`)
  return outcome(started, options.signal)
}

/** With a value at hand, a mere change of data is done here, and so is what would be too large for a plan. */
function isWorthSending(position: Position, recorded: Recorded): boolean {
  if (!('value' in position)) return true
  if (recorded.jobs === 0) return false
  try {
    return new TextEncoder().encode(JSON.stringify(position.value)).length < planLimits.bytes / 2
  } catch {
    return false
  }
}

function expressionOf(position: Position): Expression {
  if ('plan' in position) return position.plan
  if ('value' in position) return literal(JSON.parse(JSON.stringify(position.value ?? null)))
  const { source } = position
  if ('sentence' in source) return sentenceExpression(source.sentence.strings, source.sentence.values)
  return taskExpression(source.task.id, source.task.payload, source.task.options)
}

export function taskExpression(id: string, payload: unknown, given: object): Expression {
  const options = Object.fromEntries(Object.entries(given).filter(([name]) => planOptions.includes(name)))
  return {
    $task: {
      id,
      payload: valueExpression(payload, `the payload of ${id}`, 'omit'),
      ...(Object.keys(options).length > 0 ? { options } : {}),
    },
  }
}
const planOptions = ['tags', 'queue', 'concurrencyKey', 'machine']

/** Jobs and promises in what a callback returned, at any depth of arrays and plain objects. */
async function settle(value: unknown): Promise<unknown> {
  const settled = await value
  if (Array.isArray(settled)) return Promise.all(settled.map(settle))
  if (typeof settled !== 'object' || settled === null || Object.getPrototypeOf(settled) !== Object.prototype) return settled
  const entries = await Promise.all(Object.entries(settled).map(async ([key, each]) => [key, await settle(each)] as const))
  return Object.fromEntries(entries)
}

function article(kind: string): string {
  return kind === 'event' ? 'an event subscription' : `a ${kind}`
}
