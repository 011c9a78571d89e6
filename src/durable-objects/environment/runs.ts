/** What happens to a run: trigger, start, finish, retry, cancel, expire. Runs inside a turn; effects go out after its commit. */

import { parseDuration } from '../../contracts/durations.ts'
import type {
  FinishInput,
  Packet,
  RpcResult,
  RunStatus,
  TaskDefinition,
  TaskRunError,
  TriggerInput,
  TriggerResult,
  WorkerVersion,
} from '../../contracts/rpc.ts'
import { applyMetadataOperations } from '../../core/metadata/operations.ts'
import { admitNext, explainWaiting } from '../../core/queue/admission.ts'
import { declaresQueue } from '../../core/queue/declared.ts'
import { buildExecution, costOf, machineOf } from '../../core/run/execution.ts'
import { afterFailure } from '../../core/run/retry.ts'
import { freesIdempotencyKey, isFinal, isQueued, move } from '../../core/run/statuses.ts'
import {
  deleteKey,
  findKey,
  putKey,
  readChildren,
  readPackets,
  type StoredRun,
  writeMetadata,
  writeResult,
} from '../../storage/run-table.ts'
import { batchRunFinished } from './batches.ts'
import type { Executors } from './executors.ts'
import { type EnvironmentState, refusal, value } from './state.ts'
import { blockOn, checkWaits } from './waits.ts'

const developmentTtl = '10m'
const runTreeDepth = 100
/** Lost this often in a row without progress, the run fails as stalled (design §3.1.9). */
const lostLimit = 3
const spanBytes = 1_048_576
/** The row of the idempotency keys that no task can have; tokens live 30 days at most. */
const oneTimeTokens = '$one-time-token'
const oneTimeMs = 30 * 86_400_000

export interface Turn {
  state: EnvironmentState
  executors: Executors
  now: number
  random: () => number
}

export function trigger(turn: Turn, input: TriggerInput): RpcResult<TriggerResult> {
  const { state, now } = turn
  const { options } = input
  if (oneTimeUsed(turn, options.oneTimeToken, input.runId)) {
    return refusal('UNPROCESSABLE', `Cannot trigger ${input.task} with a one-time use token as it has already been used.`, 422)
  }
  // The parent of a batch waits for the batch as a whole, not for each item.
  const waitingParent = options.resumeParentOnCompletion && !options.batch ? options.parentRunId : undefined
  const repeated = state.operations.get(input.operationId) ?? childWithOperation(turn, options.parentRunId, input.operationId)
  if (repeated) {
    if (waitingParent) blockOn(turn, waitingParent, { kind: 'run', runId: repeated })
    return value({ id: repeated, isCached: false })
  }
  const parent = options.parentRunId ? state.find(options.parentRunId) : undefined
  if (parent && options.resumeParentOnCompletion && isFinal(parent.status)) {
    return refusal('UNPROCESSABLE', `Cannot trigger ${input.task} as the parent run has a status of ${parent.status}`, 422)
  }
  if (parent && parent.depth + 1 > runTreeDepth) {
    return refusal('UNPROCESSABLE', `A run tree is at most ${runTreeDepth} deep.`, 422)
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
  if (external && !locked) {
    return refusal(
      'not_implemented',
      `No deployment with the external id '${external}' is here; waiting for one is not built yet.`,
      501,
    )
  }
  if (options.lockToVersion && !locked) {
    return refusal(
      'UNPROCESSABLE',
      `Task locked to version '${options.lockToVersion}', but no worker found with that version.`,
      422,
    )
  }
  const task = (locked ?? state.version)?.tasks.find((candidate) => candidate.id === input.task)
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
  // A replay keeps its queue only while that exists (8.9).
  const isGone = options.replayOf !== undefined && options.queue && state.version && !declaresQueue(state.version, options.queue)
  const queue = (isGone ? undefined : options.queue) ?? task?.queue?.name ?? `task/${input.task}`
  const delayed = options.delayUntil !== undefined && options.delayUntil > now
  const run: StoredRun = {
    id: input.runId,
    task: input.task,
    status: delayed ? 'DELAYED' : 'PENDING',
    createdAt: options.createdAt ?? now,
    updatedAt: now,
    ...(delayed ? { delayUntil: options.delayUntil } : { queuedAt: now }),
    tags: options.tags ?? [],
    queue,
    ...optional('concurrencyKey', options.concurrencyKey),
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
    ...optional('region', options.region),
    traceId: traceIdOf(options.traceparent) ?? parent?.traceId ?? hex(turn, 32),
    spanId: hex(turn, 16),
    engine: {
      operationId: input.operationId,
      lease: 0,
      slot: 0,
      // A waited-for child sorts with its parent, ahead of what was triggered since (2.35).
      score:
        (options.resumeParentOnCompletion && parent
          ? parent.engine.score + parent.priorityMs
          : delayed
            ? (options.delayUntil as number)
            : now) - (options.priorityMs ?? 0),
      holdsSlot: false,
      waits: [],
      lost: 0,
      ...optional('dueAt', delayed ? options.delayUntil : undefined),
      ...optional('lockToVersion', locked?.version),
    },
  }
  state.add(run, { payload: options.payload, ...optional('metadata', options.metadata) })
  spendOneTime(turn, options.oneTimeToken, run.id)
  if (options.idempotencyKey)
    putKey(state.sql, input.task, options.idempotencyKey, run.id, options.idempotencyKeyExpiresAt ?? now + 2_592_000_000)
  if (delayed) state.due.add({ at: options.delayUntil as number, kind: 'start', id: run.id })
  else intoQueue(turn, run)
  if (waitingParent) blockOn(turn, waitingParent, { kind: 'run', runId: run.id })
  return value({ id: run.id, isCached: false })
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

/** The TTL starts when the run first enters the queue. */
export function intoQueue(turn: Turn, run: StoredRun): void {
  const ttl = run.ttl && run.startedAt === undefined ? parseDuration(run.ttl) : undefined
  if (ttl !== undefined && run.engine.ttlAt === undefined) {
    run.engine.ttlAt = turn.now + ttl
    turn.state.due.add({ at: run.engine.ttlAt, kind: 'ttl', id: run.id })
  }
  turn.state.enqueue(run)
}

/** Gives free slots to waiting runs, in the order admission decides. */
export function pump(turn: Turn): void {
  for (let next = admitNext(turn.state.admission); next; next = admitNext(turn.state.admission)) {
    const run = turn.state.live.get(next.id)
    if (!run) continue
    run.engine.holdsSlot = true
    if (run.engine.resuming) {
      run.engine.resuming = undefined
      run.status = move(run.status, 'EXECUTING')
      turn.state.changed(run, turn.now)
      turn.executors.resume(turn, run)
    } else startAttempt(turn, run, true)
  }
}

/** A new lease; `next` counts a new attempt, otherwise the same one starts again. */
export function startAttempt(turn: Turn, run: StoredRun, next: boolean): void {
  const { state, now } = turn
  const version = run.version
    ? state.versionNamed(run.version)
    : run.engine.lockToVersion
      ? state.versionNamed(run.engine.lockToVersion)
      : state.version
  const task = version?.tasks.find((candidate) => candidate.id === run.task)
  const reason = whyNotStartable(version, task, run)
  if (!version || !task || !state.identity || reason) {
    state.releaseSlot(run)
    run.status = move(run.status, 'PENDING_VERSION')
    run.waitingReason = reason
    state.changed(run, now)
    return
  }
  if (run.version === undefined) {
    run.version = version.version
    run.machine ??= machineOf(task)
    run.maxDuration ??= task.maxDuration
    run.maxAttempts ??= task.retry?.maxAttempts
  }
  run.startedAt ??= now
  if (run.status !== 'EXECUTING') run.status = move(run.status, 'EXECUTING')
  run.waitingReason = undefined
  if (next) run.attemptNumber += 1
  run.engine.dueAt = undefined
  run.engine.ttlAt = undefined
  run.engine.slot = state.takeExecutor(run)
  run.engine.lease = state.nextLease()
  state.changed(run, now)
  const packets = state.pendingPackets(run.id) ?? readPackets(state.sql, run.id)
  const execution = buildExecution({
    run,
    task,
    version,
    environment: state.identity,
    ...optional('payload', packets.payload),
    ...optional('metadata', packets.metadata),
    queueId: queueId(run.queue),
    now,
  })
  turn.executors.start(turn, run, version, execution)
}

function whyNotStartable(
  version: WorkerVersion | undefined,
  task: TaskDefinition | undefined,
  run: StoredRun,
): string | undefined {
  if (!version) return 'nothing is deployed in this environment'
  if (!task) return `no version has task ${run.task}`
  // Decided once: later attempts stay on the version they began with.
  const isFirst = run.version === undefined
  return isFirst && !declaresQueue(version, run.queue) ? `version ${version.version} declares no queue ${run.queue}` : undefined
}

export function finish(turn: Turn, input: FinishInput): RpcResult<{ released: boolean }> {
  const { state, now } = turn
  const run = state.live.get(input.runId)
  if (!run || run.engine.lease !== input.lease) return refusal('STALE_LEASE', 'This lease is not the current one.', 409)
  const stored = readPackets(state.sql, run.id)
  const spans = cap([...stored.spans, ...input.spans])
  state.releaseExecutor(run)
  run.engine.waits = []
  run.engine.resuming = undefined
  state.withdraw(run)
  const { completion } = input
  if (completion?.usage) {
    run.durationMs = Math.min(2_147_483_647, run.durationMs + Math.round(completion.usage.durationMs))
    if (state.identity?.type !== 'DEVELOPMENT') run.costInCents += costOf(run.machine, completion.usage.durationMs)
  }
  if (completion?.flushedMetadata?.data) applyFlushed(turn, run, completion.flushedMetadata)
  if (isFinal(run.status)) {
    // Cancelled while it executed: the executor is free now, and so are its children.
    writeResult(state.sql, run.id, { ...stored, spans })
    finalise(turn, run)
    return value({ released: true })
  }
  if (!completion) return lost(turn, run, input.lost?.reason ?? 'lost', spans)
  run.engine.lost = 0
  if (completion.ok) {
    const output: Packet | undefined =
      completion.output === undefined
        ? undefined
        : { data: completion.output, dataType: completion.outputType ?? 'application/json' }
    writeResult(state.sql, run.id, { ...optional('output', output), spans })
    run.status = move(run.status, 'COMPLETED_SUCCESSFULLY')
    finalise(turn, run)
    return value({ released: true })
  }
  const task = run.version ? state.versionNamed(run.version)?.tasks.find((candidate) => candidate.id === run.task) : undefined
  const decision = afterFailure({
    completion,
    attempt: run.attemptNumber,
    ...optional('maxAttempts', run.maxAttempts),
    ...optional('settings', task?.retry),
    ...optional('machine', run.machine),
    development: state.identity?.type === 'DEVELOPMENT',
    now,
    random: turn.random(),
  })
  if (decision.kind === 'final') {
    end(turn, run, decision.status, decision.error, spans)
    return value({ released: true })
  }
  writeResult(state.sql, run.id, { spans })
  run.machine = decision.machine ?? run.machine
  run.engine.restarted = undefined
  run.engine.dueAt = decision.at
  run.waitingReason = `retry at ${new Date(decision.at).toISOString()}`
  if (!decision.warm) {
    state.releaseSlot(run)
    run.status = move(run.status, 'PENDING')
    run.engine.score = decision.at
  }
  state.due.add({ at: decision.at, kind: 'start', id: run.id })
  state.changed(run, now)
  return value({ released: true })
}

/** Lost by the platform: the same attempt again, a few times; then it counts as stalled. */
export function lost(
  turn: Turn,
  run: StoredRun,
  reason: string,
  spans = readPackets(turn.state.sql, run.id).spans,
): RpcResult<{ released: boolean }> {
  const { state, now } = turn
  const waiting = run.status === 'WAITING_TO_RESUME'
  state.releaseExecutor(run)
  state.withdraw(run)
  run.engine.waits = []
  run.engine.resuming = undefined
  run.engine.lost += 1
  run.engine.restarted = true
  if (run.engine.lost > lostLimit) {
    const code = waiting ? 'TASK_RUN_STALLED_EXECUTING_WITH_WAITPOINTS' : 'TASK_RUN_STALLED_EXECUTING'
    const error: TaskRunError = { type: 'INTERNAL_ERROR', code, message: `Lost ${run.engine.lost} times in a row: ${reason}` }
    end(turn, run, state.identity?.type === 'DEVELOPMENT' ? 'CANCELED' : 'COMPLETED_WITH_ERRORS', error, spans)
    return value({ released: true })
  }
  writeResult(state.sql, run.id, { spans })
  run.attemptNumber -= 1
  state.releaseSlot(run)
  run.status = move(run.status, 'PENDING')
  run.waitingReason = `starting again: ${reason}`
  state.enqueue(run)
  state.changed(run, now)
  return value({ released: true })
}

export function cancel(turn: Turn, run: StoredRun, reason: string): void {
  const { state, now } = turn
  if (isFinal(run.status)) return
  const error: TaskRunError = { type: 'STRING_ERROR', raw: reason }
  const stored = readPacketsOf(turn, run)
  if (run.engine.lease === 0) {
    end(turn, run, 'CANCELED', error, stored.spans)
    return
  }
  // The API says CANCELED at once; the slot is kept until the executor confirms or a minute has passed.
  run.status = move(run.status, 'CANCELED')
  run.engine.waits = []
  run.engine.resuming = undefined
  run.waitingReason = undefined
  state.withdraw(run)
  writeResult(state.sql, run.id, { error, spans: stored.spans })
  state.changed(run, now)
  state.due.add({ at: now + 60_000, kind: 'cancel', id: run.id })
  turn.executors.cancel(turn, run, reason)
}

export function expire(turn: Turn, run: StoredRun): void {
  if (!isQueued(run.status) || run.startedAt !== undefined || run.engine.ttlAt === undefined) return
  run.expiredAt = turn.now
  end(
    turn,
    run,
    'EXPIRED',
    { type: 'STRING_ERROR', raw: `Run expired because the TTL (${run.ttl}) was reached` },
    readPacketsOf(turn, run).spans,
  )
}

function readPacketsOf(turn: Turn, run: StoredRun): ReturnType<typeof readPackets> {
  turn.state.flushRun(run.id)
  return readPackets(turn.state.sql, run.id)
}

export function end(
  turn: Turn,
  run: StoredRun,
  status: RunStatus,
  error: TaskRunError,
  spans: ReturnType<typeof readPackets>['spans'],
): void {
  turn.state.flushRun(run.id)
  writeResult(turn.state.sql, run.id, { error, spans })
  run.status = move(run.status, status)
  finalise(turn, run)
}

/** One transaction for all that a final state means: slot, parent, batch, children of a cancelled run. */
export function finalise(turn: Turn, run: StoredRun): void {
  const { state, now } = turn
  state.withdraw(run)
  state.releaseSlot(run)
  state.releaseExecutor(run)
  run.completedAt ??= now
  run.waitingReason = undefined
  run.engine.dueAt = undefined
  run.engine.ttlAt = undefined
  state.changed(run, now)
  if (run.status === 'CANCELED') {
    const { error } = readPackets(state.sql, run.id)
    const reason = error?.type === 'STRING_ERROR' ? error.raw : 'Canceled by user'
    for (const child of readChildren(state.sql, run.id)) {
      const current = state.find(child.id)
      if (current) cancel(turn, current, reason)
    }
  }
  for (const batchId of state.takeBatchesOf(run.id)) batchRunFinished(turn, batchId)
  for (const waiting of state.takeWaiters(`run:${run.id}`)) checkWaits(turn, waiting)
}

function applyFlushed(turn: Turn, run: StoredRun, flushed: { data?: string; dataType: string }): void {
  try {
    const parsed = JSON.parse(flushed.data ?? '{}') as { json?: FlushedOperations } & FlushedOperations
    const operations = parsed.json ?? parsed
    updateMetadataOf(turn, run, operations.operations)
    const parent = run.parentRunId ? turn.state.find(run.parentRunId) : undefined
    updateMetadataOf(turn, parent ?? run, operations.parentOperations)
    const root = run.rootRunId ? turn.state.find(run.rootRunId) : undefined
    updateMetadataOf(turn, root ?? run, operations.rootOperations)
  } catch (error) {
    console.error('metadata of a completion was not readable', run.id, String(error))
  }
}
interface FlushedOperations {
  operations?: Parameters<typeof applyMetadataOperations>[1]
  parentOperations?: Parameters<typeof applyMetadataOperations>[1]
  rootOperations?: Parameters<typeof applyMetadataOperations>[1]
}

const metadataBytes = 262_144

/** False when the result would be over the limit: nothing is changed then. */
export function updateMetadataOf(
  turn: Turn,
  run: StoredRun,
  operations: Parameters<typeof applyMetadataOperations>[1] | undefined,
): boolean {
  if (!operations?.length) return true
  turn.state.flushRun(run.id)
  const stored = readPackets(turn.state.sql, run.id).metadata
  const { metadata } = applyMetadataOperations(stored?.data ? JSON.parse(stored.data) : {}, operations)
  const data = JSON.stringify(metadata)
  if (data.length > metadataBytes) return false
  writeMetadata(turn.state.sql, run.id, { data, dataType: 'application/json' })
  turn.state.changed(run, turn.now)
  return true
}

export function reasonOf(state: EnvironmentState, run: StoredRun): string | undefined {
  if (isFinal(run.status)) return undefined
  if (run.engine.resuming) return `all waits are done; ${explainWaiting(state.admission, run.queue, run.concurrencyKey ?? '')}`
  const [wait] = run.engine.waits
  if (wait) {
    if (wait.kind === 'run') return `waiting for child ${wait.runId}`
    if (wait.kind === 'batch') return `waiting for batch ${wait.batchId}`
    if (wait.kind === 'datetime') return `waiting until ${new Date(wait.until).toISOString()}`
    return `waiting for token ${wait.waitpointId}`
  }
  if (run.status === 'DELAYED') return `delayed until ${new Date(run.delayUntil ?? 0).toISOString()}`
  if (isQueued(run.status) && run.engine.dueAt === undefined)
    return explainWaiting(state.admission, run.queue, run.concurrencyKey ?? '')
  return run.waitingReason
}

export function queueId(name: string): string {
  return `queue_${[...new TextEncoder().encode(name)].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

function cap(spans: ReturnType<typeof readPackets>['spans']): ReturnType<typeof readPackets>['spans'] {
  // The finished record of a span replaces the one sent when it started.
  const byId = new Map(
    spans.map((span) => [`${span.kind}:${span.spanId}:${span.kind === 'log' ? span.startTime + span.name : ''}`, span]),
  )
  let size = 0
  const kept = []
  for (const span of byId.values()) {
    size += span.name.length + 200 + (span.attributes ? JSON.stringify(span.attributes).length : 0)
    if (size > spanBytes) break
    kept.push(span)
  }
  return kept
}

function optional<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: V })
}

function traceIdOf(traceparent: string | undefined): string | undefined {
  return traceparent ? /^00-([0-9a-f]{32})-/.exec(traceparent)?.[1] : undefined
}

function hex(turn: Turn, length: number): string {
  let text = ''
  while (text.length < length)
    text += Math.floor(turn.random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, '0')
  return text.slice(0, length)
}
