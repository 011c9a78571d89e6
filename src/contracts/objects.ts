/** RPC surface of each Durable Object. An object's class implements its interface; callers import only this file. */
import type { CompletedAttempt, DequeuedRun, DequeueInput, RunSnapshot, StartedAttempt } from './engine.ts'
import type { EventInput, EventResult, EventSubscription } from './event.ts'
import type { ExportedRun, ImportedRuns, QueueSettings } from './export.ts'
import type { FeedPage, FeedQuery } from './feed.ts'
import type { Build, BuildOutcome } from './node-host.ts'
import type {
  BundleIndex,
  Caller,
  CompletedWaitpoint,
  Completion,
  EnvironmentIdentity,
  EnvironmentSlug,
  FinishInput,
  ListRunsInput,
  ListRunsResult,
  Packet,
  RpcResult,
  RunDetail,
  RunPackets,
  SpanRecord,
  TaskDefinition,
  TriggerInput,
  TriggerResult,
  WorkerVersion,
} from './rpc.ts'

/** Object names. EnvironmentDO: `<locator>:<partition>`; RunDO: `<locator>:<partition>:<slot>`; HistoryDO: `<locator>:<partition>:<yyyymmdd>`; TaskDO: `<locator>`; ProjectDO: project id; DirectoryDO: `directory`; SchedulerDO: `<locator>`. */
export const objectNames = {
  environment: (locator: string, partition = '0'): string => `${locator}:${partition}`,
  run: (locator: string, partition: string, slot: number): string => `${locator}:${partition}:${slot}`,
  history: (locator: string, partition: string, day: string): string => `${locator}:${partition}:${day}`,
  task: (locator: string): string => locator,
  scheduler: (locator: string): string => locator,
  files: (locator: string): string => locator,
  streams: (runId: string): string => runId,
  directory: 'directory',
} as const

/** What the minute cron wakes: an environment by its object's name, a scheduler or a day of history by these. */
export const timerNames = {
  environment: (locator: string): string => objectNames.environment(locator),
  scheduler: (locator: string): string => `scheduler:${locator}`,
  /** The locator of a scheduler's name. */
  schedulerOf: (name: string): string | undefined => (name.startsWith('scheduler:') ? name.slice(10) : undefined),
  history: (objectName: string): string => `history:${objectName}`,
  /** The object name of a day of history. */
  historyOf: (name: string): string | undefined => (name.startsWith('history:') ? name.slice(8) : undefined),
} as const

export interface BatchCreateInput {
  batchId: string
  operationId: string
  runCount: number
  parentRunId?: string
  resumeParentOnCompletion?: boolean
  idempotencyKey?: string
  /** Hash of a one-time token: good for one batch. */
  oneTimeToken?: string
}
export interface BatchItem extends TriggerInput {
  index: number
  /** Decided before it got here: its place is taken by a run that failed before it began. */
  refused?: { code: 'PAYLOAD_TOO_LARGE' | 'BATCH_ITEM_COULD_NOT_TRIGGER'; message: string }
}
export interface BatchRecord {
  id: string
  status: 'PENDING' | 'PROCESSING' | 'COMPLETED' | 'PARTIAL_FAILED' | 'ABORTED'
  idempotencyKey?: string
  createdAt: number
  updatedAt: number
  processingCompletedAt?: number
  runCount: number
  runs: string[]
  errors: { index: number; taskIdentifier: string; error: string; errorCode?: string }[]
}
export interface WaitpointRecord {
  id: string
  type: 'RUN' | 'DATETIME' | 'MANUAL' | 'BATCH'
  status: 'WAITING' | 'COMPLETED' | 'TIMED_OUT'
  createdAt: number
  completedAt?: number
  /** Time-out of a token, end of a duration wait. */
  completedAfter?: number
  idempotencyKey?: string
  idempotencyKeyExpiresAt?: number
  tags: string[]
  output?: Packet
  outputIsError: boolean
}
export type MetadataOperation =
  | { type: 'set'; key: string; value: unknown }
  | { type: 'delete'; key: string }
  | { type: 'append'; key: string; value: unknown }
  | { type: 'remove'; key: string; value: unknown }
  | { type: 'increment'; key: string; value: number }
  | { type: 'update'; value: Record<string, unknown> }

export interface BulkActionInput {
  id: string
  type: 'CANCEL' | 'REPLAY'
  name?: string
  targetRegion?: string
  /** Either these, each once, or a filter. */
  runIds?: string[]
  filter?: Omit<ListRunsInput, 'size' | 'after' | 'before'>
}
export interface BulkActionRecord {
  id: string
  type: 'CANCEL' | 'REPLAY'
  status: 'PENDING' | 'COMPLETED' | 'ABORTED'
  name?: string
  targetRegion?: string
  total: number
  success: number
  failure: number
  createdAt: number
  updatedAt: number
  completedAt?: number
}

export interface CheckpointRecord {
  name: string
  /** JSON. */
  data: string
  attempt: number
  createdAt: number
}
export interface CurrentTasks {
  /** Absent while nothing is deployed. */
  version?: string
  tasks?: Pick<
    TaskDefinition,
    'id' | 'description' | 'payloadSchema' | 'payloadFields' | 'keywords' | 'triggerSource' | 'schedule' | 'queue'
  >[]
}

/** EnvironmentDO: the only place that decides who runs next. */
export interface EnvironmentObject {
  trigger(caller: Caller, input: TriggerInput): Promise<RpcResult<TriggerResult>>
  /** Answers in the order of the inputs; none of them concerns another. */
  triggerMany(caller: Caller, inputs: TriggerInput[]): Promise<RpcResult<TriggerResult>[]>
  createBatch(
    caller: Caller,
    input: BatchCreateInput,
  ): Promise<RpcResult<{ id: string; runCount: number; isCached: boolean; idempotencyKey?: string }>>
  /** Phase 2: de-duplicated by index; seals itself when all indexes are in. */
  addBatchItems(
    caller: Caller,
    batchId: string,
    items: BatchItem[],
  ): Promise<
    RpcResult<{ itemsAccepted: number; itemsDeduplicated: number; sealed: boolean; enqueuedCount: number; expectedCount: number }>
  >
  getBatch(caller: Caller, batchId: string): Promise<RpcResult<BatchRecord>>
  getRun(caller: Caller, runId: string): Promise<RpcResult<RunDetail>>
  listRuns(caller: Caller, input: ListRunsInput): Promise<RpcResult<ListRunsResult>>
  /** Held open until the run's revision (its `updatedAt`) is above `after`, it is final, or `waitMs` are over. */
  waitForRun(caller: Caller, runId: string, after: number, waitMs: number): Promise<RpcResult<RunDetail>>
  /** Stored by a run's own code; a later attempt of it finds them. */
  putCheckpoint(caller: Caller, runId: string, checkpoint: { name: string; data: string }): Promise<RpcResult<{ ok: true }>>
  listCheckpoints(caller: Caller, runId: string): Promise<RpcResult<CheckpointRecord[]>>
  /** Tasks of the current version; left out when the caller knows that version already. */
  currentTasks(caller: Caller, known?: string): Promise<RpcResult<CurrentTasks>>
  sendEvent(caller: Caller, event: EventInput): Promise<RpcResult<EventResult>>
  subscribe(caller: Caller, subscription: EventSubscription): Promise<RpcResult<EventSubscription>>
  listSubscriptions(caller: Caller): Promise<RpcResult<EventSubscription[]>>
  setSubscriptionActive(caller: Caller, id: string, active: boolean): Promise<RpcResult<EventSubscription>>
  unsubscribe(caller: Caller, id: string): Promise<RpcResult<{ id: string }>>
  cancelRun(caller: Caller, runId: string, reason?: string): Promise<RpcResult<{ id: string; alreadyFinished: boolean }>>
  rescheduleRun(caller: Caller, runId: string, delayUntil: number): Promise<RpcResult<RunDetail>>
  /** Runs of the feed that changed since; held open up to `waitMs` while there are none. */
  waitForFeed(caller: Caller, query: FeedQuery, after: number, waitMs: number): Promise<RpcResult<FeedPage>>
  /** The run has this stream from now on. */
  addRunStream(caller: Caller, runId: string, key: string): Promise<RpcResult<{ ok: true }>>
  addTags(caller: Caller, runId: string, tags: string[]): Promise<RpcResult<{ added: number }>>
  /** Runs whose payload is the stored packet of this path, as far as the path itself does not name the run. */
  packetOwners(caller: Caller, path: string): Promise<RpcResult<string[]>>
  updateMetadata(
    caller: Caller,
    runId: string,
    update: {
      metadata?: Record<string, unknown>
      operations?: MetadataOperation[]
      parentOperations?: MetadataOperation[]
      rootOperations?: MetadataOperation[]
    },
  ): Promise<RpcResult<Record<string, unknown>>>
  getTrace(caller: Caller, runId: string): Promise<RpcResult<{ run: RunDetail; spans: SpanRecord[] }>>
  resetIdempotencyKey(caller: Caller, task: string, key: string): Promise<RpcResult<{ cleared: number }>>
  /** The runs are chosen now and worked through later. Creating it again with the same id changes nothing. */
  createBulkAction(caller: Caller, input: BulkActionInput): Promise<RpcResult<{ id: string }>>
  getBulkAction(caller: Caller, id: string): Promise<RpcResult<BulkActionRecord>>
  listBulkActions(
    caller: Caller,
    input: { size: number; after?: string; before?: string },
  ): Promise<RpcResult<{ actions: BulkActionRecord[]; next?: string; previous?: string }>>
  abortBulkAction(caller: Caller, id: string): Promise<RpcResult<{ id: string }>>
  createToken(
    caller: Caller,
    input: { id: string; timeoutAt?: number; idempotencyKey?: string; idempotencyKeyExpiresAt?: number; tags?: string[] },
  ): Promise<RpcResult<{ id: string; isCached: boolean }>>
  getToken(caller: Caller, id: string): Promise<RpcResult<WaitpointRecord>>
  listTokens(
    caller: Caller,
    input: {
      size: number
      after?: string
      before?: string
      statuses?: string[]
      tags?: string[]
      idempotencyKey?: string
      from?: number
      to?: number
    },
  ): Promise<RpcResult<{ tokens: WaitpointRecord[]; next?: string; previous?: string }>>
  /** First completion wins; completing again is a success that changes nothing. */
  completeToken(caller: Caller, id: string, output: Packet | undefined, isError?: boolean): Promise<RpcResult<{ success: true }>>
  waitForToken(caller: Caller, runId: string, waitpointId: string): Promise<RpcResult<{ success: true }>>
  waitForDuration(
    caller: Caller,
    runId: string,
    input: { waitpointId: string; until: number; idempotencyKey?: string; idempotencyKeyExpiresAt?: number },
  ): Promise<RpcResult<{ waitUntil: number; waitpointId: string }>>
  listQueues(
    caller: Caller,
    input: { page: number; perPage: number },
  ): Promise<RpcResult<{ queues: QueueRecord[]; count: number }>>
  getQueue(caller: Caller, ref: QueueRef): Promise<RpcResult<QueueRecord>>
  pauseQueue(caller: Caller, ref: QueueRef, paused: boolean): Promise<RpcResult<QueueRecord>>
  /** Until it is reset, through deploys as well. A share in percent follows the environment's limit. */
  overrideQueue(caller: Caller, ref: QueueRef, override: { limit: number } | { percent: number }): Promise<RpcResult<QueueRecord>>
  resetQueue(caller: Caller, ref: QueueRef): Promise<RpcResult<QueueRecord>>

  /** Oldest first, after the id: up to a megabyte, but at least one. `archived`: the packets are with HistoryDO. */
  exportRuns(
    caller: Caller,
    input: { after: string; before: string },
  ): Promise<RpcResult<{ runs: (ExportedRun & { archived?: boolean })[]; isLast: boolean }>>
  exportQueues(caller: Caller): Promise<RpcResult<QueueSettings[]>>
  /** What is set here already stays. */
  importQueues(
    caller: Caller,
    queues: QueueSettings[],
  ): Promise<RpcResult<{ imported: number; known: number; refused: { id: string; reason: string }[] }>>
  /** Importing a run again changes nothing. */
  importRuns(caller: Caller, runs: ExportedRun[], options: { queueUnfinished: boolean }): Promise<RpcResult<ImportedRuns>>

  /** From TaskDO at promote and after a variable or key change; acknowledged once stored. */
  setVersion(identity: EnvironmentIdentity, current: WorkerVersion, variables: Record<string, string>): Promise<void>
  /** From TaskDO after a deploy that was not promoted: runs can be locked to the version. */
  addVersion(version: WorkerVersion): Promise<void>
  setVariables(identity: EnvironmentIdentity, variables: Record<string, string>): Promise<void>
  /** From ProjectDO: nothing starts or goes on while it is paused; what executes ends. */
  setPaused(paused: boolean): Promise<void>
  /** Older epochs are refused from now on (revocation). */
  setKeyEpoch(epoch: number): Promise<void>

  /** From RunDO. A stale lease gets `{ ok: false, error.code: 'STALE_LEASE' }`. */
  finish(input: FinishInput): Promise<RpcResult<{ released: boolean }>>
  /** From HistoryDO: is there a final run of the day (yyyymmdd) whose packets it may still be asked for? */
  holdsRunsOf(day: string): Promise<boolean>
  /** From the `dispatch` queue's consumer and the minute cron: look at what is due. False when nothing ever will be. */
  wake(): Promise<boolean>

  // Runs that a process elsewhere executes (cli-engine-protocol.md §2).
  /** Held open until there is a run for this worker, or for `holdMs`. */
  dequeueRuns(caller: Caller, input: DequeueInput): Promise<RpcResult<DequeuedRun[]>>
  /** The client that asked is gone. */
  stopDequeue(pollId: string): Promise<void>
  startAttempt(caller: Caller, runId: string, on: string): Promise<RpcResult<StartedAttempt>>
  completeAttempt(caller: Caller, runId: string, on: string, completion: Completion): Promise<RpcResult<CompletedAttempt>>
  latestSnapshot(caller: Caller, runId: string): Promise<RpcResult<RunSnapshot>>
  heartbeat(caller: Caller, runId: string): Promise<RpcResult<{ ok: true }>>
  /** The session that executed these is gone: they end as cancelled. */
  disconnectRuns(caller: Caller, runIds: string[]): Promise<RpcResult<{ cancelled: number }>>
  /** A Node host has no process for the run any more: it goes back, and the attempt does not count. */
  giveBackRun(caller: Caller, runId: string, on: string, reason: string): Promise<RpcResult<{ requeued: boolean }>>
  isDevConnected(caller: Caller): Promise<RpcResult<boolean>>
  /** By run id; what belongs to no run of a process elsewhere is dropped. */
  addSpans(caller: Caller, byRun: Record<string, SpanRecord[]>): Promise<RpcResult<{ ok: true }>>
  /** The environment with this locator, of the same project, holds the socket of a session that executes runs of this branch. */
  tellOfRuns(locator: string, projectId: string): Promise<void>
  notifyRun(runId: string): Promise<void>
}

export interface QueueRef {
  by: 'id' | 'name'
  value: string
}

export interface QueueRecord {
  id: string
  name: string
  type: 'task' | 'custom'
  running: number
  queued: number
  paused: boolean
  concurrencyLimit: number | null
  concurrency: { current: number | null; base: number | null; override: number | null; overriddenAt: number | null }
}

export interface DeploymentRecord {
  id: string
  shortCode: string
  version: string
  status: 'PENDING' | 'BUILDING' | 'DEPLOYING' | 'DEPLOYED' | 'FAILED' | 'CANCELED' | 'TIMED_OUT'
  contentHash: string
  createdAt: number
  deployedAt?: number
  runtime?: string
  runtimeVersion?: string
  git?: Record<string, unknown>
  externalId?: string
  error?: { name: string; message: string; stack?: string }
  isCurrent: boolean
  worker?: {
    id: string
    version: string
    tasks: { id: string; slug: string; filePath: string; exportName?: string; triggerSource?: string; payloadSchema?: unknown }[]
  }
}

export interface BackgroundWorkerInput {
  id: string
  contentHash: string
  index: BundleIndex
  runtime?: string
  runtimeVersion?: string
  sdkVersion?: string
  cliVersion?: string
}
export interface BackgroundWorkerRecord extends BackgroundWorkerInput {
  version: string
  createdAt: number
}

/** TaskDO: versions, tasks and deployments of one environment. */
export interface TaskObject {
  /** `interrupted`: an earlier deployment of this content took the platform down while it loaded this file. */
  createDeployment(
    identity: EnvironmentIdentity,
    input: {
      id: string
      contentHash: string
      runtime?: string
      git?: Record<string, unknown>
      externalId?: string
      artifactKey?: string
    },
  ): Promise<DeploymentRecord & { interrupted?: string }>
  /** The indexer is about to load this file. */
  noteLoading(id: string, file: string): Promise<void>
  /**
   * Stores the version; with `promote`, makes it current and answers only after EnvironmentDO took its copy. Refuses, and changes
   * nothing, when a declared schedule is not valid.
   */
  completeDeployment(
    identity: EnvironmentIdentity,
    id: string,
    built: { index: BundleIndex; bundleHash: string; sdkVersion?: string },
    promote: boolean,
    variables: Record<string, string>,
  ): Promise<RpcResult<DeploymentRecord>>
  failDeployment(id: string, error: { name: string; message: string; stack?: string }): Promise<void>
  getDeployment(id: string): Promise<DeploymentRecord | null>
  /** The newest that was deployed with this id of the caller's choosing. */
  deploymentWithExternalId(externalId: string): Promise<DeploymentRecord | null>
  listDeployments(input: {
    size: number
    after?: string
    status?: string
    from?: number
    to?: number
  }): Promise<{ deployments: DeploymentRecord[]; next?: string }>
  currentDeployment(): Promise<DeploymentRecord | null>
  promote(
    identity: EnvironmentIdentity,
    version: string,
    variables: Record<string, string>,
    allowRollbacks?: boolean,
  ): Promise<RpcResult<DeploymentRecord>>
  /** What a dev session built becomes current, once EnvironmentDO and SchedulerDO know. The same content again is the same worker. */
  registerWorker(
    identity: EnvironmentIdentity,
    input: BackgroundWorkerInput,
    variables: Record<string, string>,
  ): Promise<RpcResult<BackgroundWorkerRecord>>
  currentWorker(): Promise<BackgroundWorkerRecord | null>

  // Node hosts.
  /** Held open until there is something to index, or for `holdMs`. */
  waitForBuilds(id: string, holdMs: number): Promise<Build[]>
  /** The client that asked is gone. */
  stopWaitingForBuilds(id: string): Promise<void>
  hasNodeHost(): Promise<boolean>
  /** Answers when the host has indexed it, or said why not. */
  requestBuild(build: Build): Promise<BuildOutcome>
  /** False when no deploy waits for it. */
  endBuild(deploymentId: string, outcome: BuildOutcome): Promise<boolean>
  /** Where the upload of a deployment lies, for a host that runs its tasks. */
  artifactOf(deploymentId: string): Promise<string | null>
}

export type LoginState = 'open' | 'approved' | 'used' | 'locked' | 'expired'
/** A login of the CLI: see core/login. */
export interface LoginRecord {
  /** Base64url of the SHA-256 of the CLI's verifier. */
  challenge: string
  /** The browser goes back to the CLI on this port of its machine; without one, the user copies the code. */
  callbackPort?: number
  createdAt: number
  /** What the CLI said of itself, for the person who approves. */
  client: { name: string; address?: string }
  /** Wrong tokens on the page, wrong codes and verifiers of the CLI. */
  wrong: number
  approved?: { userId: string; codeHash: string }
  usedAt?: number
}

export interface UserRecord {
  userId: string
  email: string
  organizationId: string
  organizationSlug: string
  organizationTitle: string
  createdAt: number
}

/** DirectoryDO: who and where; never on the path of a warm request. */
export interface DirectoryObject {
  /** First start: creates the owner with this token's hash if there is none. Idempotent. */
  seed(input: { tokenHash: string; email: string }): Promise<{ userId: string }>
  userByToken(tokenHash: string): Promise<UserRecord | null>
  userById(userId: string): Promise<UserRecord | null>
  /** Null when it is not the user's. */
  renameProject(ref: string, userId: string, name: string): Promise<ProjectSummary | null>
  /** Creates the project for the user when the ref is new; null when it belongs to somebody else. */
  projectByRef(ref: string, userId: string): Promise<ProjectSummary | null>
  createProject(userId: string, name: string): Promise<ProjectSummary>
  listProjects(userId: string): Promise<ProjectSummary[]>
  locate(locator: string): Promise<{ projectId: string } | null>
  /** False when another project has it. */
  registerLocator(locator: string, projectId: string): Promise<boolean>
  /** Objects the minute cron should wake (a coarse hint), by their timer name; not before a time, if one is given. */
  noteTimers(name: string, notBefore?: number): Promise<void>
  listTimers(): Promise<{ name: string; notedAt: number }[]>
  /** Only if it was not noted again since. */
  forgetTimers(name: string, notedAt: number): Promise<void>
  /** False when too many are open. The id is the hash of the code the CLI holds. */
  openLogin(
    id: string,
    request: { challenge: string; callbackPort?: number; client: { name: string; address?: string } },
  ): Promise<boolean>
  readLogin(id: string): Promise<{ state: LoginState; login?: LoginRecord }>
  /** By whoever has the token of this hash; none, or an unknown one, counts as a wrong try. */
  approveLogin(id: string, tokenHash: string | undefined, codeHash: string): Promise<{ state: LoginState; callbackPort?: number }>
  /** `token`: the token of this hash is the approver's from now on. */
  exchangeLogin(
    id: string,
    proof: { challenge: string; codeHash: string } | undefined,
    tokenHash: string,
  ): Promise<'token' | 'wait' | 'wrong' | 'over'>
}
export interface ProjectSummary {
  id: string
  ref: string
  name: string
  slug: string
  createdAt: number
  organizationId: string
  organizationSlug: string
  organizationTitle: string
  ownerUserId: string
}

/** A key as ProjectDO gives it to the Worker for verification and for echoing to a PAT holder. */
export interface EnvironmentAccess {
  identity: EnvironmentIdentity
  /** The raw secret key (recoverable, design D9). */
  apiKey: string
  keyEpoch: number
  /** Keys in their grace period, newest first. */
  previousKeys: string[]
}

/** ProjectDO: environments, keys, variables of one project. */
export interface ProjectObject {
  init(summary: ProjectSummary): Promise<void>
  /** dev is per user and made on first use; the others exist once. With a branch: the preview/dev branch environment, or null. */
  environment(slug: EnvironmentSlug, userId?: string, branch?: string): Promise<EnvironmentAccess | null>
  environmentByLocator(locator: string, branch?: string): Promise<EnvironmentAccess | null>
  upsertBranch(env: 'preview' | 'dev', branch: string, userId: string, git?: Record<string, unknown>): Promise<{ id: string }>
  archiveBranch(env: 'preview' | 'dev', branch: string): Promise<{ id: string; locator: string } | null>
  listBranches(): Promise<{ id: string; name: string; createdAt: number; updatedAt: number; isPaused: boolean }[]>
  setPaused(locator: string, paused: boolean): Promise<void>
  regenerateKey(locator: string, revokeNow?: boolean): Promise<EnvironmentAccess | null>
  listVariables(locator: string): Promise<{ name: string; value: string; isSecret: boolean }[]>
  setVariables(
    locator: string,
    variables: Record<string, string>,
    options: { override: boolean; isSecret?: boolean },
    /** Of the environment a branch inherits from; ignored when there is none. */
    parentVariables?: Record<string, string>,
  ): Promise<{ conflicts: string[] }>
  deleteVariable(locator: string, name: string): Promise<boolean>
}

export interface ArchivedRun extends RunPackets {
  spans: SpanRecord[]
}

/** HistoryDO: what final runs leave, one object per environment, partition and day of the run's id. */
export interface HistoryObject {
  /** Storing a run again replaces it. The whole day is deleted at `expiresAt`, which the first call decides. */
  put(runs: { runId: string; run: ArchivedRun }[], expiresAt: number): Promise<void>
  get(runId: string): Promise<ArchivedRun | null>
  /** In their order, null for what is not here, and at most 4 MiB: runs that are missing in the answer are to be asked for again. */
  getMany(runIds: string[]): Promise<Record<string, ArchivedRun | null>>
  /** From the minute cron, after the end of the day's retention. False when nothing is left. */
  wake(): Promise<boolean>
  /** For lists: only the metadata, of those that have any. */
  getMetadata(runIds: string[]): Promise<Record<string, Packet>>
}

export interface ScheduleTiming {
  cron: string
  timezone: string
  window?: string
}
export interface ScheduleRecord extends ScheduleTiming {
  id: string
  type: 'DECLARATIVE' | 'IMPERATIVE'
  task: string
  active: boolean
  /** Only a key the user chose. */
  deduplicationKey?: string
  externalId?: string
  /** Of a sentence: laid over the payload of each tick. */
  payload?: Record<string, unknown>
  /** The pending tick by the clock of its time zone, and when it runs; absent when inactive. */
  nextRun?: number
  nextRunEffectiveAt?: number
}
export interface ScheduleInput extends ScheduleTiming {
  task: string
  externalId?: string
  /** Laid over the payload of each tick. */
  payload?: Record<string, unknown>
  /** Of a new schedule; true when absent. */
  active?: boolean
}

/** SchedulerDO: schedules of one environment, declared in code or made over the API, and their next ticks. A reference is an id or a key. */
export interface SchedulerObject {
  /** From the minute cron. False when there is nothing to wait for. */
  wake(): Promise<boolean>
  syncDeclared(identity: EnvironmentIdentity, schedules: (ScheduleTiming & { task: string })[]): Promise<void>
  list(input: { page: number; perPage: number }): Promise<{ schedules: ScheduleRecord[]; count: number }>
  get(reference: string): Promise<ScheduleRecord | null>
  /** Changes the schedule with the reference or the key, or makes one with this id. The same call again changes nothing. */
  upsert(
    identity: EnvironmentIdentity,
    id: string,
    by: { reference: string } | { deduplicationKey?: string },
    input: ScheduleInput,
  ): Promise<RpcResult<ScheduleRecord>>
  setActive(reference: string, active: boolean): Promise<RpcResult<ScheduleRecord>>
  delete(reference: string): Promise<RpcResult<{ id: string }>>
  /** The environment was archived: nothing of it fires any more. */
  deleteAll(): Promise<void>
}

export type { CompletedWaitpoint }
