/**
 * EnvironmentDO: the only place that decides who runs next, and the only owner of wake-ups (design §3, D7).
 * A shell: calls that change something are decided together and written in one transaction; effects go out after it; then
 * the next alarm. It may be reset at any await: everything is rebuilt from the tables.
 */
import { DurableObject } from 'cloudflare:workers'
import { decrypt, encrypt } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import type { CompletedAttempt, DequeuedRun, DequeueInput, RunSnapshot, StartedAttempt } from '../contracts/engine.ts'
import type { EventInput, EventResult, EventSubscription } from '../contracts/event.ts'
import type { ExportedRun, QueueSettings } from '../contracts/export.ts'
import type { FeedPage, FeedQuery } from '../contracts/feed.ts'
import {
  type BatchCreateInput,
  type BatchItem,
  type BatchRecord,
  type BulkActionInput,
  type BulkActionRecord,
  type CheckpointRecord,
  type CurrentTasks,
  type DirectoryObject,
  type EnvironmentObject,
  objectNames,
  type QueueRecord,
  type QueueRef,
  timerNames,
  type WaitpointRecord,
} from '../contracts/objects.ts'
import type {
  Caller,
  Completion,
  EnvironmentIdentity,
  FinishInput,
  ListRunsInput,
  ListRunsResult,
  Packet,
  RpcResult,
  RunDetail,
  SpanRecord,
  TriggerInput,
  TriggerResult,
  WorkerVersion,
} from '../contracts/rpc.ts'
import { reconsider } from '../core/queue/admission.ts'
import { queueSizes } from '../core/queue/limits.ts'
import { creationLimit } from '../core/run/creations.ts'
import type { Due } from '../core/run/due-list.ts'
import { dayBounds, retentionCutoff, retentionDaysOf } from '../core/run/retention.ts'
import { mergeSpans } from '../core/run/spans.ts'
import { isFinal, move } from '../core/run/statuses.ts'
import { readBulkAction } from '../storage/bulk-table.ts'
import { readCheckpoints } from '../storage/checkpoint-table.ts'
import { putSetting, readSetting } from '../storage/document-table.ts'
import { migrateEnvironment } from '../storage/migrations.ts'
import { deleteKey, findKey, hasFinalRuns, packetOwners, readPackets, writeTags } from '../storage/run-table.ts'
import { listSubscriptions } from '../storage/subscription-table.ts'
import { Archive } from './environment/archive.ts'
import { finish, frozen, intoQueue, lost, startAttempt } from './environment/attempts.ts'
import { abortUnsealed, addBatchItems, createBatch } from './environment/batches.ts'
import { abortBulkAction, BulkActions, bulkActionPage, createBulkAction } from './environment/bulk-actions.ts'
import { putCheckpoint } from './environment/checkpoints.ts'
import { DevSockets } from './environment/dev-sockets.ts'
import { cancel, expire, finalise } from './environment/endings.ts'
import { sendEvent, setActive, subscribe, unsubscribe } from './environment/events.ts'
import { Executors } from './environment/executors.ts'
import { feedPage } from './environment/feeds.ts'
import { GroupCommit } from './environment/group-commit.ts'
import { type MetadataUpdate, updateMetadata } from './environment/metadata.ts'
import { overrideQueue, pauseQueue, queues, readQueue, resetQueue } from './environment/queues.ts'
import { currentTasks, detail, listTokens } from './environment/reads.ts'
import { RemoteExecutors, storeSpans } from './environment/remote.ts'
import { RemoteTelemetry } from './environment/remote-telemetry.ts'
import { listRuns } from './environment/run-list.ts'
import { addRunStream } from './environment/run-streams.ts'
import { type Effect, EnvironmentState, isRemote, leaseCheckMs, refusal, type Turn, value } from './environment/state.ts'
import { exportPage, importQueues, importRuns, queueSettings } from './environment/transfer.ts'
import { trigger } from './environment/trigger.ts'
import { becomeCurrent, becomeKnown } from './environment/versions.ts'
import {
  checkWaits,
  completeToken,
  createToken,
  readToken,
  timeOutToken,
  waitForDuration,
  waitForToken,
} from './environment/waits.ts'

const duePerAlarm = 500
const storeSpansAfterMs = 2_000
const variableLabel = 'environment variables'
const defaultConcurrency = 100

export class EnvironmentDO extends DurableObject<Env> implements EnvironmentObject {
  private readonly state: EnvironmentState
  private readonly executors: Executors
  private readonly group: GroupCommit
  private readonly archive: Archive
  private readonly bulkActions: BulkActions
  private readonly sockets: DevSockets
  private readonly telemetry = new RemoteTelemetry()
  private storing?: ReturnType<typeof setTimeout>
  private alarmAt = Number.POSITIVE_INFINITY
  private noted = false
  private leasesCheckedAt = 0
  private sealing: Promise<string> = Promise.resolve('')

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    migrateEnvironment(ctx.storage)
    this.state = new EnvironmentState(
      ctx.storage.sql,
      Number(env.ENVIRONMENT_CONCURRENCY) || defaultConcurrency,
      queueSizes(env.MAXIMUM_DEV_QUEUE_SIZE, env.MAXIMUM_DEPLOYED_QUEUE_SIZE),
      creationLimit(env.MAXIMUM_CREATIONS_PER_MINUTE),
    )
    this.sockets = new DevSockets(ctx, env, () => this.state.identity)
    const remote = new RemoteExecutors(this.state, this.telemetry, (runId) => this.sockets.notify(runId))
    this.state.mayStart = (run) => remote.mayStart(run)
    this.executors = new Executors(
      env,
      remote,
      (runId, lease, reason) => void this.loseLease(runId, lease, reason).catch(() => {}),
    )
    this.group = new GroupCommit(ctx.storage, this.state, this.executors, (effects) => this.committed(effects))
    this.archive = new Archive(env, this.state, this.group)
    this.bulkActions = new BulkActions(env, this.state, this.group)
    this.state.load(Date.now())
    void ctx.blockConcurrencyWhile(async () => {
      const sealed = readSetting(ctx.storage.sql, 'variables')
      if (typeof sealed === 'string') this.state.variables = JSON.parse(await decrypt(this.root(), variableLabel, sealed))
      this.alarmAt = (await ctx.storage.getAlarm()) ?? Number.POSITIVE_INFINITY
      this.armAlarm()
    })
  }

  private decide<T>(decide: (turn: Turn) => RpcResult<T>): Promise<RpcResult<T>> {
    return this.group.decide(decide)
  }

  /** For callers from outside: key epoch and lease are checked first, and a long queue turns them away. */
  private async as<T>(caller: Caller, decide: (turn: Turn) => RpcResult<T>): Promise<RpcResult<T>> {
    if (this.group.isBusy) return overloaded
    return this.decide((turn) => this.state.admitCaller(caller) ?? decide(turn))
  }

  private committed(effects: Effect[]): void {
    for (const effect of effects) this.ctx.waitUntil(effect().catch((error) => console.error('effect failed', String(error))))
    this.armAlarm()
  }

  // -------------------------------------------------------------- time

  private armAlarm(): void {
    const due = Math.min(
      this.state.due.earliest() ?? Number.POSITIVE_INFINITY,
      this.state.slots.size > 0 || this.state.quarantine.size > 0 ? Date.now() + leaseCheckMs : Number.POSITIVE_INFINITY,
    )
    if (due === Number.POSITIVE_INFINITY || due >= this.alarmAt) return
    // A re-arm for the millisecond of the last alarm is lost.
    this.alarmAt = Math.max(Date.now() + 1, due)
    void this.ctx.storage.setAlarm(this.alarmAt)
    this.noteTimers()
  }

  /** A coarse hint for the minute cron, until a wake finds nothing to wait for. */
  private noteTimers(): void {
    const { identity } = this.state
    if (this.noted || !identity) return
    this.noted = true
    const directory = this.env.DIRECTORY.get(this.env.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject
    this.ctx.waitUntil(
      directory.noteTimers(timerNames.environment(identity.locator)).catch(() => {
        this.noted = false
      }),
    )
  }

  override async alarm(): Promise<void> {
    this.alarmAt = Number.POSITIVE_INFINITY
    await this.work()
  }

  /** Trusts no alarm to be still there. */
  async wake(): Promise<boolean> {
    this.alarmAt = (await this.ctx.storage.getAlarm()) ?? Number.POSITIVE_INFINITY
    await this.work()
    this.noted = this.alarmAt !== Number.POSITIVE_INFINITY
    return this.noted
  }

  async holdsRunsOf(day: string): Promise<boolean> {
    return hasFinalRuns(this.state.sql, ...dayBounds(day))
  }

  /** Never throws: a failing item is put off, longer each time, and the next alarm is always set. */
  private async work(): Promise<void> {
    const now = Date.now()
    const items: Due[] = []
    for (let due = this.state.due.pop(now); due; due = items.length < duePerAlarm ? this.state.due.pop(now) : undefined)
      items.push(due)
    try {
      if (items.length > 0)
        await this.decide((turn) => {
          for (const due of items) this.handleDue(turn, due)
          return value(true)
        })
    } catch {
      // The group was rolled back and memory reloaded; each item on its own finds the one that fails.
      for (const due of items) {
        await this.decide((turn) => value(this.handleDue(turn, due))).then(
          () => this.state.due.succeeded(due),
          () => this.state.due.putOff(due, Date.now()),
        )
      }
    }
    if (items.some((due) => due.kind === 'archive')) await this.runArchive(now)
    for (const due of items) if (due.kind === 'bulk') await this.runBulkAction(due)
    if (now - this.leasesCheckedAt >= leaseCheckMs - 1_000) {
      this.leasesCheckedAt = now
      await this.checkLeases().catch((error) => console.error('lease check failed', String(error)))
    }
    this.armAlarm()
  }

  private handleDue(turn: Turn, due: Due): void {
    const run = turn.state.live.get(due.id)
    if (due.kind === 'token') timeOutToken(turn, due.id)
    else if (due.kind === 'rate') turn.state.rateLimits.woken()
    else if (due.kind === 'asked') reconsider(turn.state.admission)
    else if (due.kind === 'seal') abortUnsealed(turn, due.id)
    else if (!run) return
    else if (due.kind === 'ttl') expire(turn, run)
    else if (due.kind === 'remote') turn.executors.remote.check(turn, run)
    else if (due.kind === 'datetime') checkWaits(turn, run)
    else if (due.kind === 'cancel' && isFinal(run.status)) {
      if (run.engine.lease > 0) turn.executors.release(turn, run)
      finalise(turn, run)
    } else if (due.kind === 'start' && run.engine.dueAt !== undefined) {
      if (run.engine.dueAt <= turn.now) this.startDue(turn, run)
      // Pushed back since: a debounced run has one item, which moves along when it comes up, also when it lost its key meanwhile.
      else turn.state.due.add({ ...due, at: run.engine.dueAt })
    }
  }

  private startDue(turn: Turn, run: Parameters<typeof intoQueue>[1]): void {
    run.engine.dueAt = undefined
    if (run.status === 'DELAYED') {
      turn.state.debounced.remove(run)
      run.status = move(run.status, 'PENDING')
      run.queuedAt = turn.now
      intoQueue(turn, run)
    } else if (run.status === 'PENDING') intoQueue(turn, run)
    else if (run.status === 'EXECUTING' && run.engine.lease === 0) startAttempt(turn, run, true)
    turn.state.changed(run, turn.now)
  }

  private async runArchive(now: number): Promise<void> {
    try {
      this.state.planArchive(await this.archive.pass(now), true)
    } catch (error) {
      console.error('hand-over to history failed', String(error))
      this.state.planArchive(now + 60_000, true)
    }
  }

  private async runBulkAction(due: Due): Promise<void> {
    try {
      await this.bulkActions.step(due.id)
      this.state.due.succeeded(due)
    } catch (error) {
      console.error('a page of a bulk action failed', String(error))
      this.state.due.putOff(due, Date.now())
    }
  }

  private async checkLeases(): Promise<void> {
    await this.executors.confirm(this.state)
    await this.handleFreeze()
    for (const { runId, lease } of await this.executors.findLost(this.state))
      await this.loseLease(runId, lease, 'its executor no longer exists')
  }

  /** Once per freeze, when nobody of the old process is left. */
  private async handleFreeze(): Promise<void> {
    const at = Number(this.env.FROZEN_AT) || 0
    if (at <= (readSetting<number>(this.state.sql, 'frozenAt') ?? 0)) return
    const gone = new Set((await this.executors.findLost(this.state)).map(({ lease }) => lease))
    await this.decide((turn) => {
      putSetting(turn.state.sql, 'frozenAt', at)
      const executing = [...turn.state.live.values()].filter((run) => run.status === 'EXECUTING' && gone.has(run.engine.lease))
      frozen(turn, executing)
      return value(true)
    })
  }

  private async loseLease(runId: string, lease: number, reason: string): Promise<void> {
    await this.decide<boolean>((turn) => {
      const run = turn.state.live.get(runId)
      if (!run || run.engine.lease !== lease) return value(false)
      turn.executors.release(turn, run)
      if (isFinal(run.status)) finalise(turn, run)
      else lost(turn, run, reason)
      return value(true)
    })
  }

  // -------------------------------------------------------------- runs

  trigger(caller: Caller, input: TriggerInput): Promise<RpcResult<TriggerResult>> {
    return this.as(caller, (turn) => trigger(turn, input))
  }

  /** In the transactions that calls on their own would share. */
  triggerMany(caller: Caller, inputs: TriggerInput[]): Promise<RpcResult<TriggerResult>[]> {
    const failed = (error: unknown): RpcResult<never> => ({
      ok: false,
      error: { code: 'INTERNAL', message: String(error), status: 500, retryable: true },
    })
    return Promise.all(inputs.map((input) => this.trigger(caller, input).catch(failed)))
  }

  createBatch(
    caller: Caller,
    input: BatchCreateInput,
  ): Promise<RpcResult<{ id: string; runCount: number; isCached: boolean; idempotencyKey?: string }>> {
    return this.as(caller, (turn) => createBatch(turn, input))
  }

  addBatchItems(caller: Caller, batchId: string, items: BatchItem[]): ReturnType<EnvironmentObject['addBatchItems']> {
    return this.as(caller, (turn) => addBatchItems(turn, batchId, items))
  }

  async getBatch(caller: Caller, batchId: string): Promise<RpcResult<BatchRecord>> {
    const batch = this.state.batch(batchId)
    return this.refuse(caller) ?? (batch ? value(batch) : notFound())
  }

  async getRun(caller: Caller, runId: string): Promise<RpcResult<RunDetail>> {
    const run = this.state.find(runId)
    return this.refuse(caller) ?? (run ? value(detail(this.state, run)) : notFound())
  }

  async waitForRun(caller: Caller, runId: string, after: number, waitMs: number): Promise<RpcResult<RunDetail>> {
    const until = Date.now() + waitMs
    for (;;) {
      const run = this.state.find(runId)
      const refused = this.refuse(caller) ?? (run ? undefined : notFound())
      if (refused || !run) return refused ?? notFound()
      const left = until - Date.now()
      if (run.updatedAt > after || isFinal(run.status) || left <= 0) return value(detail(this.state, run))
      await this.state.watchers.changed(runId, left)
    }
  }

  async waitForFeed(caller: Caller, query: FeedQuery, after: number, waitMs: number): Promise<RpcResult<FeedPage>> {
    const until = Date.now() + waitMs
    for (;;) {
      const page = feedPage(this.state, query, after, Date.now())
      const left = until - Date.now()
      if (page.runs.length > 0 || left <= 0) return this.refuse(caller) ?? value(page)
      await this.state.feeds.wait(query, left)
    }
  }

  putCheckpoint(caller: Caller, runId: string, checkpoint: { name: string; data: string }): Promise<RpcResult<{ ok: true }>> {
    return this.as(caller, (turn) => putCheckpoint(turn, runId, checkpoint))
  }

  async listCheckpoints(caller: Caller, runId: string): Promise<RpcResult<CheckpointRecord[]>> {
    return this.refuse(caller) ?? (this.state.find(runId) ? value(readCheckpoints(this.state.sql, runId)) : notFound())
  }

  async currentTasks(caller: Caller, known?: string): Promise<RpcResult<CurrentTasks>> {
    return this.refuse(caller) ?? value(currentTasks(this.state, known))
  }

  async listRuns(caller: Caller, input: ListRunsInput): Promise<RpcResult<ListRunsResult>> {
    return this.refuse(caller) ?? value(listRuns(this.state, input))
  }

  cancelRun(
    caller: Caller,
    runId: string,
    reason = 'Canceled by user',
  ): Promise<RpcResult<{ id: string; alreadyFinished: boolean }>> {
    return this.as(caller, (turn) => {
      const run = turn.state.find(runId)
      if (!run) return notFound()
      const alreadyFinished = isFinal(run.status)
      cancel(turn, run, reason)
      return value({ id: runId, alreadyFinished })
    })
  }

  rescheduleRun(caller: Caller, runId: string, delayUntil: number): Promise<RpcResult<RunDetail>> {
    return this.as(caller, (turn) => {
      const run = turn.state.find(runId)
      if (!run) return notFound()
      if (run.status !== 'DELAYED') return refusal('INVALID_REQUEST', 'Cannot reschedule a run that is not delayed', 400)
      run.delayUntil = delayUntil
      run.engine.dueAt = delayUntil
      run.engine.score = delayUntil - run.priorityMs
      turn.state.due.add({ at: delayUntil, kind: 'start', id: runId })
      turn.state.changed(run, turn.now)
      return value(detail(turn.state, run))
    })
  }

  async packetOwners(caller: Caller, path: string): Promise<RpcResult<string[]>> {
    return this.refuse(caller) ?? value(packetOwners(this.state.sql, path))
  }

  addRunStream(caller: Caller, runId: string, key: string): Promise<RpcResult<{ ok: true }>> {
    return this.as(caller, (turn) => addRunStream(turn, runId, key))
  }

  addTags(caller: Caller, runId: string, tags: string[]): Promise<RpcResult<{ added: number }>> {
    return this.as(caller, (turn) => {
      const run = turn.state.find(runId)
      if (!run) return notFound()
      const fresh = [...new Set(tags)].filter((tag) => tag && !run.tags.includes(tag))
      if (run.tags.length + fresh.length > 10) {
        return refusal(
          'UNPROCESSABLE',
          `Runs can only have 10 tags, you're trying to set ${run.tags.length + fresh.length}.`,
          422,
        )
      }
      run.tags.push(...fresh)
      writeTags(turn.state.sql, run.id, fresh)
      if (fresh.length > 0) turn.state.changed(run, turn.now)
      return value({ added: fresh.length })
    })
  }

  updateMetadata(caller: Caller, runId: string, update: MetadataUpdate): Promise<RpcResult<Record<string, unknown>>> {
    return this.as(caller, (turn) => updateMetadata(turn, runId, update))
  }

  async getTrace(caller: Caller, runId: string): Promise<RpcResult<{ run: RunDetail; spans: SpanRecord[] }>> {
    const refused = this.refuse(caller)
    if (refused) return refused
    const run = this.state.find(runId)
    if (!run) return notFound()
    const stored = readPackets(this.state.sql, runId).spans
    const locator = this.state.identity?.locator
    const live =
      run.engine.remote || isRemote(run)
        ? this.telemetry.peek(runId)
        : run.engine.lease > 0 && locator
          ? await this.executors
              .at(locator, run.engine.slot)
              .telemetry(run.engine.lease)
              .catch(() => [])
          : []
    return value({
      run: detail(this.state, run),
      spans: run.engine.remote ? mergeSpans([...stored, ...live]) : [...stored, ...live],
    })
  }

  resetIdempotencyKey(caller: Caller, task: string, key: string): Promise<RpcResult<{ cleared: number }>> {
    return this.as(caller, (turn) => {
      const known = findKey(turn.state.sql, task, key)
      if (!known) return refusal('NOT_FOUND', `No runs found with idempotency key: ${key} and task: ${task}`, 404)
      deleteKey(turn.state.sql, task, key)
      const run = turn.state.find(known.runId)
      if (run) {
        run.idempotencyKey = undefined
        run.idempotencyKeyOptions = undefined
        turn.state.changed(run, turn.now)
      }
      return value({ cleared: 1 })
    })
  }

  finish(input: FinishInput): Promise<RpcResult<{ released: boolean }>> {
    return this.decide((turn) => finish(turn, input))
  }

  // -------------------------------------------------------------- runs that a process elsewhere executes

  async dequeueRuns(caller: Caller, input: DequeueInput): Promise<RpcResult<DequeuedRun[]>> {
    const refused = this.refuse(caller)
    if (refused) return refused
    const runs = this.executors.remote.open(input)
    const asked = await this.as(caller, (turn) => {
      reconsider(turn.state.admission)
      return value(true)
    })
    if (!asked.ok) {
      this.executors.remote.close(input.pollId)
      return asked
    }
    return value(await runs)
  }

  async stopDequeue(pollId: string): Promise<void> {
    this.executors.remote.close(pollId)
  }

  startAttempt(caller: Caller, runId: string, on: string): Promise<RpcResult<StartedAttempt>> {
    return this.as(caller, (turn) => turn.executors.remote.start(turn, runId, on))
  }

  completeAttempt(caller: Caller, runId: string, on: string, completion: Completion): Promise<RpcResult<CompletedAttempt>> {
    return this.as(caller, (turn) => turn.executors.remote.complete(turn, runId, on, completion))
  }

  async latestSnapshot(caller: Caller, runId: string): Promise<RpcResult<RunSnapshot>> {
    const refused = this.refuse(caller)
    if (refused) return refused
    const latest = this.executors.remote.latest(runId)
    if (!latest) return notFound()
    const { snapshot } = latest
    const locator = this.state.identity?.locator ?? ''
    const completedWaitpoints = await Promise.all(
      snapshot.completedWaitpoints.map((waitpoint) => this.executors.fromHistory(locator, waitpoint)),
    )
    return value({ ...snapshot, completedWaitpoints })
  }

  async heartbeat(caller: Caller, runId: string): Promise<RpcResult<{ ok: true }>> {
    this.executors.remote.heartbeat(runId)
    return this.refuse(caller) ?? value({ ok: true })
  }

  giveBackRun(caller: Caller, runId: string, on: string, reason: string): Promise<RpcResult<{ requeued: boolean }>> {
    return this.as(caller, (turn) => turn.executors.remote.giveBack(turn, runId, on, reason))
  }

  disconnectRuns(caller: Caller, runIds: string[]): Promise<RpcResult<{ cancelled: number }>> {
    // What the session asked for last is not for anybody else.
    this.executors.remote.closeAll()
    return this.as(caller, (turn) =>
      value({ cancelled: runIds.filter((id) => turn.executors.remote.disconnected(turn, id)).length }),
    )
  }

  async isDevConnected(caller: Caller): Promise<RpcResult<boolean>> {
    return this.refuse(caller) ?? value(this.executors.remote.isConnected)
  }

  /** Kept in memory and written behind: whoever exports them waits for nothing. */
  async addSpans(caller: Caller, byRun: Record<string, SpanRecord[]>): Promise<RpcResult<{ ok: true }>> {
    const refused = this.refuse(caller)
    if (refused) return refused
    for (const [runId, spans] of Object.entries(byRun))
      if (this.state.find(runId)?.engine.remote) this.telemetry.add(runId, spans)
    this.storing ??= setTimeout(() => {
      this.storing = undefined
      void this.decide((turn) => {
        storeSpans(turn, this.telemetry)
        return value(true)
      }).catch((error) => console.error('spans were not stored', String(error)))
    }, storeSpansAfterMs)
    return value({ ok: true })
  }

  /** Only the socket of a dev session comes this way; the Worker knows by then who opens it. */
  override async fetch(): Promise<Response> {
    return this.sockets.accept()
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    if (typeof message === 'string') await this.sockets.message(socket, message)
  }

  override async webSocketClose(): Promise<void> {}

  async tellOfRuns(locator: string, projectId: string): Promise<void> {
    this.sockets.addListener(locator, projectId)
  }

  async notifyRun(runId: string): Promise<void> {
    this.sockets.notify(runId, true)
  }

  // -------------------------------------------------------------- bulk actions

  createBulkAction(caller: Caller, input: BulkActionInput): Promise<RpcResult<{ id: string }>> {
    return this.as(caller, (turn) => createBulkAction(turn, input))
  }

  async getBulkAction(caller: Caller, id: string): Promise<RpcResult<BulkActionRecord>> {
    const action = readBulkAction<BulkActionRecord>(this.state.sql, id)
    return this.refuse(caller) ?? (action ? value(action) : notFound())
  }

  async listBulkActions(
    caller: Caller,
    input: Parameters<EnvironmentObject['listBulkActions']>[1],
  ): ReturnType<EnvironmentObject['listBulkActions']> {
    return this.refuse(caller) ?? value(bulkActionPage(this.state, input))
  }

  abortBulkAction(caller: Caller, id: string): Promise<RpcResult<{ id: string }>> {
    return this.as(caller, (turn) => abortBulkAction(turn, id))
  }

  // -------------------------------------------------------------- events

  sendEvent(caller: Caller, event: EventInput): Promise<RpcResult<EventResult>> {
    return this.as(caller, (turn) => sendEvent(turn, event))
  }

  subscribe(caller: Caller, subscription: EventSubscription): Promise<RpcResult<EventSubscription>> {
    return this.as(caller, (turn) => subscribe(turn, subscription))
  }

  async listSubscriptions(caller: Caller): Promise<RpcResult<EventSubscription[]>> {
    return this.refuse(caller) ?? value(listSubscriptions(this.state.sql))
  }

  setSubscriptionActive(caller: Caller, id: string, active: boolean): Promise<RpcResult<EventSubscription>> {
    return this.as(caller, (turn) => setActive(turn, id, active))
  }

  unsubscribe(caller: Caller, id: string): Promise<RpcResult<{ id: string }>> {
    return this.as(caller, (turn) => unsubscribe(turn, id))
  }

  // -------------------------------------------------------------- waitpoints

  createToken(
    caller: Caller,
    input: Parameters<EnvironmentObject['createToken']>[1],
  ): Promise<RpcResult<{ id: string; isCached: boolean }>> {
    return this.as(caller, (turn) => createToken(turn, input))
  }

  async getToken(caller: Caller, id: string): Promise<RpcResult<WaitpointRecord>> {
    const token = readToken(this.state, id)
    return this.refuse(caller) ?? (token ? value(token) : notFound())
  }

  async listTokens(
    caller: Caller,
    input: Parameters<EnvironmentObject['listTokens']>[1],
  ): ReturnType<EnvironmentObject['listTokens']> {
    return this.refuse(caller) ?? value(listTokens(this.state, input))
  }

  completeToken(caller: Caller, id: string, output: Packet | undefined, isError = false): Promise<RpcResult<{ success: true }>> {
    return this.as(caller, (turn) => completeToken(turn, id, output, isError))
  }

  waitForToken(caller: Caller, runId: string, waitpointId: string): Promise<RpcResult<{ success: true }>> {
    return this.as(caller, (turn) => waitForToken(turn, runId, waitpointId))
  }

  waitForDuration(
    caller: Caller,
    runId: string,
    input: Parameters<EnvironmentObject['waitForDuration']>[2],
  ): ReturnType<EnvironmentObject['waitForDuration']> {
    return this.as(caller, (turn) => waitForDuration(turn, runId, input))
  }

  // -------------------------------------------------------------- queues

  async listQueues(
    caller: Caller,
    input: { page: number; perPage: number },
  ): Promise<RpcResult<{ queues: QueueRecord[]; count: number }>> {
    const all = queues(this.state)
    const start = (input.page - 1) * input.perPage
    return this.refuse(caller) ?? value({ queues: all.slice(start, start + input.perPage), count: all.length })
  }

  async getQueue(caller: Caller, ref: QueueRef): Promise<RpcResult<QueueRecord>> {
    return this.refuse(caller) ?? readQueue(this.state, ref)
  }

  pauseQueue(caller: Caller, ref: QueueRef, paused: boolean): Promise<RpcResult<QueueRecord>> {
    return this.as(caller, (turn) => pauseQueue(turn, ref, paused))
  }

  overrideQueue(
    caller: Caller,
    ref: QueueRef,
    override: { limit: number } | { percent: number },
  ): Promise<RpcResult<QueueRecord>> {
    return this.as(caller, (turn) => overrideQueue(turn, ref, override))
  }

  resetQueue(caller: Caller, ref: QueueRef): Promise<RpcResult<QueueRecord>> {
    return this.as(caller, (turn) => resetQueue(turn, ref))
  }

  // -------------------------------------------------------------- export and import

  async exportRuns(
    caller: Caller,
    input: Parameters<EnvironmentObject['exportRuns']>[1],
  ): ReturnType<EnvironmentObject['exportRuns']> {
    return this.refuse(caller) ?? value(exportPage(this.state, input))
  }

  async exportQueues(caller: Caller): ReturnType<EnvironmentObject['exportQueues']> {
    return this.refuse(caller) ?? value(queueSettings(this.state))
  }

  importQueues(caller: Caller, queues: QueueSettings[]): ReturnType<EnvironmentObject['importQueues']> {
    return this.as(caller, (turn) => importQueues(turn, queues))
  }

  importRuns(
    caller: Caller,
    runs: ExportedRun[],
    options: { queueUnfinished: boolean },
  ): ReturnType<EnvironmentObject['importRuns']> {
    const cutoff = retentionCutoff(Date.now(), retentionDaysOf(this.env.RUN_RETENTION_DAYS))
    return this.as(caller, (turn) => importRuns(turn, runs, { ...options, cutoff }))
  }

  // -------------------------------------------------------------- versions, variables, keys

  async setVersion(identity: EnvironmentIdentity, current: WorkerVersion, variables: Record<string, string>): Promise<void> {
    const sealed = await this.seal(variables)
    await this.decide((turn) => {
      this.remember(identity, variables, sealed)
      becomeCurrent(turn, current)
      if (current.remote) turn.executors.remote.workerRegistered(current.workerId)
      return value(true)
    })
  }

  async addVersion(version: WorkerVersion): Promise<void> {
    await this.decide((turn) => {
      becomeKnown(turn, version)
      return value(true)
    })
  }

  async setVariables(identity: EnvironmentIdentity, variables: Record<string, string>): Promise<void> {
    const sealed = await this.seal(variables)
    await this.decide(() => value(this.remember(identity, variables, sealed)))
  }

  async setPaused(paused: boolean): Promise<void> {
    await this.decide((turn) => {
      turn.state.admission.environmentPaused = paused
      putSetting(turn.state.sql, 'paused', paused)
      return value(true)
    })
  }

  async setKeyEpoch(epoch: number): Promise<void> {
    await this.decide((turn) => {
      turn.state.keyEpoch = Math.max(epoch, turn.state.keyEpoch)
      putSetting(turn.state.sql, 'keyEpoch', turn.state.keyEpoch)
      return value(true)
    })
  }

  /** One after the other, so that what came last is stored last. */
  private seal(variables: Record<string, string>): Promise<string> {
    this.sealing = this.sealing.then(() => encrypt(this.root(), variableLabel, JSON.stringify(variables)))
    return this.sealing
  }

  private root(): string {
    if (!this.env.ROOT_SECRET) throw new Error('ROOT_SECRET is not set.')
    return this.env.ROOT_SECRET
  }

  private remember(identity: EnvironmentIdentity, variables: Record<string, string>, sealed: string): boolean {
    this.state.identity = identity
    this.state.variables = variables
    putSetting(this.state.sql, 'identity', identity)
    putSetting(this.state.sql, 'variables', sealed)
    return true
  }

  private refuse(caller: Caller): RpcResult<never> | undefined {
    return caller.keyEpoch < this.state.keyEpoch ? refusal('KEY_REVOKED', 'Invalid API key', 401) : undefined
  }
}

const overloaded: RpcResult<never> = {
  ok: false,
  error: { code: 'OVERLOADED', message: 'The environment is busy; try again.', status: 503, retryable: true },
}

function notFound(): RpcResult<never> {
  return refusal('NOT_FOUND', 'Not found', 404)
}
