/** Triggering one task and what batches share with it: options of the wire become TriggerInput. */
import { sha256Hex } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { locatorOf, mintId, partitionOf } from '../contracts/ids.ts'
import type { Caller, TriggerInput, TriggerOptions, TriggerResult } from '../contracts/rpc.ts'
import type { TriggerBody } from '../contracts/trigger.schema.ts'
import { callEnvironment } from './objects.ts'
import { storePacket } from './packets.ts'
import { triggerOptions } from './trigger-options.ts'

const ownTasks = 'trigger.do/'

export interface TriggerContext {
  /** `x-trigger-request-idempotency-key`: the same for every retry of one logical call. */
  requestKey?: string
  /** Hash of the caller's one-time token: a second use is refused. */
  oneTimeToken?: string
  traceparent?: string
  /** Only the platform starts its own tasks. */
  isPlan?: boolean
  now: number
}

export async function triggerTask(
  env: Env,
  caller: Caller,
  task: string,
  body: TriggerBody,
  context: TriggerContext,
): Promise<TriggerResult> {
  const options = optionsOf(env, caller, task, body, context)
  const partition = partitionFor(options, caller)
  const runId = mintId('run', caller.environment.locator, partition, context.now)
  const operationId = context.requestKey ? await sha256Hex(`${context.requestKey}\n${caller.environment.id}\n${task}`) : runId
  const input = await storePayload(env, caller, { runId, operationId, task, options })
  if (context.oneTimeToken) input.options.oneTimeToken = context.oneTimeToken
  return callEnvironment(env, caller.environment.locator, partition, (environment) => environment.trigger(caller, input))
}

/** Children live with their parent, so that waking it is one transaction. A parent elsewhere is no parent (2.8), but cannot wait. */
export function partitionFor(child: { parentRunId?: string; resumeParentOnCompletion?: boolean }, caller: Caller): string {
  if (!child.parentRunId) return '0'
  if (locatorOf(child.parentRunId) === caller.environment.locator) return partitionOf(child.parentRunId) as string
  if (child.resumeParentOnCompletion) throw new OperationError('FORBIDDEN', 'Unauthorized')
  delete child.parentRunId
  return '0'
}

/** Reads and refuses; stores nothing. */
export function optionsOf(env: Env, caller: Caller, task: string, body: TriggerBody, context: TriggerContext): TriggerOptions {
  if (task.startsWith(ownTasks) && !context.isPlan)
    throw new OperationError('UNPROCESSABLE', `Tasks whose id begins with ${ownTasks} are the platform's own.`)
  return triggerOptions(task, body, {
    now: context.now,
    environment: caller.environment,
    regions: env.REGIONS,
    ...(context.traceparent ? { traceparent: context.traceparent } : {}),
  })
}

/** A large payload goes to R2 first; what crosses to the object is its reference. */
export async function storePayload(env: Env, caller: Caller, input: TriggerInput): Promise<TriggerInput> {
  const payload = await storePacket(env, caller.environment, `${input.runId}/payload`, input.options.payload)
  return { ...input, options: { ...input.options, payload } }
}
