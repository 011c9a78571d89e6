/** Triggering one task and what batches share with it: options of the wire become TriggerInput. */
import { sha256Hex } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import { parseInstant, parseKeyTtl } from '../contracts/durations.ts'
import { OperationError } from '../contracts/errors.ts'
import { locatorOf, mintId, partitionOf } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import type { Caller, Packet, TriggerInput, TriggerOptions, TriggerResult } from '../contracts/rpc.ts'
import type { TriggerBody } from '../contracts/trigger.schema.ts'
import { callEnvironment } from './objects.ts'
import { byteLength, packetOf, storePacket } from './packets.ts'

export interface TriggerContext {
  /** `x-trigger-request-idempotency-key`: the same for every retry of one logical call. */
  requestKey?: string
  /** The caller holds a one-time token, whose hash is the request key: a repeat is refused. */
  oneTime?: boolean
  traceparent?: string
  now: number
}

export async function triggerTask(
  env: Env,
  caller: Caller,
  task: string,
  body: TriggerBody,
  context: TriggerContext,
): Promise<TriggerResult> {
  const partition = partitionFor(body.options?.parentRunId, caller)
  const runId = mintId('run', caller.environment.locator, partition, context.now)
  const operationId = context.requestKey ? await sha256Hex(`${context.requestKey}\n${caller.environment.id}\n${task}`) : runId
  const input = await triggerInput(env, caller, { runId, operationId, task, body, context })
  const result = await callEnvironment(env, caller.environment.locator, partition, (environment) =>
    environment.trigger(caller, input),
  )
  if (context.oneTime && !result.isCached && result.id !== runId) {
    throw new OperationError('UNPROCESSABLE', `Cannot trigger ${task} with a one-time use token as it has already been used.`)
  }
  return result
}

/** Children live with their parent, so that waking it is one transaction. */
export function partitionFor(parentRunId: string | undefined, caller: Caller): string {
  if (!parentRunId) return '0'
  if (locatorOf(parentRunId) !== caller.environment.locator) throw new OperationError('FORBIDDEN', 'Unauthorized')
  return partitionOf(parentRunId) as string
}

export async function triggerInput(
  env: Env,
  caller: Caller,
  call: { runId: string; operationId: string; task: string; body: TriggerBody; context: TriggerContext },
): Promise<TriggerInput> {
  const { body, context, runId, task } = call
  const options = body.options ?? {}
  const now = context.now
  if (options.debounce) throw notBuilt('debounce')
  const payload = await storePacket(env, caller.environment, `${runId}/payload`, packetOf(body.payload, options.payloadType))
  const keyTtl = parseKeyTtl(options.idempotencyKeyTTL)
  const ttl = ttlOf(options.ttl)
  const metadata = metadataPacket(options.metadata, options.metadataType)
  const tags = tagsOf(options.tags)
  const queue = queueName(options.queue, task)
  const delayUntil = delayOf(options.delay, now)
  const mapped: TriggerOptions = {
    payload,
    createdAt: now,
    ...(tags.length > 0 ? { tags } : {}),
    ...(metadata ? { metadata } : {}),
    ...(queue ? { queue } : {}),
    ...(options.concurrencyKey === undefined ? {} : { concurrencyKey: String(options.concurrencyKey) }),
    ...(delayUntil === undefined ? {} : { delayUntil }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(options.idempotencyKey
      ? { idempotencyKey: options.idempotencyKey, idempotencyKeyExpiresAt: now + (keyTtl ?? limits.idempotencyKeyMs) }
      : {}),
    ...(options.idempotencyKey && options.idempotencyKeyOptions ? { idempotencyKeyOptions: options.idempotencyKeyOptions } : {}),
    ...(options.maxAttempts === undefined ? {} : { maxAttempts: options.maxAttempts }),
    ...(options.maxDuration === undefined ? {} : { maxDuration: Math.min(2_147_483_647, Math.max(5, options.maxDuration)) }),
    ...(options.machine ? { machine: options.machine } : {}),
    ...(options.priority ? { priorityMs: Math.round(options.priority * 1_000) } : {}),
    ...(options.lockToVersion ? { lockToVersion: options.lockToVersion } : {}),
    ...(options.test === undefined ? {} : { test: options.test }),
    ...(options.parentRunId ? { parentRunId: options.parentRunId } : {}),
    ...(options.resumeParentOnCompletion ? { resumeParentOnCompletion: true } : {}),
    ...(context.traceparent ? { traceparent: context.traceparent } : {}),
    ...(options.region && caller.environment.type !== 'DEVELOPMENT' ? { region: options.region } : {}),
  }
  return { runId, operationId: call.operationId, task, options: mapped }
}

export function tagsOf(tags: string | string[] | undefined): string[] {
  const list = [...new Set([tags ?? []].flat().filter((tag) => tag.trim() !== ''))]
  if (list.length > limits.tags) {
    throw new OperationError('UNPROCESSABLE', `Runs can only have ${limits.tags} tags, you're trying to set ${list.length}.`)
  }
  return list
}

function metadataPacket(metadata: unknown, type = 'application/json'): Packet | undefined {
  if (!metadata) return undefined
  const data = typeof metadata === 'string' ? metadata : JSON.stringify(metadata)
  if (byteLength(data) > limits.metadataBytes) {
    throw new OperationError('TOO_LARGE', `Metadata exceeds maximum size of ${limits.metadataBytes} bytes`)
  }
  return { data, dataType: type }
}

function queueName(
  queue: TriggerBody['options'] extends infer O ? (O extends { queue?: infer Q } ? Q : unknown) : unknown,
  task: string,
): string | undefined {
  let name: unknown = queue
  // Some clients wrap the name twice.
  while (name && typeof name === 'object') name = (name as { name?: unknown }).name
  if (typeof name !== 'string') return undefined
  const clean = name.replace(/[^A-Za-z0-9_/-]/g, '').slice(0, 128)
  return clean || `task/${task}`
}

/** A date in the past and unreadable text mean no delay. */
function delayOf(delay: string | undefined, now: number): number | undefined {
  const at = delay === undefined ? undefined : parseInstant(delay, now)
  return at !== undefined && at > now ? at : undefined
}

function ttlOf(ttl: string | number | undefined): string | undefined {
  return typeof ttl === 'number' ? `${ttl}s` : ttl
}

/** An option that would be ignored in silence is refused instead. */
function notBuilt(option: string): OperationError {
  return new OperationError('NOT_IMPLEMENTED', `The option ${option} is not built yet.`, {
    body: { code: 'not_implemented' },
    headers: { 'x-should-retry': 'false' },
  })
}
