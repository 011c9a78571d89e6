/**
 * The memory of one EnvironmentDO: live runs, queues, due items, executor slots. Rebuilt from the tables on every wake and
 * whenever a turn fails; inside a turn it may run ahead of the tables, and what changed is written once, at the end.
 */
import type { BatchRecord } from '../../contracts/objects.ts'
import type { Caller, EnvironmentIdentity, RpcResult, WorkerVersion } from '../../contracts/rpc.ts'
import {
  type AdmissionState,
  enqueue,
  newAdmission,
  occupy,
  reconsider,
  release,
  type Waiting,
  withdraw,
} from '../../core/queue/admission.ts'
import { type QueueOverride, type QueueSizes, queueLimits } from '../../core/queue/limits.ts'
import { bucketOf } from '../../core/queue/tokens.ts'
import type { Wait } from '../../core/queue/waiting-reason.ts'
import { Creations } from '../../core/run/creations.ts'
import { DebouncedRuns } from '../../core/run/debounce.ts'
import { DueList, type HeldBack } from '../../core/run/due-list.ts'
import { startWithinMs } from '../../core/run/snapshots.ts'
import { isFinal } from '../../core/run/statuses.ts'
import { isNewerVersion } from '../../core/run/versions.ts'
import { putBatch, readBatch, readOpenBatches, recentBatches } from '../../storage/batch-table.ts'
import { readOpenBulkActions } from '../../storage/bulk-table.ts'
import { putSetting, readDocument, readSetting } from '../../storage/document-table.ts'
import {
  insertRun,
  isLive,
  newestRuns,
  oldestRun,
  readLiveRuns,
  readRun,
  type StoredPackets,
  type StoredRun,
  updateRun,
  writeInput,
} from '../../storage/run-table.ts'
import type { Executors } from './executors.ts'
import { FeedWatchers } from './feeds.ts'
import { RateLimits } from './rate-limits.ts'
import { Watchers } from './watchers.ts'

/** One commit: what is decided in it sees the same clock and the same memory. */
export interface Turn {
  state: EnvironmentState
  executors: Executors
  now: number
  random: () => number
}

/** Runs one RunDO (and one isolate shard) executes at once: they share the price of an object and of an isolate's memory. */
export const slotCapacity = 8
/** With those that wait: they use no CPU, but their memory stays. */
const slotMembers = 32
/** Shards of runs that must be alone start here, so that they never meet a pooled one. */
export const ownShardBase = 1_000_000
/** The slot of a run that no RunDO executes. */
export const remoteSlot = -1
const leaseBlock = 10_000
const operationsKept = 20_000
/** A repeated request comes within seconds; after a reset, the runs of this long are looked through for it. */
const operationsRecalledMs = 600_000
const operationsRecalled = 5_000
const batchesRecalled = 500
const archiveAfterLoadMs = 600_000
/** An object holds 10 GB: above this nothing new is taken, and what there is can still end. */
const fullBytes = 9_000_000_000
const triggersPerSizeCheck = 200
export const leaseCheckMs = 60_000
/** An unsealed batch is given up after this long, and its parent goes on (2.93). */
export const sealMs = 1_800_000

export interface StoredBatch extends BatchRecord {
  operationId: string
  parentRunId?: string
  sealed: boolean
  /** Index → run id; empty until the batch is sealed. */
  items: Record<number, string>
  /** Calls whose items wait in the settings for the seal. */
  heldChunks: number
}

export type Effect = () => Promise<unknown>

export class EnvironmentState {
  live = new Map<string, StoredRun>()
  admission: AdmissionState
  private readonly heldBack: HeldBack = new Map()
  due = new DueList(this.heldBack)
  /** Executor slot → the runs that hold a lease there. */
  slots = new Map<number, Set<string>>()
  identity?: EnvironmentIdentity
  version?: WorkerVersion
  /** Encrypted in the tables, so not loaded with the rest: the object opens them once. */
  variables: Record<string, string> = {}
  keyEpoch = 0
  effects: Effect[] = []
  operations = new Map<string, string>()
  readonly queueSizes: QueueSizes
  readonly creations: Creations
  limits: ReturnType<typeof queueLimits> = new Map()
  overrides = new Map<string, QueueOverride>()
  readonly debounced = new DebouncedRuns()
  readonly watchers = new Watchers()
  readonly feeds = new FeedWatchers()
  readonly rateLimits = new RateLimits()
  /** `run:…`, `batch:…` or `token:…` → the runs that wait for it. Hints: whoever follows one checks that it still holds. */
  private waiters = new Map<string, Set<string>>()
  /** Run → open batches that count it; a cached run can be an item of several. */
  private batchesOf = new Map<string, Set<string>>()
  /** Open batch → its runs that are not final yet. */
  private archivePlanned = false
  private openRuns = new Map<string, Set<string>>()
  /** Slot → leases taken away from it whose end it has not confirmed: nothing new starts there. Outlives a reload. */
  readonly quarantine: Map<number, Set<number>> = new Map<number, Set<number>>()
  /** Operation and idempotency keys of recent batches → batch. */
  batchKeys = new Map<string, string>()
  private versions = new Map<string, WorkerVersion>()
  private dirty = new Map<string, { run: StoredRun; packets?: Pick<StoredPackets, 'payload' | 'metadata'> }>()
  private lease = 0
  private full = false
  private untilSizeCheck = 0
  private leasesReserved = 0
  /** Is there somebody to give the run to? Set by who knows. */
  mayStart: (run: StoredRun | undefined) => boolean = () => true
  readonly sql: SqlStorage
  private readonly concurrency: number

  constructor(sql: SqlStorage, concurrency: number, sizes: QueueSizes, creations: number) {
    this.sql = sql
    this.queueSizes = sizes
    this.creations = new Creations(creations)
    this.concurrency = concurrency
    this.admission = newAdmission(concurrency, 2)
  }

  load(now: number): void {
    this.live.clear()
    this.slots.clear()
    this.dirty.clear()
    this.versions.clear()
    this.operations.clear()
    this.debounced.clear()
    this.waiters.clear()
    this.batchesOf.clear()
    this.openRuns.clear()
    this.batchKeys.clear()
    this.effects = []
    this.due = new DueList(this.heldBack)
    this.admission = newAdmission(this.concurrency, 2)
    this.admission.mayStart = (item) => this.mayStart(this.live.get(item.id))
    this.identity = readSetting(this.sql, 'identity')
    this.version = readSetting(this.sql, 'version')
    this.keyEpoch = readSetting(this.sql, 'keyEpoch') ?? 0
    // Leases never go back, not even after a crash: the block in use is given up.
    this.leasesReserved = Math.max(readSetting<number>(this.sql, 'leases') ?? 0, this.leasesReserved)
    this.lease = this.leasesReserved
    for (const queue of readSetting<string[]>(this.sql, 'pausedQueues') ?? []) this.admission.paused.add(queue)
    this.overrides = new Map(Object.entries(readSetting<Record<string, QueueOverride>>(this.sql, 'queueOverrides') ?? {}))
    this.admission.environmentPaused = readSetting<boolean>(this.sql, 'paused') ?? false
    this.applyLimits()
    this.rateLimits.load(this.sql, this.admission, now)
    this.rateLimits.apply(this.version, this.admission, now)
    const recent = newestRuns(this.sql, operationsRecalled)
    for (const run of recent) {
      if (run.createdAt < now - operationsRecalledMs) break
      this.rememberOperations(run)
    }
    for (const run of readLiveRuns(this.sql)) {
      this.live.set(run.id, run)
      this.rememberOperations(run)
      this.remember(run, now)
    }
    this.rateLimits.planFirst(this.due, now)
    for (const batch of recentBatches<StoredBatch>(this.sql, batchesRecalled)) this.rememberKeys(batch)
    for (const batch of readOpenBatches<StoredBatch>(this.sql)) {
      this.openBatch(batch)
      for (const runId of batch.runs) this.countInBatch(runId, batch.id)
      if (!batch.sealed) this.due.add({ at: batch.createdAt + sealMs, kind: 'seal', id: batch.id })
    }
    for (const { id } of readOpenBulkActions<{ id: string }>(this.sql)) this.due.add({ at: now, kind: 'bulk', id })
    if (this.slots.size > 0) this.due.add({ at: now + 1_000, kind: 'leases', id: '' })
    if (oldestRun(this.sql)) this.planArchive(now + archiveAfterLoadMs, true)
  }

  /** Its own, and those of triggers that became this run. */
  private rememberOperations({ id, engine }: StoredRun): void {
    for (const operation of [engine.operationId, ...(engine.debounce?.operations ?? [])]) this.operations.set(operation, id)
  }

  private remember(run: StoredRun, now: number): void {
    const { engine } = run
    if (engine.lease > 0 && engine.slot !== remoteSlot) this.join(run.id, engine.slot)
    else if (engine.lease > 0) this.due.add({ at: now + startWithinMs, kind: 'remote', id: run.id })
    if (run.status === 'DELAYED') this.debounced.add(run)
    if (engine.holdsSlot) occupy(this.admission, run.queue, run.concurrencyKey ?? '')
    else if (run.status === 'PENDING' && engine.dueAt === undefined) this.enqueue(run)
    else if (engine.resuming) this.enqueue(run)
    if (engine.dueAt !== undefined) this.due.add({ at: engine.dueAt, kind: 'start', id: run.id })
    if (engine.ttlAt !== undefined && run.startedAt === undefined) this.due.add({ at: engine.ttlAt, kind: 'ttl', id: run.id })
    if (run.status === 'CANCELED' && engine.lease > 0) this.due.add({ at: run.updatedAt + 60_000, kind: 'cancel', id: run.id })
    for (const wait of engine.waits) {
      this.addWaiter(run.id, wait)
      if (wait.kind === 'datetime') this.due.add({ at: wait.until, kind: 'datetime', id: run.id })
      if (wait.kind === 'token') this.watchToken(wait.waitpointId)
    }
  }

  /** One pass of the archive is planned at a time; it plans the next. */
  planArchive(at: number | undefined, again = false): void {
    if (again) this.archivePlanned = false
    if (this.archivePlanned || at === undefined) return
    this.archivePlanned = true
    this.due.add({ at, kind: 'archive', id: '' })
  }

  addWaiter(runId: string, wait: Wait): void {
    const target =
      wait.kind === 'run' ? `run:${wait.runId}` : wait.kind === 'batch' ? `batch:${wait.batchId}` : `token:${wait.waitpointId}`
    const known = this.waiters.get(target)
    if (known) known.add(runId)
    else this.waiters.set(target, new Set([runId]))
  }
  /** Takes the runs that wait for a target that is done now. */
  takeWaiters(target: string): StoredRun[] {
    const known = this.waiters.get(target)
    this.waiters.delete(target)
    return [...(known ?? [])].flatMap((id) => this.live.get(id) ?? [])
  }

  openBatch(batch: StoredBatch): void {
    this.rememberKeys(batch)
    this.openRuns.set(batch.id, new Set())
  }
  private rememberKeys(batch: StoredBatch): void {
    this.batchKeys.set(`operation:${batch.operationId}`, batch.id)
    if (batch.idempotencyKey) this.batchKeys.set(`key:${batch.idempotencyKey}`, batch.id)
  }
  /** A run that is final already counts as done. */
  countInBatch(runId: string, batchId: string): void {
    const run = this.live.get(runId)
    if (!run || isFinal(run.status)) return
    this.openRuns.get(batchId)?.add(runId)
    const known = this.batchesOf.get(runId)
    if (known) known.add(batchId)
    else this.batchesOf.set(runId, new Set([batchId]))
  }
  /** The run is final: the batches that have no other open run now. */
  takeDoneBatches(runId: string): string[] {
    const known = this.batchesOf.get(runId)
    this.batchesOf.delete(runId)
    return [...(known ?? [])].filter((batchId) => {
      this.openRuns.get(batchId)?.delete(runId)
      return !this.hasOpenRuns(batchId)
    })
  }
  hasOpenRuns(batchId: string): boolean {
    return (this.openRuns.get(batchId)?.size ?? 0) > 0
  }

  watchToken(id: string): void {
    const token = readDocument<{ status: string; completedAfter?: number }>(this.sql, 'waitpoints', id)
    if (token?.status === 'WAITING' && token.completedAfter !== undefined)
      this.due.add({ at: token.completedAfter, kind: 'token', id })
  }

  nextLease(): number {
    if (this.lease >= this.leasesReserved) {
      this.leasesReserved = this.lease + leaseBlock
      putSetting(this.sql, 'leases', this.leasesReserved)
    }
    this.lease += 1
    return this.lease
  }

  isFull(): boolean {
    if (this.untilSizeCheck <= 0) {
      this.untilSizeCheck = triggersPerSizeCheck
      this.full = this.sql.databaseSize > fullBytes
    }
    this.untilSizeCheck -= 1
    return this.full
  }

  /** A live run from memory, a finished one from its row. */
  find(id: string): StoredRun | undefined {
    return this.live.get(id) ?? this.dirty.get(id)?.run ?? readRun(this.sql, id)
  }

  add(run: StoredRun, packets: Pick<StoredPackets, 'payload' | 'metadata'>): void {
    this.live.set(run.id, run)
    this.dirty.set(run.id, { run, packets })
    if (this.operations.size > operationsKept) this.operations.clear()
    this.operations.set(run.engine.operationId, run.id)
  }

  /** Its time is also its revision: it grows with each change, so that nobody who waits for one misses it. */
  changed(run: StoredRun, now: number): void {
    run.updatedAt = Math.max(now, run.updatedAt + 1)
    const known = this.dirty.get(run.id)
    if (!known) this.dirty.set(run.id, { run })
  }

  replaceInput(run: StoredRun, input: Pick<StoredPackets, 'payload' | 'metadata'>): void {
    const known = this.dirty.get(run.id)
    if (known?.packets) known.packets = { ...known.packets, ...input }
    else writeInput(this.sql, run.id, input)
  }

  /** A new run's packets are not in the table yet. */
  pendingPackets(id: string): Pick<StoredPackets, 'payload' | 'metadata'> | undefined {
    return this.dirty.get(id)?.packets
  }

  /** Writes each changed run once. Called inside the turn's transaction, last. */
  write(now: number): void {
    this.rateLimits.write(this.sql, this.admission, now)
    for (const { run, packets } of this.dirty.values()) {
      if (this.watchers.has(run.id)) this.effects.push(async () => this.watchers.wake(run.id))
      if (!this.feeds.isEmpty) this.effects.push(async () => this.feeds.changed(run))
      const live = isLive(run, isFinal(run.status))
      if (packets) insertRun(this.sql, run, live, packets)
      else updateRun(this.sql, run, live)
      if (!live) this.live.delete(run.id)
    }
    this.dirty.clear()
  }

  /** A row that must be in the tables before something else in this turn reads it there. */
  flushRun(id: string): void {
    const known = this.dirty.get(id)
    if (!known?.packets) return
    insertRun(this.sql, known.run, isLive(known.run, isFinal(known.run.status)), known.packets)
    this.dirty.set(id, { run: known.run })
  }

  enqueue(run: StoredRun): void {
    enqueue(this.admission, waiting(run, this.rateLimits.enter(run, this.admission)))
  }
  /** Answers whether it was in the queue. */
  withdraw(run: StoredRun): boolean {
    const wasWaiting = withdraw(this.admission, waiting(run, this.rateLimits.bucketIn(run.id)))
    this.rateLimits.leave(run.id)
    return wasWaiting
  }
  releaseSlot(run: StoredRun): void {
    if (!run.engine.holdsSlot) return
    run.engine.holdsSlot = false
    release(this.admission, run.queue, run.concurrencyKey ?? '')
  }

  /** The lowest executor slot with room; a run whose isolate was killed gets one nobody else uses. */
  takeExecutor(run: StoredRun): number {
    let slot = run.engine.ownShard ? ownShardBase : 0
    while (!this.hasRoom(slot, run.engine.ownShard === true)) slot += 1
    this.join(run.id, slot)
    return slot
  }
  private join(runId: string, slot: number): void {
    this.slots.set(slot, (this.slots.get(slot) ?? new Set()).add(runId))
  }
  private hasRoom(slot: number, alone: boolean): boolean {
    if (this.quarantine.has(slot)) return false
    const members = this.slots.get(slot)
    if (!members) return true
    if (alone || members.size >= slotMembers) return false
    let executing = 0
    for (const id of members) if (this.live.get(id)?.status !== 'WAITING_TO_RESUME') executing += 1
    return executing < slotCapacity
  }
  releaseExecutor(run: StoredRun): void {
    if (run.engine.lease === 0) return
    const members = this.slots.get(run.engine.slot)
    members?.delete(run.id)
    if (members?.size === 0) this.slots.delete(run.engine.slot)
    run.engine.lease = 0
  }

  /** Deployed but not current: runs can be locked to it. */
  addVersion(version: WorkerVersion): void {
    putSetting(this.sql, `version:${version.version}`, version)
    this.versions.clear()
    if (version.remote) putSetting(this.sql, `worker:${version.workerId}`, version.version)
    if (!version.externalId) return
    const known = readSetting<string>(this.sql, `external:${version.externalId}`)
    if (!known || isNewerVersion(version.version, known)) putSetting(this.sql, `external:${version.externalId}`, version.version)
  }
  versionWithExternalId(id: string): WorkerVersion | undefined {
    const name = readSetting<string>(this.sql, `external:${id}`)
    return name ? this.versionNamed(name) : undefined
  }
  setVersion(version: WorkerVersion, now: number): void {
    this.version = version
    putSetting(this.sql, 'version', version)
    this.addVersion(version)
    this.applyLimits()
    this.rateLimits.apply(version, this.admission, now)
    for (const run of this.live.values()) {
      const isOther = bucketOf(run, this.admission.tokens) !== this.rateLimits.bucketIn(run.id)
      if (isOther && run.status === 'PENDING' && this.withdraw(run)) this.enqueue(run)
    }
  }
  /** Of a session of the CLI. */
  versionOfWorker(workerId: string): WorkerVersion | undefined {
    if (this.version?.workerId === workerId) return this.version
    const name = readSetting<string>(this.sql, `worker:${workerId}`)
    return name ? this.versionNamed(name) : undefined
  }
  versionNamed(name: string): WorkerVersion | undefined {
    if (name === this.version?.version) return this.version
    const known = this.versions.get(name) ?? readSetting<WorkerVersion>(this.sql, `version:${name}`)
    if (known) this.versions.set(name, known)
    return known
  }
  /** Limits change for the next admission, which ends this turn; what runs goes on. */
  private applyLimits(): void {
    this.limits = queueLimits(this.version, this.overrides, this.concurrency)
    this.admission.limits.clear()
    for (const [queue, { current }] of this.limits) if (current !== null) this.admission.limits.set(queue, current)
    reconsider(this.admission)
  }
  /** An override outlives deploys, which change what it hides. */
  override(queue: string, override: QueueOverride | undefined): void {
    if (override) this.overrides.set(queue, override)
    else this.overrides.delete(queue)
    putSetting(this.sql, 'queueOverrides', Object.fromEntries(this.overrides))
    this.applyLimits()
  }

  putBatch(batch: StoredBatch): void {
    const open = batch.status !== 'COMPLETED' && batch.status !== 'ABORTED'
    putBatch(this.sql, batch, open)
    if (!open) this.openRuns.delete(batch.id)
  }
  batch(id: string): StoredBatch | undefined {
    return readBatch(this.sql, id)
  }

  /** Refuses a caller whose key was revoked; remembers who we are. */
  admitCaller(caller: Caller): RpcResult<never> | undefined {
    if (caller.keyEpoch < this.keyEpoch) return refusal('KEY_REVOKED', 'Invalid API key', 401)
    if (caller.run) {
      const run = this.live.get(caller.run.runId)
      if (!run || run.engine.lease !== caller.run.lease)
        return refusal('STALE_LEASE', 'This run was given to another start.', 409)
    }
    if (!this.identity) {
      this.identity = caller.environment
      putSetting(this.sql, 'identity', caller.environment)
    }
    return undefined
  }
}

export function isRemote({ engine }: StoredRun): boolean {
  return engine.remote !== undefined && engine.lease > 0 && engine.slot === remoteSlot
}

function waiting(run: StoredRun, bucket: string | undefined): Waiting {
  const item = { id: run.id, queue: run.queue, key: run.concurrencyKey ?? '', score: run.engine.score }
  return bucket === undefined ? item : { ...item, bucket }
}

export function refusal(code: string, message: string, status: number): RpcResult<never> {
  return { ok: false, error: { code, message, status } }
}
export function value<T>(result: T): RpcResult<T> {
  return { ok: true, value: result }
}
export function optional<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: V })
}
