/** A run's attempts: into the queue, started under a lease, finished, retried, or lost by the platform. */

import { parseDuration } from '../../contracts/durations.ts'
import type { FinishInput, Packet, RpcResult, TaskDefinition, TaskRunError, WorkerVersion } from '../../contracts/rpc.ts'
import { admitNext, release } from '../../core/queue/admission.ts'
import { declaresQueue } from '../../core/queue/declared.ts'
import { buildExecution, costOf, machineOf, runsElsewhere, taskOf } from '../../core/run/execution.ts'
import { afterFreeze } from '../../core/run/freeze.ts'
import { afterFailure, afterLoss } from '../../core/run/retry.ts'
import { mergeSpans } from '../../core/run/spans.ts'
import { isFinal, move } from '../../core/run/statuses.ts'
import { readPackets, type StoredRun, writeResult } from '../../storage/run-table.ts'
import { end, finalise } from './endings.ts'
import { applyFlushed } from './metadata.ts'
import { queueId } from './queues.ts'
import { optional, refusal, type Turn, value } from './state.ts'

const frozeError: TaskRunError = {
  type: 'INTERNAL_ERROR',
  code: 'MAX_DURATION_EXCEEDED',
  message: 'The task kept the CPU without yielding and stopped the process twice, the second time alone.',
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
  const { admission, rateLimits } = turn.state
  for (let next = admitNext(admission, turn.now); next; next = admitNext(admission, turn.now)) {
    const run = turn.state.live.get(next.id)
    rateLimits.leave(next.id)
    if (!run) {
      release(admission, next.queue, next.key)
      continue
    }
    run.engine.holdsSlot = true
    if (run.engine.resuming) {
      run.engine.resuming = undefined
      run.status = move(run.status, 'EXECUTING')
      turn.state.changed(run, turn.now)
      turn.executors.resume(turn, run)
    } else startAttempt(turn, run, true)
  }
  rateLimits.plan(admission, turn.state.due, turn.now)
}

/** A new lease; `next` counts a new attempt, otherwise the same one starts again. */
export function startAttempt(turn: Turn, run: StoredRun, next: boolean): void {
  const { state, now } = turn
  const version = run.version
    ? state.versionNamed(run.version)
    : run.engine.lockToVersion
      ? state.versionNamed(run.engine.lockToVersion)
      : state.version
  const task = version && taskOf(version, run.task)
  const reason = whyNotStartable(version, task, run)
  if (!version || !task || !state.identity || reason) {
    state.releaseSlot(run)
    run.status = move(run.status, 'PENDING_VERSION')
    run.waitingReason = reason
    // The TTL begins anew when a version sets it free (1.38).
    run.engine.ttlAt = undefined
    state.changed(run, now)
    return
  }
  if (runsElsewhere(version, run.task)) {
    // Admission asked: only a question taken back within this very turn finds nobody.
    if (turn.executors.remote.give(turn, run, version)) return
    state.releaseSlot(run)
    state.enqueue(run)
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
  const spans = mergeSpans([...stored.spans, ...input.spans])
  state.releaseExecutor(run)
  // It may have ended while the platform believed that it waits (a rejected Promise.race, a cancel).
  if (run.engine.resuming) state.withdraw(run)
  run.engine.waits = []
  run.engine.resuming = undefined
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
  if (!completion) {
    if (input.lost?.alone) run.engine.ownShard = true
    return lost(turn, run, input.lost?.reason ?? 'lost', spans)
  }
  run.engine.lost = 0
  run.engine.freezes = undefined
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
  const ownVersion = run.version ? state.versionNamed(run.version) : undefined
  const task = ownVersion && taskOf(ownVersion, run.task)
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
  if (run.engine.remote && decision.warm && run.engine.holdsSlot) {
    // Its process waits for the delay and starts the next attempt itself.
    turn.executors.remote.retryInPlace(turn, run)
    state.changed(run, now)
    return value({ released: true })
  }
  run.engine.dueAt = decision.at
  // A run that failed while it waited has no slot to stay warm in.
  if (!decision.warm || !run.engine.holdsSlot) {
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
  run.engine.dueAt = undefined
  run.engine.lost += 1
  run.engine.restarted = true
  const decision = afterLoss({
    losses: run.engine.lost,
    waiting,
    reason,
    development: state.identity?.type === 'DEVELOPMENT',
    now,
  })
  if (decision.kind === 'stalled') {
    end(turn, run, decision.status, decision.error, spans)
    return value({ released: true })
  }
  writeResult(state.sql, run.id, { spans })
  run.attemptNumber -= 1
  state.releaseSlot(run)
  run.status = move(run.status, 'PENDING')
  run.waitingReason = `starting again: ${reason}`
  if (decision.at > now) {
    run.engine.dueAt = decision.at
    state.due.add({ at: decision.at, kind: 'start', id: run.id })
  } else state.enqueue(run)
  state.changed(run, now)
  return value({ released: true })
}

/** The process froze while these executed, and was replaced: the next starts tell who did it. */
export function frozen(turn: Turn, runs: StoredRun[]): void {
  const { state, now } = turn
  const suspects = runs.map((run) => ({ id: run.id, lease: run.engine.lease, freezes: run.engine.freezes ?? 0 }))
  for (const decision of afterFreeze(suspects, now)) {
    const run = state.live.get(decision.id)
    if (!run) continue
    state.releaseExecutor(run)
    run.engine.freezes = (run.engine.freezes ?? 0) + 1
    run.engine.restarted = true
    if (decision.kind === 'blamed') {
      end(turn, run, 'TIMED_OUT', frozeError, readPackets(state.sql, run.id).spans)
      goOn(turn)
      continue
    }
    run.attemptNumber -= 1
    state.releaseSlot(run)
    run.status = move(run.status, 'PENDING')
    run.waitingReason = 'starting again: a task kept the CPU and stopped the process'
    run.engine.dueAt = decision.at > now ? decision.at : undefined
    if (run.engine.dueAt === undefined) state.enqueue(run)
    else state.due.add({ at: decision.at, kind: 'start', id: run.id })
    state.changed(run, now)
  }
}

/** Those that waited while the culprit was alone need not wait for the rest of its time. */
function goOn({ state, now }: Turn): void {
  for (const run of state.live.values()) {
    if (run.status !== 'PENDING' || !run.engine.freezes || run.engine.dueAt === undefined) continue
    run.engine.dueAt = undefined
    state.enqueue(run)
    state.changed(run, now)
  }
}
