/**
 * What a session of the CLI's `dev` asks for: a worker for what it built, runs, attempts and their ends. A run's id names its
 * environment, which may be a branch of the one whose key is used (cli-engine-protocol.md §2).
 */
import { mintOtelToken } from '../auth/otel-token.ts'
import type { Env } from '../contracts/bindings.ts'
import type { CompletedAttempt, DequeuedRun, RunSnapshot, StartedAttempt } from '../contracts/engine.ts'
import { OperationError } from '../contracts/errors.ts'
import { locatorOf, mintId, partitionOf } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import type { BackgroundWorkerInput, BackgroundWorkerRecord, EnvironmentObject } from '../contracts/objects.ts'
import type { Caller, Completion, EnvironmentIdentity, RpcResult, TaskDefinition } from '../contracts/rpc.ts'
import { variablesOf } from './deployments.ts'
import { callEnvironment, callProject, callTask, unwrap } from './objects.ts'
import { byteLength } from './packets.ts'

/** A question for runs is held open this long: an idle session costs one request a minute. */
const holdMs = 50_000

export async function registerWorker(
  env: Env,
  caller: Caller,
  worker: Omit<BackgroundWorkerInput, 'id'>,
): Promise<BackgroundWorkerRecord> {
  const { environment } = caller
  const twice = duplicates(worker.index.tasks)
  if (twice) throw new OperationError('INVALID_REQUEST', twice)
  const bytes = byteLength(JSON.stringify(worker.index))
  if (bytes > limits.workerIndexBytes)
    throw new OperationError(
      'TOO_LARGE',
      `The tasks of a project take at most ${limits.workerIndexBytes} bytes with their schemas, these take ${bytes}.`,
    )
  const variables = await variablesOf(env, environment)
  const input = { ...worker, id: mintId('worker', environment.locator) }
  return unwrap(await callTask(env, environment.locator, (task) => task.registerWorker(environment, input, variables)))
}

function duplicates(tasks: TaskDefinition[]): string | undefined {
  const files = new Map<string, string[]>()
  for (const { id, filePath } of tasks) files.set(id, [...(files.get(id) ?? []), filePath])
  const twice = [...files].filter(([, paths]) => paths.length > 1)
  if (twice.length === 0) return undefined
  const each = twice.map(([id, paths]) => `"${id}" (${paths.join(', ')})`)
  return `Duplicate task ids: ${each.join('; ')}. Every task needs an id of its own.`
}

export function currentWorker(env: Env, locator: string): Promise<BackgroundWorkerRecord | null> {
  return callTask(env, locator, (task) => task.currentWorker())
}

export function dequeue(env: Env, caller: Caller, worker: string, pollId: string): Promise<DequeuedRun[]> {
  return onEnvironment(env, caller, (environment) => environment.dequeueRuns(caller, { worker, pollId, holdMs }))
}

/** Whoever asked is gone; a lost call costs what the question would have cost anyway. */
export async function stopDequeue(env: Env, caller: Caller, pollId: string): Promise<void> {
  await onEnvironment(env, caller, async (environment) => {
    await environment.stopDequeue(pollId)
    return { ok: true, value: true }
  })
}

export function startAttempt(env: Env, caller: Caller, runId: string, snapshotId: string): Promise<StartedAttempt> {
  return onRun(env, caller, runId, (environment) => environment.startAttempt(caller, runId, snapshotId))
}

export function completeAttempt(
  env: Env,
  caller: Caller,
  runId: string,
  snapshotId: string,
  completion: Completion,
): Promise<CompletedAttempt> {
  return onRun(env, caller, runId, (environment) => environment.completeAttempt(caller, runId, snapshotId, completion))
}

export function latestSnapshot(env: Env, caller: Caller, runId: string): Promise<RunSnapshot> {
  return onRun(env, caller, runId, (environment) => environment.latestSnapshot(caller, runId))
}

export function heartbeat(env: Env, caller: Caller, runId: string): Promise<{ ok: true }> {
  return onRun(env, caller, runId, (environment) => environment.heartbeat(caller, runId))
}

export function isConnected(env: Env, caller: Caller): Promise<boolean> {
  return onEnvironment(env, caller, (environment) => environment.isDevConnected(caller))
}

/** The call names no branch: each run is looked up where its id says, in the key's own environment and its branches. */
export async function disconnect(env: Env, caller: Caller, runIds: string[]): Promise<number> {
  if (caller.environment.type !== 'DEVELOPMENT')
    throw new OperationError('FORBIDDEN', 'Only the runs of a development environment can be disconnected.')
  const byHome = new Map<string, string[]>()
  for (const id of runIds) {
    const locator = locatorOf(id)
    if (locator) byHome.set(locator, [...(byHome.get(locator) ?? []), id])
  }
  let cancelled = 0
  for (const [locator, ids] of byHome) {
    const home = await homeOf(env, caller, locator)
    if (!home) continue
    const answer = await onEnvironment(env, home, (environment) => environment.disconnectRuns(home, ids))
    cancelled += answer.cancelled
  }
  return cancelled
}

/** A branch has its parent's key. */
async function homeOf(env: Env, caller: Caller, locator: string): Promise<Caller | undefined> {
  if (locator === caller.environment.locator) return caller
  const { projectId } = caller.environment
  const [own, other] = await Promise.all(
    [caller.environment.locator, locator].map((each) =>
      callProject(env, projectId, (project) => project.environmentByLocator(each)),
    ),
  )
  const isBranch = own && other && own.apiKey === other.apiKey
  return isBranch ? { environment: other.identity, keyEpoch: other.keyEpoch } : undefined
}

/** What the process that executes a run gets beside the environment's own variables. */
export async function processVariables(
  env: Env,
  origin: string,
  identity: EnvironmentIdentity,
  keyEpoch: number,
): Promise<Record<string, string>> {
  const telemetry = `${origin}/otel/${await mintOtelToken(env.ROOT_SECRET as string, { locator: identity.locator, keyEpoch })}`
  return {
    TRIGGER_API_URL: origin,
    TRIGGER_STREAM_URL: origin,
    TRIGGER_OTEL_EXPORTER_OTLP_ENDPOINT: telemetry,
    OTEL_EXPORTER_OTLP_ENDPOINT: telemetry,
    // In batches, and with room for a burst: what does not fit is dropped by the exporter.
    TRIGGER_OTEL_BATCH_PROCESSING_ENABLED: '1',
    TRIGGER_OTEL_LOG_MAX_QUEUE_SIZE: '20000',
    TRIGGER_OTEL_LOG_MAX_EXPORT_BATCH_SIZE: '512',
    TRIGGER_OTEL_SPAN_MAX_QUEUE_SIZE: '8192',
    TRIGGER_OTEL_SPAN_MAX_EXPORT_BATCH_SIZE: '256',
    TRIGGER_REALTIME_STREAM_VERSION: 'v1',
    TRIGGER_ORG_ID: identity.organizationId,
    ...(identity.branchName ? { TRIGGER_PREVIEW_BRANCH: identity.branchName } : {}),
  }
}

function onEnvironment<T>(env: Env, caller: Caller, call: (environment: EnvironmentObject) => Promise<RpcResult<T>>): Promise<T> {
  return callEnvironment(env, caller.environment.locator, '0', call)
}

function onRun<T>(
  env: Env,
  caller: Caller,
  runId: string,
  call: (environment: EnvironmentObject) => Promise<RpcResult<T>>,
): Promise<T> {
  const { locator } = caller.environment
  if (locatorOf(runId) !== locator || !runId.startsWith('run_')) throw new OperationError('NOT_FOUND', 'Run not found')
  return callEnvironment(env, locator, partitionOf(runId) as string, call)
}
