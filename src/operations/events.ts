/** Events from outside, and the subscriptions that turn them into runs. */

import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { type EventResult, type EventSubscription, eventLimits } from '../contracts/event.ts'
import { mintId, randomText } from '../contracts/ids.ts'
import type { Caller } from '../contracts/rpc.ts'
import { problemOf } from '../core/event/match.ts'
import { callEnvironment } from './objects.ts'
import { byteLength } from './packets.ts'

export async function sendEvent(
  env: Env,
  caller: Caller,
  event: { name: string; payload?: unknown; id?: string | undefined },
): Promise<EventResult> {
  const { name, payload = {} } = event
  const bytes = byteLength(JSON.stringify(payload))
  if (bytes > eventLimits.payloadBytes)
    throw new OperationError(
      'TOO_LARGE',
      `The payload of an event has at most ${eventLimits.payloadBytes} bytes, this one has ${bytes}.`,
    )
  const id = event.id ?? mintId('event', caller.environment.locator)
  return callEnvironment(env, caller.environment.locator, '0', (environment) =>
    environment.sendEvent(caller, { id, name, payload }),
  )
}

export function subscribe(
  env: Env,
  caller: Caller,
  input: Pick<EventSubscription, 'event' | 'task'> &
    Partial<Pick<EventSubscription, 'filter' | 'payload'>> & { id?: string | undefined },
): Promise<EventSubscription> {
  const { id, event, task, filter = {}, payload = {} } = input
  const problem = problemOf(filter)
  if (problem) throw new OperationError('INVALID_REQUEST', `Invalid filter: ${problem}.`)
  if (Object.keys(filter).length > eventLimits.filterFields)
    throw new OperationError('INVALID_REQUEST', `Invalid filter: at most ${eventLimits.filterFields} fields.`)
  const subscription: EventSubscription = {
    id: id ?? `subscription_${randomText(24)}`,
    event,
    task,
    filter,
    payload,
    active: true,
    createdAt: 0,
  }
  return callEnvironment(env, caller.environment.locator, '0', (environment) => environment.subscribe(caller, subscription))
}

export function listSubscriptions(env: Env, caller: Caller): Promise<EventSubscription[]> {
  return callEnvironment(env, caller.environment.locator, '0', (environment) => environment.listSubscriptions(caller))
}

export function setSubscriptionActive(env: Env, caller: Caller, id: string, active: boolean): Promise<EventSubscription> {
  return callEnvironment(env, caller.environment.locator, '0', (environment) =>
    environment.setSubscriptionActive(caller, id, active),
  )
}

export function unsubscribe(env: Env, caller: Caller, id: string): Promise<{ id: string }> {
  return callEnvironment(env, caller.environment.locator, '0', (environment) => environment.unsubscribe(caller, id))
}
