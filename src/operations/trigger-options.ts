/** Options of the wire become TriggerOptions, or a refusal. Nothing is stored here, so a refused call changes nothing. */
import type { Env } from '../contracts/bindings.ts'
import { formatDuration, parseDuration, parseInstant, parseKeyTtl } from '../contracts/durations.ts'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { EnvironmentIdentity, Packet, TriggerOptions } from '../contracts/rpc.ts'
import type { TriggerBody } from '../contracts/trigger.schema.ts'
import { readRegions, regionProblem } from '../core/region/places.ts'
import { byteLength, packetOf } from './packets.ts'

type WireOptions = NonNullable<TriggerBody['options']>

export interface OptionsContext {
  now: number
  environment: EnvironmentIdentity
  /** The setting REGIONS. */
  regions: string | undefined
  traceparent?: string
}

export function triggerOptions(task: string, body: TriggerBody, context: OptionsContext): TriggerOptions {
  const { now } = context
  const options = body.options ?? {}
  refuseUnbuilt(options)
  const keyTtl = parseKeyTtl(options.idempotencyKeyTTL)
  const ttl = ttlOf(options.ttl)
  const metadata = metadataPacket(options.metadata, options.metadataType)
  const tags = tagsOf(options.tags)
  const queue = queueName(options.queue, task)
  const delayUntil = delayOf(options.delay, now)
  const debounce = debounceOf(options.debounce)
  if (debounce && options.delay !== undefined && delayUntil === undefined) {
    throw new OperationError(
      'UNPROCESSABLE',
      `Debounce requires a valid delay: options.delay "${options.delay}" is no duration and no date in the future.`,
    )
  }
  // As upstream: a locked version wins over the id, and development has no deployments.
  const isPinned = !options.lockToVersion && context.environment.type !== 'DEVELOPMENT'
  const external = isPinned ? options.externalDeploymentId : undefined
  const region = regionOf(options.region, context)
  return {
    payload: packetOf(body.payload, options.payloadType),
    createdAt: now,
    ...(tags.length > 0 ? { tags } : {}),
    ...(metadata ? { metadata } : {}),
    ...(queue ? { queue } : {}),
    ...(options.concurrencyKey === undefined ? {} : { concurrencyKey: String(options.concurrencyKey) }),
    ...(delayUntil === undefined ? {} : { delayUntil }),
    ...(debounce ? { debounce } : {}),
    ...(ttl === undefined ? {} : { ttl }),
    ...(options.idempotencyKey
      ? { idempotencyKey: options.idempotencyKey, idempotencyKeyExpiresAt: now + (keyTtl ?? limits.idempotencyKeyMs) }
      : {}),
    ...(options.idempotencyKey && options.idempotencyKeyOptions ? { idempotencyKeyOptions: options.idempotencyKeyOptions } : {}),
    ...(options.maxAttempts === undefined ? {} : { maxAttempts: options.maxAttempts }),
    ...(options.maxDuration === undefined ? {} : { maxDuration: clamp(options.maxDuration, 5, limits.int32) }),
    ...(options.machine ? { machine: options.machine } : {}),
    ...(options.priority ? { priorityMs: clamp(Math.round(options.priority * 1_000), -limits.int32 - 1, limits.int32) } : {}),
    ...(options.lockToVersion ? { lockToVersion: options.lockToVersion } : {}),
    ...(external ? { externalDeploymentId: external } : {}),
    ...(options.test === undefined ? {} : { test: options.test }),
    ...(options.parentRunId ? { parentRunId: options.parentRunId } : {}),
    ...(options.resumeParentOnCompletion ? { resumeParentOnCompletion: true } : {}),
    ...(context.traceparent ? { traceparent: context.traceparent } : {}),
    ...(region ? { region } : {}),
  }
}

export function tagsOf(tags: string | string[] | undefined): string[] {
  const list = [...new Set([tags ?? []].flat().filter((tag) => tag.trim() !== ''))]
  if (list.length > limits.tags) {
    throw new OperationError('UNPROCESSABLE', `Runs can only have ${limits.tags} tags, you're trying to set ${list.length}.`)
  }
  return list
}

/** An option that would be ignored in silence is refused instead. */
function refuseUnbuilt(options: WireOptions): void {
  if (options.concurrency?.length) throw notBuilt('concurrency', namedLimits)
  if (options.gates?.length) throw notBuilt('gates', namedLimits)
  if (options.dependentAttempt || options.dependentBatch) throw notBuilt('dependentAttempt (a wait from inside a run of SDK 3)')
}

const namedLimits = ': use the concurrencyLimit of a queue, a concurrencyKey, or rateLimit of the task'

export function notBuilt(option: string, instead = ''): OperationError {
  return new OperationError('NOT_IMPLEMENTED', `The option ${option} is not built yet${instead}.`, {
    body: { code: 'not_implemented' },
    headers: { 'x-should-retry': 'false' },
  })
}

function regionOf(region: string | undefined, context: OptionsContext): string | undefined {
  if (!region || context.environment.type === 'DEVELOPMENT') return undefined
  return available(region, context.regions, context.environment)
}

/** A region as an option of something else than a trigger. */
export function knownRegion(env: Env, region: string | undefined, environment: EnvironmentIdentity): string | undefined {
  return region ? available(region, env.REGIONS, environment) : undefined
}

function available(region: string, setting: string | undefined, environment: EnvironmentIdentity): string {
  const problem = regionProblem(region, readRegions(setting), environment.region)
  if (problem) throw new OperationError('UNPROCESSABLE', problem)
  return region
}

function metadataPacket(metadata: unknown, type = 'application/json'): Packet | undefined {
  if (!metadata) return undefined
  const data = typeof metadata === 'string' ? metadata : JSON.stringify(metadata)
  if (byteLength(data) > limits.metadataBytes) {
    throw new OperationError('TOO_LARGE', `Metadata exceeds maximum size of ${limits.metadataBytes} bytes`)
  }
  return { data, dataType: type }
}

function queueName(queue: unknown, task: string): string | undefined {
  let name = queue
  // Some clients wrap the name twice.
  while (name && typeof name === 'object') name = (name as { name?: unknown }).name
  if (typeof name !== 'string') return undefined
  const clean = name.replace(/[^A-Za-z0-9_/-]/g, '').slice(0, 128)
  return clean || `task/${task}`
}

/** A date in the past and unreadable text mean no delay. */
function delayOf(delay: string | number | undefined, now: number): number | undefined {
  const at = delay === undefined ? undefined : parseInstant(delay, now)
  return at !== undefined && at > now ? at : undefined
}

function debounceOf(debounce: WireOptions['debounce']): TriggerOptions['debounce'] {
  if (!debounce) return undefined
  const delayMs = durationOf('debounce.delay', debounce.delay)
  if (delayMs < limits.debounceDelayMs) {
    throw new OperationError('UNPROCESSABLE', `debounce.delay "${debounce.delay}" is too short: at least 1s.`)
  }
  const mode = debounce.mode ?? 'leading'
  if (debounce.maxDelay === undefined) return { key: debounce.key, delayMs, mode }
  const maxDelayMs = durationOf('debounce.maxDelay', debounce.maxDelay)
  if (maxDelayMs <= delayMs) {
    throw new OperationError(
      'UNPROCESSABLE',
      `debounce.maxDelay "${debounce.maxDelay}" must be longer than debounce.delay "${debounce.delay}".`,
    )
  }
  return { key: debounce.key, delayMs, mode, maxDelayMs }
}

function durationOf(field: string, text: string): number {
  const duration = parseDuration(text)
  if (duration !== undefined) return duration
  throw new OperationError(
    'UNPROCESSABLE',
    `Invalid ${field}: "${text}" is no duration. Write whole numbers with units, like "5s", "1m" or "2h30m".`,
  )
}

function ttlOf(ttl: string | number | undefined): string | undefined {
  return typeof ttl === 'number' ? formatDuration(ttl) : ttl
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value))
}
