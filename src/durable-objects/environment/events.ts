/** An event starts one run of each subscription it matches, once per event id. */
import { type EventInput, type EventResult, type EventSubscription, eventLimits } from '../../contracts/event.ts'
import { mintId } from '../../contracts/ids.ts'
import type { RpcResult } from '../../contracts/rpc.ts'
import { matches } from '../../core/event/match.ts'
import {
  countSubscriptions,
  deleteSubscription,
  putSubscription,
  readSubscription,
  subscriptionsTo,
} from '../../storage/subscription-table.ts'
import { refusal, type Turn, value } from './state.ts'
import { trigger } from './trigger.ts'

const keyMs = 30 * 86_400_000

export function sendEvent(turn: Turn, { id, name, payload }: EventInput): RpcResult<EventResult> {
  const result: EventResult = { id, runs: [], errors: [] }
  const matched = subscriptionsTo(turn.state.sql, name).filter(({ active, filter }) => active && matches(filter, payload))
  const bytes = matched.length * JSON.stringify(payload).length
  if (bytes > eventLimits.startedBytes)
    return refusal(
      'TOO_LARGE',
      `Event ${name} fits ${matched.length} subscriptions, and their payloads would have ${bytes} bytes together; at most ${eventLimits.startedBytes} are allowed.`,
      413,
    )
  for (const subscription of matched) {
    const { task } = subscription
    const runId = mintId('run', turn.state.identity?.locator ?? '', '0', turn.now)
    const started = trigger(turn, {
      runId,
      operationId: runId,
      task,
      options: {
        payload: { data: JSON.stringify(payloadOf(subscription, payload)), dataType: 'application/json' },
        idempotencyKey: `event/${subscription.id}/${id}`,
        idempotencyKeyExpiresAt: turn.now + keyMs,
        tags: [],
      },
    })
    if (started.ok) result.runs.push({ id: started.value.id, task, subscription: subscription.id })
    else result.errors.push({ task, subscription: subscription.id, error: started.error.message })
  }
  return value(result)
}

/** What the sentence or the code said wins; a payload that is no object is handed on as `event`. */
function payloadOf({ payload }: EventSubscription, sent: unknown): Record<string, unknown> {
  const isObject = typeof sent === 'object' && sent !== null && !Array.isArray(sent)
  return { ...(isObject ? sent : sent === undefined ? {} : { event: sent }), ...payload }
}

/** The same subscription made again is the one there is, and is switched on. */
export function subscribe(turn: Turn, input: EventSubscription): RpcResult<EventSubscription> {
  const { sql } = turn.state
  const known = readSubscription(sql, input.id)
  if (!known && countSubscriptions(sql) >= eventLimits.subscriptions)
    return refusal(
      'UNPROCESSABLE',
      `An environment has at most ${eventLimits.subscriptions} event subscriptions; delete one first.`,
      422,
    )
  const subscription = { ...input, createdAt: known?.createdAt ?? turn.now }
  putSubscription(sql, subscription)
  return value(subscription)
}

export function setActive(turn: Turn, id: string, active: boolean): RpcResult<EventSubscription> {
  const known = readSubscription(turn.state.sql, id)
  if (!known) return refusal('NOT_FOUND', 'Event subscription not found', 404)
  const subscription = { ...known, active }
  putSubscription(turn.state.sql, subscription)
  return value(subscription)
}

export function unsubscribe(turn: Turn, id: string): RpcResult<{ id: string }> {
  if (!readSubscription(turn.state.sql, id)) return refusal('NOT_FOUND', 'Event subscription not found', 404)
  deleteSubscription(turn.state.sql, id)
  return value({ id })
}
