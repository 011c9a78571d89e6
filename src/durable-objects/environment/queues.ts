/** Queues as callers see and change them. A change takes effect at the end of its turn; what runs goes on. */
import { toHex } from '../../auth/crypto.ts'
import type { QueueRecord, QueueRef } from '../../contracts/objects.ts'
import type { RpcResult } from '../../contracts/rpc.ts'
import { countQueue, reconsider } from '../../core/queue/admission.ts'
import { putSetting } from '../../storage/document-table.ts'
import { type EnvironmentState, refusal, type Turn, value } from './state.ts'

export function queues(state: EnvironmentState): QueueRecord[] {
  const names = new Set<string>()
  for (const task of state.version?.tasks ?? []) names.add(task.queue?.name ?? `task/${task.id}`)
  for (const queue of state.version?.queues ?? []) names.add(queue.name)
  for (const sub of state.admission.subQueues.values()) names.add(sub.queue)
  // What somebody set can be taken back after a deploy without the queue.
  for (const name of [...state.admission.paused, ...state.overrides.keys()]) names.add(name)
  return [...names].sort().map((name) => queue(state, name))
}

function queue(state: EnvironmentState, name: string): QueueRecord {
  const isTask = name.startsWith('task/')
  const concurrency = state.limits.get(name) ?? { current: null, base: null, override: null, overriddenAt: null }
  return {
    id: queueId(name),
    name: isTask ? name.slice(5) : name,
    type: isTask ? 'task' : 'custom',
    ...countQueue(state.admission, name),
    paused: state.admission.paused.has(name),
    concurrencyLimit: concurrency.current,
    concurrency,
  }
}

/** The stored name (with its prefix) of a queue a caller refers to. */
function queueNamed(state: EnvironmentState, ref: QueueRef): { name: string; record: QueueRecord } | undefined {
  for (const found of queues(state)) {
    const name = found.type === 'task' ? `task/${found.name}` : found.name
    if (ref.by === 'id' ? found.id === ref.value : name === ref.value) return { name, record: found }
  }
  return undefined
}

export function readQueue(state: EnvironmentState, ref: QueueRef): RpcResult<QueueRecord> {
  const found = queueNamed(state, ref)
  return found ? value(found.record) : unknown()
}

export function pauseQueue({ state }: Turn, ref: QueueRef, paused: boolean): RpcResult<QueueRecord> {
  const found = queueNamed(state, ref)
  if (!found) return unknown()
  if (paused) state.admission.paused.add(found.name)
  else state.admission.paused.delete(found.name)
  reconsider(state.admission)
  putSetting(state.sql, 'pausedQueues', [...state.admission.paused])
  return value({ ...found.record, paused })
}

/** Of a paused queue it is kept and holds once the queue goes on (3.15). */
export function overrideQueue(
  { state, now }: Turn,
  ref: QueueRef,
  override: { limit: number } | { percent: number },
): RpcResult<QueueRecord> {
  const found = queueNamed(state, ref)
  if (!found) return unknown()
  const most = state.admission.base
  if ('limit' in override && override.limit > most) {
    return refusal(
      'INVALID_REQUEST',
      `concurrencyLimit ${override.limit} is above the limit of the environment, which is ${most}.`,
      400,
    )
  }
  state.override(found.name, { ...override, at: now })
  return value(queue(state, found.name))
}

export function resetQueue({ state }: Turn, ref: QueueRef): RpcResult<QueueRecord> {
  const found = queueNamed(state, ref)
  if (!found) return unknown()
  if (!state.overrides.has(found.name)) return refusal('INVALID_REQUEST', 'Queue is not overridden', 400)
  state.override(found.name, undefined)
  return value(queue(state, found.name))
}

function unknown(): RpcResult<never> {
  return refusal('NOT_FOUND', 'queue-not-found', 404)
}

export function queueId(name: string): string {
  return `queue_${toHex(new TextEncoder().encode(name))}`
}
