/**
 * Runs that somebody else's process executes: the CLI's `dev` on a laptop (design §6). It asks for runs and holds the question
 * open; what it is given, starts and ends is decided here, by the snapshot it names. Nothing of the asking is stored: after a
 * reset it asks again.
 */
import type {
  CompletedAttempt,
  DequeuedRun,
  DequeueInput,
  EngineRun,
  RunSnapshot,
  Snapshot,
  StartedAttempt,
} from '../../contracts/engine.ts'
import { nodeHostWorker } from '../../contracts/node-host.ts'
import type { Completion, RpcResult, TaskRunError, WorkerVersion } from '../../contracts/rpc.ts'
import { buildExecution, machineNamed, machineOf, runsElsewhere, taskOf } from '../../core/run/execution.ts'
import { statusOfError } from '../../core/run/retry.ts'
import {
  executionStatus,
  heardWithin,
  judgeCompletion,
  judgeStart,
  type Remote,
  snapshotId,
  snapshotNumber,
  startWithinMs,
} from '../../core/run/snapshots.ts'
import { isFinal, move } from '../../core/run/statuses.ts'
import { readPackets, type StoredRun, writeResult } from '../../storage/run-table.ts'
import { finish, lost } from './attempts.ts'
import { end, finalise } from './endings.ts'
import { queueId } from './queues.ts'
import type { RemoteTelemetry } from './remote-telemetry.ts'
import { type EnvironmentState, optional, refusal, remoteSlot, type Turn, value } from './state.ts'
import { completedWaitpoints } from './waits.ts'

/** Runs one answer brings, as upstream. */
const runsPerPoll = 10
/** A session asks again within a second; one that has not asked for this long is gone. */
const askedWithinMs = 5_000
const startedOverAtMost = 3
const pollsAtOnce = 100
const workersKept = 1_000
/** For a caller that did not hear the answer and asks with the same id. */
const answersKeptMs = 15_000
/** A session counts as connected this long after it last asked; its question is held open for most of the time. */
const connectedMs = 15_000

interface Poll extends DequeueInput {
  room: number
  given: DequeuedRun[]
  answer: () => void
}

export class RemoteExecutors {
  private polls: Poll[] = []
  private readonly answered = new Map<string, { at: number; runs: DequeuedRun[] }>()
  /** Worker → when somebody last asked for its runs. */
  private readonly asked = new Map<string, number>()
  /** When admission is asked again for runs whose session may be gone. */
  private lookingAt = 0
  private readonly heard = new Map<string, number>()
  private readonly state: EnvironmentState
  private readonly telemetry: RemoteTelemetry
  /** Tells the session that the run has a new snapshot. */
  private readonly notify: (runId: string) => void

  constructor(state: EnvironmentState, telemetry: RemoteTelemetry, notify: (runId: string) => void) {
    this.state = state
    this.telemetry = telemetry
    this.notify = notify
  }

  // -------------------------------------------------------------- asking for runs

  /** Resolves with runs as soon as there are some, or with none after `holdMs`. */
  open(input: DequeueInput): Promise<DequeuedRun[]> {
    const now = Date.now()
    for (const [id, { at }] of this.answered) if (at < now - answersKeptMs) this.answered.delete(id)
    const before = this.answered.get(input.pollId)
    if (before) return Promise.resolve(before.runs)
    if (this.asked.size > workersKept) this.asked.clear()
    this.asked.set(input.worker, now)
    // A client that asks without waiting for its answers gets the oldest ones now.
    if (this.polls.length >= pollsAtOnce) this.polls[0]?.answer()
    return new Promise((resolve) => {
      const poll: Poll = {
        ...input,
        room: Math.min(runsPerPoll, input.most ?? runsPerPoll),
        given: [],
        answer: () => {
          if (!this.polls.includes(poll)) return
          this.polls = this.polls.filter((other) => other !== poll)
          clearTimeout(timer)
          this.asked.set(poll.worker, Date.now())
          if (poll.given.length > 0) this.answered.set(poll.pollId, { at: Date.now(), runs: poll.given })
          resolve(poll.given)
        },
      }
      const timer = setTimeout(poll.answer, input.holdMs)
      this.polls.push(poll)
    })
  }

  /** Its client is gone. */
  close(pollId: string): void {
    for (const poll of this.polls) if (poll.pollId === pollId) poll.answer()
  }

  /** A session that was built anew asks with its new worker at once. */
  workerRegistered(worker: string): void {
    this.asked.set(worker, Date.now())
    this.closeAll()
  }

  /** Those who are still there ask again at once. */
  closeAll(): void {
    for (const poll of [...this.polls]) poll.answer()
  }

  get isConnected(): boolean {
    const last = Math.max(0, ...this.asked.values())
    return this.polls.length > 0 || last > Date.now() - connectedMs
  }

  /** Admission's question: is there somebody to give the run to? Runs of isolates, and those that go on, need nobody. */
  mayStart(run: StoredRun | undefined): boolean {
    if (!run || run.engine.resuming) return true
    const wanted = this.wanted(run)
    if (!wanted || !runsElsewhere(wanted, run.task)) return true
    return this.match(run, wanted) !== undefined
  }

  private wanted(run: StoredRun): WorkerVersion | undefined {
    const named = run.version ?? run.engine.lockToVersion
    return named ? this.state.versionNamed(named) : this.state.version
  }

  /**
   * The newest question of the worker's own session. When nobody asks for that worker any more: a run bound to it goes to
   * whoever asks (it may be an earlier build of theirs), an unbound one runs there on what they have.
   */
  private match(run: StoredRun, wanted: WorkerVersion): { poll: Poll; version: WorkerVersion } | undefined {
    const open = this.polls.filter((poll) => poll.room > 0)
    if (!wanted.remote) {
      const host = open.findLast((poll) => poll.worker === nodeHostWorker)
      return host && { poll: host, version: wanted }
    }
    const own = open.findLast((poll) => poll.worker === wanted.workerId)
    if (own) return { poll: own, version: wanted }
    const poll = open.at(-1)
    if (!poll || this.polls.some((each) => each.worker === wanted.workerId)) return undefined
    const goneAt = (this.asked.get(wanted.workerId) ?? 0) + askedWithinMs
    if (goneAt > Date.now()) {
      this.lookAgain(goneAt)
      return undefined
    }
    if (run.version ?? run.engine.lockToVersion) return { poll, version: wanted }
    const version = this.state.versionOfWorker(poll.worker)
    return version && taskOf(version, run.task) ? { poll, version } : undefined
  }

  private isAsked(worker: string): boolean {
    const last = this.asked.get(worker) ?? 0
    return last > Date.now() - askedWithinMs || this.polls.some((poll) => poll.worker === worker)
  }

  /** Whoever asks now may get it, once its own session is gone. */
  private lookAgain(at: number): void {
    if (this.lookingAt >= at) return
    this.lookingAt = at
    this.state.due.add({ at, kind: 'asked', id: '' })
  }

  /** Admitted: the run goes out with the answer to a question. False when the question was taken back meanwhile. */
  give(turn: Turn, run: StoredRun, wanted: WorkerVersion): boolean {
    const { state, now } = turn
    const found = this.match(run, wanted)
    if (!found) return false
    const { poll, version } = found
    const task = taskOf(version, run.task)
    if (!task) return false
    run.version = version.version
    run.machine ??= machineOf(task)
    run.maxDuration ??= task.maxDuration
    run.maxAttempts ??= task.retry?.maxAttempts
    run.status = move(run.status, 'DEQUEUED')
    run.waitingReason = undefined
    run.engine.dueAt = undefined
    run.engine.slot = remoteSlot
    run.engine.lease = state.nextLease()
    const snapshot = (run.engine.remote?.snapshot ?? 0) + 1
    run.engine.remote = { worker: version.workerId, snapshot, dequeuedWith: snapshot }
    state.due.add({ at: now + startWithinMs, kind: 'remote', id: run.id })
    state.changed(run, now)
    poll.room -= 1
    const dequeued: DequeuedRun = {
      snapshot: snapshotOf(run),
      dequeuedAt: now,
      worker: { id: version.workerId, version: version.version, ...optional('runtime', version.runtime) },
      ...optional('deploymentId', version.deploymentId || undefined),
      run: {
        ...engineRun(run),
        isTest: run.isTest,
        isReplay: run.replayOf !== undefined,
        queue: run.queue,
        traceparent: `00-${run.traceId}-${run.spanId}-01`,
      },
      machine: machineNamed(run.machine),
    }
    state.effects.push(async () => {
      poll.given.push(dequeued)
      // What the same commit decided goes out with the same answer.
      setTimeout(poll.answer, 0)
    })
    return true
  }

  // -------------------------------------------------------------- attempts

  start(turn: Turn, runId: string, on: string): RpcResult<StartedAttempt> {
    const { state, now } = turn
    const run = state.find(runId)
    const number = snapshotNumber(runId, on)
    const verdict = run && number !== undefined ? judgeStart(run, number) : 'stale'
    const version = run?.version ? state.versionNamed(run.version) : undefined
    const task = run && version && taskOf(version, run.task)
    if (!run || !version || !task || !state.identity || number === undefined || verdict === 'stale')
      return refusal('SNAPSHOT_STALE', `An attempt of ${runId} cannot be started on ${on}.`, run ? 400 : 404)
    const remote = run.engine.remote as Remote
    if (verdict === 'go') {
      run.startedAt ??= now
      if (run.status === 'DEQUEUED') run.status = move(run.status, 'EXECUTING')
      run.attemptNumber += 1
      run.engine.ttlAt = undefined
      remote.startedOn = number
      remote.snapshot += 1
      delete remote.isRetrying
      this.hear(turn, run)
      state.changed(run, now)
    }
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
    return value({ snapshot: snapshotOf(run), run: engineRun(run), execution, variables: state.variables })
  }

  complete(turn: Turn, runId: string, on: string, completion: Completion): RpcResult<CompletedAttempt> {
    const { state } = turn
    const run = state.find(runId)
    const number = snapshotNumber(runId, on)
    const verdict = run && number !== undefined ? judgeCompletion(run, number) : 'stale'
    if (!run || number === undefined || verdict === 'stale')
      return refusal('SNAPSHOT_STALE', `No attempt of ${runId} can end on ${on}.`, run ? 400 : 404)
    const remote = run.engine.remote as Remote
    if (verdict === 'go') {
      const attempt = run.attemptNumber
      if (!this.startOver(turn, run, completion)) {
        const { lease } = run.engine
        const ended = finish(turn, { runId, attempt, lease, completion, spans: this.telemetry.take(runId) })
        if (!ended.ok) return ended
      }
      remote.snapshot += 1
      delete remote.done
      this.heard.delete(runId)
      const attemptStatus = isFinal(run.status) ? 'RUN_FINISHED' : remote.isRetrying ? 'RETRY_IMMEDIATELY' : 'RETRY_QUEUED'
      remote.completed = { on: number, attempt, attemptStatus }
      state.changed(run, turn.now)
    }
    const { attemptStatus = 'RUN_FINISHED', attempt } = remote.completed ?? { attempt: run.attemptNumber }
    return value({ attemptStatus, snapshot: snapshotOf(run), run: { ...engineRun(run), attemptNumber: attempt } })
  }

  /** The session no longer has the build the run was bound to: it runs on the current one instead, and no attempt is counted. */
  private startOver(turn: Turn, run: StoredRun, { error }: Completion): boolean {
    const { state, now } = turn
    const isGone = error?.type === 'INTERNAL_ERROR' && error.code === 'COULD_NOT_FIND_EXECUTOR'
    if (!isGone || isFinal(run.status) || !state.version?.remote) return false
    // The current build is with nobody, or the run goes in circles: that is an error to be seen.
    const isCurrent = state.version.version === run.version && this.isAsked(state.version.workerId)
    if (isCurrent || run.engine.lost >= startedOverAtMost) return false
    run.engine.lost += 1
    run.version = undefined
    run.engine.lockToVersion = undefined
    run.attemptNumber -= 1
    this.backIntoQueue(turn, run, 'the build it was bound to is gone')
    state.changed(run, now)
    return true
  }

  private backIntoQueue({ state }: Turn, run: StoredRun, why: string): void {
    state.releaseExecutor(run)
    state.releaseSlot(run)
    run.status = move(run.status, 'PENDING')
    run.waitingReason = `starting again: ${why}`
    state.enqueue(run)
  }

  latest(runId: string): { run: StoredRun; snapshot: RunSnapshot } | undefined {
    const run = this.state.find(runId)
    if (!run?.engine.remote) return undefined
    const isRunning = run.status === 'EXECUTING' && run.engine.lease > 0
    const waits = isRunning ? (run.engine.remote.done ?? []) : []
    const done = completedWaitpoints(this.state, { engine: { waits } }, Date.now())
    return { run, snapshot: { snapshot: snapshotOf(run), run: engineRun(run), completedWaitpoints: done } }
  }

  heartbeat(runId: string): void {
    if (this.state.live.get(runId)?.engine.remote) this.heard.set(runId, Date.now())
  }

  /** The session is gone and confirms nothing any more. */
  disconnected(turn: Turn, runId: string): boolean {
    const { state } = turn
    const run = state.live.get(runId)
    if (!run?.engine.remote || run.engine.lease === 0) return false
    this.heard.delete(runId)
    if (isFinal(run.status)) finalise(turn, run)
    else {
      run.engine.waits = []
      run.engine.resuming = undefined
      const error: TaskRunError = { type: 'STRING_ERROR', raw: 'The dev session that executed this run has ended.' }
      end(turn, run, 'CANCELED', error, this.spansOf(run.id))
    }
    this.newSnapshot(turn, run)
    return true
  }

  /** The host has no process for it any more. What it was given since, or somebody else was, is not meant. */
  giveBack(turn: Turn, runId: string, on: string, reason: string): RpcResult<{ requeued: boolean }> {
    const { state, now } = turn
    const run = state.live.get(runId)
    const remote = run?.engine.remote
    const isHeld = run && remote && run.engine.lease > 0 && run.engine.slot === remoteSlot
    if (!isHeld || remote.dequeuedWith !== snapshotNumber(runId, on)) return value({ requeued: false })
    this.heard.delete(runId)
    if (isFinal(run.status)) finalise(turn, run)
    else if (run.status === 'DEQUEUED') {
      remote.snapshot += 1
      if (run.startedAt === undefined) run.version = undefined
      this.backIntoQueue(turn, run, reason)
      state.changed(run, now)
    } else {
      lost(turn, run, reason, this.spansOf(runId))
      this.newSnapshot(turn, run)
    }
    return value({ requeued: true })
  }

  // -------------------------------------------------------------- what the engine decides

  blocked(run: StoredRun): void {
    const { remote } = run.engine
    if (!remote) return
    remote.snapshot += 1
    // Not told: the session would only flush, and miss the news that follows at once.
    delete remote.done
  }

  resume(turn: Turn, run: StoredRun): void {
    const { remote } = run.engine
    if (!remote) return
    remote.done = run.engine.waits
    run.engine.waits = []
    this.newSnapshot(turn, run)
  }

  cancel(turn: Turn, run: StoredRun): void {
    this.newSnapshot(turn, run)
  }

  retryInPlace(turn: Turn, run: StoredRun): void {
    const { remote } = run.engine
    if (!remote) return
    remote.isRetrying = true
    run.engine.lease = turn.state.nextLease()
    this.hear(turn, run)
  }

  /** A due item of a lease: it was not started, or nothing was heard of it for too long. */
  check(turn: Turn, run: StoredRun): void {
    const { state, now } = turn
    const { remote, lease, slot } = run.engine
    if (!remote || lease === 0 || slot !== remoteSlot || isFinal(run.status)) return
    const heardAt = this.heard.get(run.id)
    if (run.status === 'DEQUEUED') {
      // A host that has to install the version first says so.
      if (heardAt !== undefined && heardAt > now - startWithinMs)
        state.due.add({ at: heardAt + startWithinMs, kind: 'remote', id: run.id })
      else if (remote.dequeuedWith === remote.snapshot) {
        remote.snapshot += 1
        // Bound by being given to a session that may be gone.
        if (run.startedAt === undefined) run.version = undefined
        this.backIntoQueue(turn, run, 'the session that took it did not start it')
        state.changed(run, now)
      }
      return
    }
    const withinMs = heardWithin(state.identity?.type === 'DEVELOPMENT')
    if (heardAt === undefined) this.hear(turn, run)
    else if (heardAt > now - withinMs) state.due.add({ at: heardAt + withinMs, kind: 'remote', id: run.id })
    else this.stalled(turn, run)
  }

  private stalled(turn: Turn, run: StoredRun): void {
    this.heard.delete(run.id)
    if (turn.state.identity?.type !== 'DEVELOPMENT') {
      lost(turn, run, 'nothing was heard of the process that executed it', this.spansOf(run.id))
      this.newSnapshot(turn, run)
      return
    }
    const waiting = run.status === 'WAITING_TO_RESUME'
    const error: TaskRunError = {
      type: 'INTERNAL_ERROR',
      code: waiting ? 'TASK_RUN_STALLED_EXECUTING_WITH_WAITPOINTS' : 'TASK_RUN_STALLED_EXECUTING',
      message: `Nothing was heard of the process that executes it for ${heardWithin(true) / 60_000} minutes.`,
    }
    run.engine.waits = []
    run.engine.resuming = undefined
    const status = statusOfError(error, turn.state.identity?.type === 'DEVELOPMENT')
    end(turn, run, status, error, this.spansOf(run.id))
    this.newSnapshot(turn, run)
  }

  private hear(turn: Turn, run: StoredRun): void {
    this.heard.set(run.id, turn.now)
    const withinMs = heardWithin(turn.state.identity?.type === 'DEVELOPMENT')
    turn.state.due.add({ at: turn.now + withinMs, kind: 'remote', id: run.id })
  }

  private spansOf(runId: string): ReturnType<typeof readPackets>['spans'] {
    return [...readPackets(this.state.sql, runId).spans, ...this.telemetry.take(runId)]
  }

  private newSnapshot(turn: Turn, run: StoredRun): void {
    if (!run.engine.remote) return
    run.engine.remote.snapshot += 1
    turn.state.changed(run, turn.now)
    turn.state.effects.push(async () => this.notify(run.id))
  }
}

function snapshotOf(run: StoredRun): Snapshot {
  const number = run.engine.remote?.snapshot ?? 0
  return { id: snapshotId(run.id, number), executionStatus: executionStatus(run), createdAt: run.updatedAt }
}

function engineRun({ id, status, attemptNumber }: StoredRun): EngineRun {
  return { id, status, attemptNumber }
}

/** Spans that came in since the last time, into the run's packets. */
export function storeSpans({ state }: Turn, telemetry: RemoteTelemetry): void {
  for (const runId of telemetry.runs()) {
    const stored = readPackets(state.sql, runId)
    const spans = telemetry.take(runId)
    if (!stored.archived) writeResult(state.sql, runId, { ...stored, spans: telemetry.merge(stored.spans, spans) })
  }
}
