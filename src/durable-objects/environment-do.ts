/**
 * EnvironmentDO: the only place that decides who runs next, and the only owner of wake-ups (design §3, D7).
 * A shell: calls that change something are decided together and written in one transaction; effects go out after it; then
 * the next alarm. It may be reset at any await: everything is rebuilt from the tables.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import {
  type BatchCreateInput,
  type BatchItem,
  type BatchRecord,
  type DirectoryObject,
  type EnvironmentObject,
  type MetadataOperation,
  objectNames,
  type QueueRecord,
  type WaitpointRecord,
} from '../contracts/objects.ts'
import type {
  Caller,
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
import { applyMetadataOperations } from '../core/metadata/operations.ts'
import { declaresQueue } from '../core/queue/declared.ts'
import type { Due } from '../core/run/due-list.ts'
import { isFinal, move } from '../core/run/statuses.ts'
import { putSetting, walkDocuments } from '../storage/document-table.ts'
import { migrateEnvironment } from '../storage/migrations.ts'
import { deleteKey, findKey, readPackets, writeMetadata } from '../storage/run-table.ts'
import { abortUnsealed, addBatchItems, createBatch } from './environment/batches.ts'
import { Executors } from './environment/executors.ts'
import { detail, listRuns, queueNamed, queues } from './environment/reads.ts'
import {
  cancel,
  expire,
  finalise,
  finish,
  intoQueue,
  lost,
  pump,
  startAttempt,
  type Turn,
  trigger,
  updateMetadataOf,
} from './environment/runs.ts'
import { EnvironmentState, leaseCheckMs, refusal, value } from './environment/state.ts'
import {
  checkWaits,
  completeToken,
  createToken,
  readToken,
  timeOutToken,
  waitForDuration,
  waitForToken,
} from './environment/waits.ts'

const groupSize = 200
const waitingLimit = 2_000
const duePerAlarm = 500
const defaultConcurrency = 100
const metadataBytes = 262_144

interface Call {
  decide: (turn: Turn) => RpcResult<unknown>
  resolve: (result: RpcResult<never>) => void
  reject: (error: unknown) => void
}

export class EnvironmentDO extends DurableObject<Env> implements EnvironmentObject {
  private readonly state: EnvironmentState
  private readonly executors: Executors
  private calls: Call[] = []
  private flushing = false
  private alarmAt = Number.POSITIVE_INFINITY
  private noted = false
  private leasesCheckedAt = 0

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    migrateEnvironment(ctx.storage)
    this.state = new EnvironmentState(ctx.storage.sql, Number(env.ENVIRONMENT_CONCURRENCY) || defaultConcurrency)
    this.executors = new Executors(env, (runId, lease, reason) => void this.loseLease(runId, lease, reason).catch(() => {}))
    this.state.load(Date.now())
    void ctx.blockConcurrencyWhile(async () => {
      this.alarmAt = (await ctx.storage.getAlarm()) ?? Number.POSITIVE_INFINITY
      this.armAlarm()
    })
  }

  // -------------------------------------------------------------- group commit

  private decide<T>(decide: (turn: Turn) => RpcResult<T>): Promise<RpcResult<T>> {
    if (this.calls.length >= waitingLimit) {
      return Promise.resolve({
        ok: false,
        error: { code: 'OVERLOADED', message: 'The environment is busy; try again.', status: 503, retryable: true },
      })
    }
    return new Promise((resolve, reject) => {
      this.calls.push({ decide, resolve: resolve as Call['resolve'], reject })
      if (this.flushing) return
      this.flushing = true
      setTimeout(() => this.flush(), 0)
    })
  }

  private flush(): void {
    this.flushing = false
    const group = this.calls.splice(0, groupSize)
    if (this.calls.length > 0) {
      this.flushing = true
      setTimeout(() => this.flush(), 0)
    }
    if (!this.commit(group)) for (const call of group) this.commit([call])
  }

  /** All of the group in one transaction. On a bug in one of them nothing is kept, and each is tried alone. */
  private commit(group: Call[]): boolean {
    const turn: Turn = { state: this.state, executors: this.executors, now: Date.now(), random: Math.random }
    const results: RpcResult<unknown>[] = []
    try {
      this.ctx.storage.transactionSync(() => {
        for (const call of group) results.push(call.decide(turn))
        pump(turn)
        this.state.write()
      })
    } catch (error) {
      this.state.load(Date.now())
      if (group.length > 1) return false
      console.error('a decision failed', error instanceof Error ? error.stack : String(error))
      group[0]?.reject(error)
      return true
    }
    const effects = this.state.effects.splice(0)
    for (const [index, call] of group.entries()) call.resolve(results[index] as RpcResult<never>)
    for (const effect of effects) this.ctx.waitUntil(effect().catch((error) => console.error('effect failed', String(error))))
    this.armAlarm()
    return true
  }

  /** For callers with their own refusals: key epoch and lease are checked first. */
  private as<T>(caller: Caller, decide: (turn: Turn) => RpcResult<T>): Promise<RpcResult<T>> {
    return this.decide((turn) => this.state.admitCaller(caller) ?? decide(turn))
  }

  private armAlarm(): void {
    const due = Math.min(
      this.state.due.earliest() ?? Number.POSITIVE_INFINITY,
      this.state.slots.size > 0 ? Date.now() + leaseCheckMs : Number.POSITIVE_INFINITY,
    )
    if (due === Number.POSITIVE_INFINITY || due >= this.alarmAt) return
    // A re-arm for the millisecond of the last alarm is lost.
    this.alarmAt = Math.max(Date.now() + 1, due)
    void this.ctx.storage.setAlarm(this.alarmAt)
    this.noteTimers()
  }

  /** A coarse hint for the minute cron, once per life of this object. */
  private noteTimers(): void {
    const { identity } = this.state
    if (this.noted || !identity) return
    this.noted = true
    const directory = this.env.DIRECTORY.get(this.env.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject
    this.ctx.waitUntil(directory.noteTimers(objectNames.environment(identity.locator)).catch(() => {}))
  }

  override async alarm(): Promise<void> {
    this.alarmAt = Number.POSITIVE_INFINITY
    await this.work()
  }

  async wake(): Promise<void> {
    await this.work()
  }

  /** Never throws: a failing item is put off for a minute, and the next alarm is always set. */
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
        await this.decide((turn) => value(this.handleDue(turn, due))).catch(() =>
          this.state.due.add({ ...due, at: Date.now() + 60_000 }),
        )
      }
    }
    if (now - this.leasesCheckedAt >= leaseCheckMs - 1_000) {
      this.leasesCheckedAt = now
      await this.checkLeases().catch((error) => console.error('lease check failed', String(error)))
    }
    this.armAlarm()
  }

  private handleDue(turn: Turn, due: Due): void {
    const run = turn.state.live.get(due.id)
    if (due.kind === 'token') timeOutToken(turn, due.id)
    else if (due.kind === 'seal') abortUnsealed(turn, due.id)
    else if (!run) return
    else if (due.kind === 'ttl') expire(turn, run)
    else if (due.kind === 'datetime') checkWaits(turn, run)
    else if (due.kind === 'cancel' && isFinal(run.status)) finalise(turn, run)
    else if (due.kind === 'start' && run.engine.dueAt !== undefined && run.engine.dueAt <= turn.now) this.startDue(turn, run)
  }

  private startDue(turn: Turn, run: Parameters<typeof intoQueue>[1]): void {
    run.engine.dueAt = undefined
    if (run.status === 'DELAYED') {
      run.status = move(run.status, 'PENDING')
      run.queuedAt = turn.now
      intoQueue(turn, run)
    } else if (run.status === 'PENDING') intoQueue(turn, run)
    else if (run.status === 'EXECUTING' && run.engine.lease === 0) startAttempt(turn, run, true)
    turn.state.changed(run, turn.now)
  }

  /** Asks the executors, one call each, which leases they still serve. What nobody serves is lost. */
  private async checkLeases(): Promise<void> {
    const locator = this.state.identity?.locator
    if (!locator) return
    const bySlot = new Map<number, { runId: string; lease: number }[]>()
    for (const run of this.state.live.values()) {
      if (run.engine.lease === 0) continue
      const list = bySlot.get(run.engine.slot) ?? []
      list.push({ runId: run.id, lease: run.engine.lease })
      bySlot.set(run.engine.slot, list)
    }
    await Promise.all(
      [...bySlot].map(async ([slot, held]) => {
        const alive = await this.executors
          .at(locator, slot)
          .alive(held.map((entry) => entry.lease))
          .catch(() => undefined)
        // No answer is no proof: the next pass asks again.
        if (!alive) return
        for (const { runId, lease } of held)
          if (!alive.includes(lease)) await this.loseLease(runId, lease, 'its executor no longer exists')
      }),
    )
  }

  private async loseLease(runId: string, lease: number, reason: string): Promise<void> {
    await this.decide<boolean>((turn) => {
      const run = turn.state.live.get(runId)
      if (!run || run.engine.lease !== lease) return value(false)
      if (isFinal(run.status)) finalise(turn, run)
      else lost(turn, run, reason)
      return value(true)
    })
  }

  // -------------------------------------------------------------- runs

  trigger(caller: Caller, input: TriggerInput): Promise<RpcResult<TriggerResult>> {
    return this.as(caller, (turn) => trigger(turn, input))
  }

  async triggerMany(caller: Caller, inputs: TriggerInput[]): Promise<RpcResult<TriggerResult>[]> {
    const results = await this.as(caller, (turn) => value(inputs.map((input) => trigger(turn, input))))
    return results.ok ? results.value : inputs.map(() => results)
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
      if (fresh.length > 0) turn.state.changed(run, turn.now)
      return value({ added: fresh.length })
    })
  }

  async getMetadata(caller: Caller, runId: string): Promise<RpcResult<Record<string, unknown>>> {
    const refused = this.refuse(caller)
    if (refused) return refused
    if (!this.state.find(runId)) return notFound()
    return value(parse(readPackets(this.state.sql, runId).metadata))
  }

  updateMetadata(
    caller: Caller,
    runId: string,
    update: {
      metadata?: Record<string, unknown>
      operations?: MetadataOperation[]
      parentOperations?: MetadataOperation[]
      rootOperations?: MetadataOperation[]
    },
  ): Promise<RpcResult<Record<string, unknown>>> {
    return this.as(caller, (turn) => {
      const run = turn.state.find(runId)
      if (!run) return notFound()
      if (run.completedAt !== undefined && turn.now - run.completedAt > 3_600_000) {
        return refusal('UNPROCESSABLE', 'Cannot update metadata for a completed run', 422)
      }
      turn.state.flushRun(runId)
      let own = parse(readPackets(turn.state.sql, runId).metadata)
      if (update.operations) own = applyMetadataOperations(own, update.operations).metadata
      else if (update.metadata) own = update.metadata
      const data = JSON.stringify(own)
      if (data.length > metadataBytes) return refusal('TOO_LARGE', `Metadata exceeds maximum size of ${metadataBytes} bytes`, 413)
      writeMetadata(turn.state.sql, runId, { data, dataType: 'application/json' })
      turn.state.changed(run, turn.now)
      const parent = run.parentRunId ? turn.state.find(run.parentRunId) : undefined
      updateMetadataOf(turn, parent ?? run, update.parentOperations)
      const root = run.rootRunId ? turn.state.find(run.rootRunId) : undefined
      updateMetadataOf(turn, root ?? run, update.rootOperations)
      return value(parse(readPackets(turn.state.sql, runId).metadata))
    })
  }

  async getTrace(caller: Caller, runId: string): Promise<RpcResult<{ run: RunDetail; spans: SpanRecord[] }>> {
    const refused = this.refuse(caller)
    if (refused) return refused
    const run = this.state.find(runId)
    if (!run) return notFound()
    const stored = readPackets(this.state.sql, runId).spans
    const locator = this.state.identity?.locator
    const live =
      run.engine.lease > 0 && locator
        ? await this.executors
            .at(locator, run.engine.slot)
            .telemetry(run.engine.lease)
            .catch(() => [])
        : []
    return value({ run: detail(this.state, run), spans: [...stored, ...live] })
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
    const refused = this.refuse(caller)
    if (refused) return refused
    const backwards = input.before !== undefined && input.after === undefined
    const found: WaitpointRecord[] = []
    let more = false
    for (const token of walkDocuments<WaitpointRecord>(
      this.state.sql,
      'waitpoints',
      input.after ?? input.before,
      !backwards,
      2_000,
    )) {
      if (token.type !== 'MANUAL') continue
      if (input.statuses && !input.statuses.includes(token.status)) continue
      if (input.tags && !input.tags.some((tag) => token.tags.includes(tag))) continue
      if (input.idempotencyKey && token.idempotencyKey !== input.idempotencyKey) continue
      if (input.from !== undefined && token.createdAt < input.from) continue
      if (input.to !== undefined && token.createdAt > input.to) continue
      if (found.length === input.size) {
        more = true
        break
      }
      found.push(token)
    }
    if (backwards) found.reverse()
    const [first, last] = [found[0]?.id, found.at(-1)?.id]
    const hasNext = backwards ? last !== undefined : more
    const hasPrevious = backwards ? more : input.after !== undefined
    return value({
      tokens: found,
      ...(hasNext && last ? { next: last } : {}),
      ...(hasPrevious && first ? { previous: first } : {}),
    })
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

  // -------------------------------------------------------------- queues, versions, keys

  async listQueues(
    caller: Caller,
    input: { page: number; perPage: number },
  ): Promise<RpcResult<{ queues: QueueRecord[]; count: number }>> {
    const all = queues(this.state)
    const start = (input.page - 1) * input.perPage
    return this.refuse(caller) ?? value({ queues: all.slice(start, start + input.perPage), count: all.length })
  }

  async getQueue(caller: Caller, ref: { by: 'id' | 'name'; value: string }): Promise<RpcResult<QueueRecord>> {
    const found = queueNamed(this.state, ref)
    return this.refuse(caller) ?? (found ? value(found.record) : refusal('NOT_FOUND', 'queue-not-found', 404))
  }

  pauseQueue(caller: Caller, ref: { by: 'id' | 'name'; value: string }, paused: boolean): Promise<RpcResult<QueueRecord>> {
    return this.as(caller, (turn) => {
      const found = queueNamed(turn.state, ref)
      if (!found) return refusal('NOT_FOUND', 'queue-not-found', 404)
      if (paused) turn.state.admission.paused.add(found.name)
      else turn.state.admission.paused.delete(found.name)
      putSetting(turn.state.sql, 'pausedQueues', [...turn.state.admission.paused])
      return value({ ...found.record, paused })
    })
  }

  async setVersion(identity: EnvironmentIdentity, current: WorkerVersion, variables: Record<string, string>): Promise<void> {
    await this.decide((turn) => {
      const { state } = turn
      this.remember(identity, variables)
      state.setVersion(current)
      const known = new Set(current.tasks.map((task) => task.id))
      for (const run of state.live.values()) {
        if (run.status !== 'PENDING_VERSION' || !known.has(run.task) || !declaresQueue(current, run.queue)) continue
        run.status = move(run.status, 'PENDING')
        run.queuedAt = turn.now
        intoQueue(turn, run)
        state.changed(run, turn.now)
      }
      return value(true)
    })
  }

  async addVersion(version: WorkerVersion): Promise<void> {
    await this.decide((turn) => {
      turn.state.addVersion(version)
      return value(true)
    })
  }

  async setVariables(identity: EnvironmentIdentity, variables: Record<string, string>): Promise<void> {
    await this.decide(() => value(this.remember(identity, variables)))
  }

  async setKeyEpoch(epoch: number): Promise<void> {
    await this.decide((turn) => {
      turn.state.keyEpoch = Math.max(epoch, turn.state.keyEpoch)
      putSetting(turn.state.sql, 'keyEpoch', turn.state.keyEpoch)
      return value(true)
    })
  }

  private remember(identity: EnvironmentIdentity, variables: Record<string, string>): boolean {
    this.state.identity = identity
    this.state.variables = variables
    putSetting(this.state.sql, 'identity', identity)
    putSetting(this.state.sql, 'variables', variables)
    return true
  }

  private refuse(caller: Caller): RpcResult<never> | undefined {
    return caller.keyEpoch < this.state.keyEpoch ? refusal('KEY_REVOKED', 'Invalid API key', 401) : undefined
  }
}

function notFound(): RpcResult<never> {
  return refusal('NOT_FOUND', 'Not found', 404)
}

function parse(packet: Packet | undefined): Record<string, unknown> {
  return packet?.data ? JSON.parse(packet.data) : {}
}
