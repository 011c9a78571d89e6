/** A run is made, or found: idempotency key, operation, limits, queue. */
import type { RpcResult, TaskDefinition, TriggerInput, TriggerResult } from '../../contracts/rpc.ts'
import { countQueue } from '../../core/queue/admission.ts'
import { declaresQueue } from '../../core/queue/declared.ts'
import { keyAt, rateKeyOf } from '../../core/queue/rate-limits.ts'
import { taskOf } from '../../core/run/execution.ts'
import { freesIdempotencyKey, isFinal } from '../../core/run/statuses.ts'
import {
  deleteKey,
  findKey,
  notePacketOwner,
  oneTimeTokens,
  putKey,
  readChildren,
  type StoredRun,
} from '../../storage/run-table.ts'
import { intoQueue, pump } from './attempts.ts'
import { joinDebounced } from './debounce.ts'
import { optional, refusal, type Turn, value } from './state.ts'
import { park } from './versions.ts'
import { blockOn } from './waits.ts'

const developmentTtl = '10m'

const runTreeDepth = 100
const oneTimeMs = 30 * 86_400_000

export const queueSizeCode = 'QUEUE_SIZE_LIMIT_EXCEEDED'

/** `isPlaceholder`: the record of a batch item that was refused. It never runs, so no guard against runaways holds it back. */
export function trigger(turn: Turn, input: TriggerInput, isPlaceholder = false): RpcResult<TriggerResult> {
  const { state, now } = turn
  const { options } = input
  if (!isPlaceholder && state.isFull())
    return refusal('ENVIRONMENT_FULL', 'This environment is full: old runs must be deleted first.', 503)
  if (oneTimeUsed(turn, options.oneTimeToken, input.runId)) {
    return refusal('UNPROCESSABLE', `Cannot trigger ${input.task} with a one-time use token as it has already been used.`, 422)
  }
  // The parent of a batch waits for the batch as a whole, not for each item.
  const waitingParent = options.resumeParentOnCompletion && !options.batch ? options.parentRunId : undefined
  const repeated =
    state.operations.get(input.operationId) ??
    childWithOperation(turn, options.parentRunId, input.operationId) ??
    tickRun(turn, input)
  if (repeated) {
    if (waitingParent) blockOn(turn, waitingParent, { kind: 'run', runId: repeated })
    return value({ id: repeated, isCached: false })
  }
  const parent = options.parentRunId ? state.find(options.parentRunId) : undefined
  if (parent && options.resumeParentOnCompletion && isFinal(parent.status)) {
    return refusal('UNPROCESSABLE', `Cannot trigger ${input.task} as the parent run has a status of ${parent.status}`, 422)
  }
  if (parent && parent.depth + 1 > runTreeDepth && !isPlaceholder) {
    return refusal(
      'UNPROCESSABLE',
      `Cannot trigger ${input.task} from ${parent.id}: a tree of runs is at most ${runTreeDepth} deep, and this one is.`,
      422,
    )
  }
  if (options.idempotencyKey) {
    const hit = liveKey(turn, input.task, options.idempotencyKey)
    if (hit) {
      if (waitingParent) blockOn(turn, waitingParent, { kind: 'run', runId: hit })
      return value({ id: hit, isCached: true })
    }
  }
  const external = options.externalDeploymentId
  const locked = options.lockToVersion
    ? state.versionNamed(options.lockToVersion)
    : external
      ? state.versionWithExternalId(external)
      : undefined
  if (options.lockToVersion && !locked) {
    return refusal(
      'UNPROCESSABLE',
      `Task locked to version '${options.lockToVersion}', but no worker found with that version.`,
      422,
    )
  }
  const version = locked ?? state.version
  const task = version && taskOf(version, input.task)
  if (locked && !task) {
    return refusal('UNPROCESSABLE', `Task '${input.task}' not found on locked version '${locked.version}'.`, 422)
  }
  if (locked && options.queue && !declaresQueue(locked, options.queue)) {
    return refusal(
      'UNPROCESSABLE',
      `Specified queue '${options.queue}' not found or not associated with locked version '${locked.version}'.`,
      422,
    )
  }
  const joined = joinDebounced(turn, input)
  if (joined) {
    spendOneTime(turn, options.oneTimeToken, joined.id)
    if (waitingParent) blockOn(turn, waitingParent, { kind: 'run', runId: joined.id })
    return value({ id: joined.id, isCached: false })
  }
  // A replay keeps its queue only while that exists (8.9).
  const isGone = options.replayOf !== undefined && options.queue && state.version && !declaresQueue(state.version, options.queue)
  const queue = (isGone ? undefined : options.queue) ?? task?.queue?.name ?? `task/${input.task}`
  const most = isPlaceholder ? undefined : queueSizeLimit(turn)
  if (most !== undefined && isQueueFull(turn, queue, most)) {
    return refusal(
      queueSizeCode,
      `Cannot trigger ${input.task}: queue ${queue} has reached its size limit of ${most} waiting runs.`,
      422,
    )
  }
  if (!isPlaceholder && !state.creations.admit(now)) {
    const { limit } = state.creations
    return refusal(
      'CREATION_LIMIT_EXCEEDED',
      `Cannot trigger ${input.task}: this environment has made ${limit} runs in a minute, which is its limit.`,
      429,
    )
  }
  const { debounce } = options
  const delayUntil = options.delayUntil ?? (debounce ? now + debounce.delayMs : undefined)
  const delayed = delayUntil !== undefined && delayUntil > now
  const parked = locked ? undefined : external
  const run: StoredRun = {
    id: input.runId,
    task: input.task,
    status: delayed ? 'DELAYED' : 'PENDING',
    createdAt: options.createdAt ?? now,
    updatedAt: now,
    ...(delayed ? { delayUntil } : { queuedAt: now }),
    tags: options.tags ?? [],
    queue,
    ...optional('concurrencyKey', options.concurrencyKey ?? keyAt(task?.concurrencyKeyPath, options.payload)),
    ...optional('ttl', ttlOf(turn, options.ttl, task)),
    ...optional('idempotencyKey', options.idempotencyKey),
    ...optional('idempotencyKeyOptions', options.idempotencyKeyOptions),
    ...optional('batchId', options.batch?.id),
    ...optional('batchIndex', options.batch?.index),
    ...optional('parentRunId', parent?.id),
    ...optional('rootRunId', parent ? (parent.rootRunId ?? parent.id) : undefined),
    depth: parent ? parent.depth + 1 : 0,
    resumeParentOnCompletion: options.resumeParentOnCompletion ?? false,
    attemptNumber: 0,
    ...optional('maxAttempts', options.maxAttempts || undefined),
    ...optional('maxDuration', options.maxDuration),
    ...optional('machine', options.machine),
    priorityMs: options.priorityMs ?? 0,
    isTest: options.test ?? false,
    ...optional('replayOf', options.replayOf),
    durationMs: 0,
    costInCents: 0,
    baseCostInCents: 0,
    ...optional('scheduleId', options.scheduleId),
    ...optional('region', options.region ?? homeRegion(turn)),
    traceId: traceIdOf(options.traceparent) ?? parent?.traceId ?? hex(turn, 32),
    spanId: hex(turn, 16),
    ...optional('parentSpanId', parent ? spanIdOf(options.traceparent) : undefined),
    engine: {
      operationId: input.operationId,
      lease: 0,
      slot: 0,
      // A waited-for child sorts with its parent, ahead of what was triggered since (2.35).
      score:
        (options.resumeParentOnCompletion && parent ? parent.engine.score + parent.priorityMs : delayed ? delayUntil : now) -
        (options.priorityMs ?? 0),
      holdsSlot: false,
      waits: [],
      lost: 0,
      ...optional('dueAt', delayed ? delayUntil : undefined),
      ...optional('debounce', delayed && debounce && !parked ? { key: debounce.key, since: now, operations: [] } : undefined),
      ...optional('lockToVersion', locked?.version),
      ...optional('rateKey', rateKeyOf(task?.rateLimit, options.payload)),
    },
  }
  if (parked) park(turn, run, parked, options.queue)
  state.add(run, { payload: options.payload, ...optional('metadata', options.metadata) })
  spendOneTime(turn, options.oneTimeToken, run.id)
  notePacketOwner(state.sql, run.id, options.payload, now)
  if (options.idempotencyKey)
    putKey(state.sql, input.task, options.idempotencyKey, run.id, options.idempotencyKeyExpiresAt ?? now + 2_592_000_000)
  if (delayed && !parked) {
    state.due.add({ at: delayUntil, kind: 'start', id: run.id })
    state.debounced.add(run)
  } else if (!parked) intoQueue(turn, run)
  if (waitingParent) blockOn(turn, waitingParent, { kind: 'run', runId: run.id })
  return value({ id: run.id, isCached: false })
}

/** Development has none, as upstream. */
function homeRegion({ state }: Turn): string | undefined {
  return state.identity?.type === 'DEVELOPMENT' ? undefined : state.identity?.region
}

function queueSizeLimit({ state }: Turn): number | undefined {
  const { development, deployed } = state.queueSizes
  return state.identity?.type === 'DEVELOPMENT' ? development : deployed
}

/** Runs of this turn that may start at once do not wait. */
function isQueueFull(turn: Turn, queue: string, most: number): boolean {
  const { admission } = turn.state
  if (countQueue(admission, queue).queued < most) return false
  pump(turn)
  return countQueue(admission, queue).queued >= most
}

/** The same call repeated finds its own id and is no second use. */
export function oneTimeUsed(turn: Turn, token: string | undefined, id: string): boolean {
  const known = token ? findKey(turn.state.sql, oneTimeTokens, token) : undefined
  return known !== undefined && known.runId !== id
}
export function spendOneTime(turn: Turn, token: string | undefined, id: string): void {
  if (token) putKey(turn.state.sql, oneTimeTokens, token, id, turn.now + oneTimeMs)
}

/** A restarted attempt repeats its calls: the child it already has is found under the parent, durably. */
function childWithOperation(turn: Turn, parentRunId: string | undefined, operationId: string): string | undefined {
  const parent = parentRunId ? turn.state.live.get(parentRunId) : undefined
  // Only an attempt that was started more than once can repeat a call; memory knows the rest.
  if (!parent?.engine.restarted) return undefined
  return readChildren(turn.state.sql, parent.id).find((child) => child.engine.operationId === operationId)?.id
}

/** A tick's run has always the same id: found durably, however late the tick is fired again. */
function tickRun(turn: Turn, { runId, options }: TriggerInput): string | undefined {
  return options.scheduleId ? turn.state.find(runId)?.id : undefined
}

function liveKey(turn: Turn, task: string, key: string): string | undefined {
  const known = findKey(turn.state.sql, task, key)
  if (!known) return undefined
  const run = turn.state.find(known.runId)
  if (run && known.expiresAt > turn.now && !freesIdempotencyKey(run.status)) return run.id
  deleteKey(turn.state.sql, task, key)
  return undefined
}

function ttlOf(turn: Turn, ttl: string | undefined, task: TaskDefinition | undefined): string | undefined {
  if (ttl !== undefined) return ttl === '0s' || ttl === '0' ? undefined : ttl
  if (task?.ttl) return typeof task.ttl === 'number' ? `${task.ttl}s` : task.ttl
  return turn.state.identity?.type === 'DEVELOPMENT' ? developmentTtl : undefined
}

function traceIdOf(traceparent: string | undefined): string | undefined {
  return traceparent ? /^00-([0-9a-f]{32})-/.exec(traceparent)?.[1] : undefined
}

function spanIdOf(traceparent: string | undefined): string | undefined {
  return traceparent ? /^00-[0-9a-f]{32}-([0-9a-f]{16})-/.exec(traceparent)?.[1] : undefined
}

function hex(turn: Turn, length: number): string {
  let text = ''
  while (text.length < length)
    text += Math.floor(turn.random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, '0')
  return text.slice(0, length)
}
