/** Verbs on runs. An id of another environment is a miss, found without calling any object. */
import type { z } from 'zod'
import { sha256Hex } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import { parseInstant } from '../contracts/durations.ts'
import { OperationError, type RefusalExtras, RpcRefusal } from '../contracts/errors.ts'
import type { FeedPage, FeedQuery } from '../contracts/feed.ts'
import { locatorOf, mintId, partitionOf } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import type { CheckpointRecord, EnvironmentObject, MetadataOperation } from '../contracts/objects.ts'
import { planTask } from '../contracts/plan.ts'
import type {
  Caller,
  ListRunsInput,
  ListRunsResult,
  Packet,
  RpcResult,
  RunDetail,
  SpanRecord,
  TriggerOptions,
  TriggerResult,
} from '../contracts/rpc.ts'
import type { replayBodySchema } from '../contracts/trigger.schema.ts'
import { historyDay } from '../core/run/retention.ts'
import { callEnvironment, callHistory } from './objects.ts'
import { byteLength } from './packets.ts'
import { optionsOf, storePayload, type TriggerContext } from './trigger.ts'
import { tagsOf } from './trigger-options.ts'

const descendantsShown = 50

export async function getRun(
  env: Env,
  caller: Caller,
  id: string,
  missing = 'Run not found',
  extras: RefusalExtras = {},
): Promise<RunDetail> {
  const run = await onRun(env, caller, id, missing, (environment) => environment.getRun(caller, id), extras)
  if (!run.archived) return run
  const { spans: _spans, ...packets } = (await callHistory(env, caller.environment.locator, id, (history) =>
    history.get(id),
  )) ?? {
    spans: [],
  }
  return { ...run, ...packets }
}

/** As it is when its revision is above `after`, or after `waitMs`; without `after`, when it has ended. */
export async function waitForRun(env: Env, caller: Caller, id: string, waitMs: number, after = Infinity): Promise<RunDetail> {
  const run = await onRun(env, caller, id, 'Run not found', (environment) => environment.waitForRun(caller, id, after, waitMs))
  return run.archived ? getRun(env, caller, id) : run
}

export function putCheckpoint(env: Env, caller: Caller, id: string, name: string, data: unknown): Promise<{ ok: true }> {
  const text = JSON.stringify(data)
  const bytes = byteLength(text)
  if (bytes > limits.checkpointBytes)
    throw new OperationError('TOO_LARGE', `A checkpoint has at most ${limits.checkpointBytes} bytes, this one has ${bytes}.`)
  if (name === '' || name.length > limits.checkpointNameChars)
    throw new OperationError('INVALID_REQUEST', `The name of a checkpoint has 1 to ${limits.checkpointNameChars} characters.`)
  return onRun(env, caller, id, 'Run not found', (environment) => environment.putCheckpoint(caller, id, { name, data: text }))
}

export function listCheckpoints(env: Env, caller: Caller, id: string): Promise<CheckpointRecord[]> {
  return onRun(env, caller, id, 'Run not found', (environment) => environment.listCheckpoints(caller, id))
}

/** Newest first; every partition's list is one object today. */
export async function listRuns(env: Env, caller: Caller, input: ListRunsInput): Promise<ListRunsResult> {
  const { locator } = caller.environment
  const list = await callEnvironment(env, locator, '0', (environment) => environment.listRuns(caller, input))
  const byDay = new Map<string, string[]>()
  for (const { id, archived } of list.runs) if (archived) byDay.set(historyDay(id), [...(byDay.get(historyDay(id)) ?? []), id])
  if (byDay.size === 0) return list
  const found = await Promise.all(
    [...byDay.values()].map((ids) => callHistory(env, locator, ids[0] as string, (history) => history.getMetadata(ids))),
  )
  const metadata: Record<string, Packet> = Object.assign({}, ...found)
  return { ...list, runs: list.runs.map((run) => (metadata[run.id] ? { ...run, metadata: metadata[run.id] as Packet } : run)) }
}

export function cancelRun(env: Env, caller: Caller, id: string): Promise<{ id: string; alreadyFinished: boolean }> {
  return onRun(env, caller, id, 'Run not found', (environment) => environment.cancelRun(caller, id))
}

export function waitForFeed(env: Env, caller: Caller, query: FeedQuery, after: number, waitMs: number): Promise<FeedPage> {
  return callEnvironment(env, caller.environment.locator, '0', (environment) =>
    environment.waitForFeed(caller, query, after, waitMs),
  )
}

export function rescheduleRun(env: Env, caller: Caller, id: string, delay: string): Promise<RunDetail> {
  const at = parseInstant(delay, Date.now())
  if (at === undefined || at <= Date.now()) throw new OperationError('INVALID_REQUEST', `Invalid delay: ${delay}`)
  return onRun(env, caller, id, 'Run not found', (environment) => environment.rescheduleRun(caller, id, at))
}

export async function addTags(env: Env, caller: Caller, id: string, tags: string | string[]): Promise<{ added: number }> {
  const list = tagsOf(tags)
  return onRun(env, caller, id, 'Run not found', (environment) => environment.addTags(caller, id, list))
}

export async function getMetadata(env: Env, caller: Caller, id: string): Promise<Record<string, unknown>> {
  const { metadata } = await getRun(env, caller, id)
  return metadata?.data ? JSON.parse(metadata.data) : {}
}

export interface MetadataUpdate {
  metadata?: Record<string, unknown>
  operations?: unknown[]
  parentOperations?: unknown[]
  rootOperations?: unknown[]
}
export async function updateMetadata(
  env: Env,
  caller: Caller,
  id: string,
  update: MetadataUpdate,
): Promise<Record<string, unknown>> {
  if (update.metadata && byteLength(JSON.stringify(update.metadata)) > limits.metadataBytes) {
    throw new OperationError('TOO_LARGE', `Metadata exceeds maximum size of ${limits.metadataBytes} bytes`)
  }
  const { metadata, ...operations } = update as MetadataUpdate & Record<string, MetadataOperation[] | undefined>
  const input = { ...(Array.isArray(update.operations) || !metadata ? {} : { metadata }), ...operations }
  return onRun(env, caller, id, 'Task Run not found', (environment) =>
    environment.updateMetadata(caller, id, input as Parameters<EnvironmentObject['updateMetadata']>[2]),
  )
}

export async function getTrace(env: Env, caller: Caller, id: string): Promise<{ run: RunDetail; spans: SpanRecord[] }> {
  const trace = await onRun(env, caller, id, 'Trace not found', (environment) => environment.getTrace(caller, id))
  if (!trace.run.archived) return trace
  const stored = await callHistory(env, caller.environment.locator, id, (history) => history.get(id))
  return stored ? { ...trace, spans: stored.spans } : trace
}

export interface RunTrace {
  run: RunDetail
  spans: SpanRecord[]
}

/** The runs a run started, and those they started, level by level; at most so many, so that a tree of thousands is still answered. */
export async function getDescendants(env: Env, caller: Caller, run: RunDetail): Promise<RunTrace[]> {
  const found: RunTrace[] = []
  let level = run.children ?? []
  while (level.length > 0 && found.length < descendantsShown) {
    const traces = await Promise.all(
      level.slice(0, descendantsShown - found.length).map((child) => getTrace(env, caller, child.id).catch(() => undefined)),
    )
    const known = traces.filter((trace) => trace !== undefined)
    found.push(...known)
    level = known.flatMap((trace) => trace.run.children ?? [])
  }
  return found
}

/** Copies what upstream copies: not the idempotency key, delay or TTL. */
export async function replayRun(
  env: Env,
  caller: Caller,
  id: string,
  body: z.infer<typeof replayBodySchema>,
  context: TriggerContext,
): Promise<TriggerResult> {
  const old = await getRun(env, caller, id)
  const runId = mintId('run', caller.environment.locator, partitionOf(id) ?? '0', context.now)
  const { payload, payloadType, version, queue, ...options } = body
  const operationId = context.requestKey
    ? await sha256Hex(`${context.requestKey}\n${caller.environment.id}\nreplay\n${id}`)
    : runId
  const wire = { payload, options: { ...options, payloadType, ...(queue ? { queue: { name: queue } } : {}) } }
  const given = optionsOf(env, caller, old.task, wire, { now: context.now, isPlan: old.task === planTask })
  const input = await storePayload(env, caller, { runId, operationId, task: old.task, options: given })
  const copied: Partial<TriggerOptions> = {
    ...(old.metadata ? { metadata: old.metadata } : {}),
    ...(old.machine ? { machine: old.machine } : {}),
    ...(old.concurrencyKey ? { concurrencyKey: old.concurrencyKey } : {}),
    ...(old.region ? { region: old.region } : {}),
    ...(old.tags.length > 0 ? { tags: old.tags } : {}),
    queue: old.queue,
    test: old.isTest,
  }
  input.options = {
    ...copied,
    ...input.options,
    ...(payload === undefined && old.payload ? { payload: old.payload } : {}),
    ...(version && version !== 'latest' ? { lockToVersion: version } : {}),
    replayOf: id,
  }
  return callEnvironment(env, caller.environment.locator, partitionOf(id) ?? '0', (environment) =>
    environment.trigger(caller, input),
  )
}

export function resetIdempotencyKey(env: Env, caller: Caller, task: string, key: string): Promise<{ cleared: number }> {
  return callEnvironment(env, caller.environment.locator, '0', (environment) =>
    environment.resetIdempotencyKey(caller, task, key),
  )
}

export async function onRun<T>(
  env: Env,
  caller: Caller,
  id: string,
  missing: string,
  call: (environment: EnvironmentObject) => Promise<RpcResult<T>>,
  extras: RefusalExtras = {},
): Promise<T> {
  const partition = partitionOf(id)
  if (partition === undefined || locatorOf(id) !== caller.environment.locator)
    throw new OperationError('NOT_FOUND', missing, extras)
  try {
    return await callEnvironment(env, caller.environment.locator, partition, call)
  } catch (error) {
    if (error instanceof RpcRefusal && error.rpc.status === 404) throw new OperationError('NOT_FOUND', missing, extras)
    throw error
  }
}
