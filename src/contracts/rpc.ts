/**
 * What the parts of the platform say to each other over RPC. Shapes only, so every floor may import it.
 * Versions mix during a platform deploy: fields are added, never changed in meaning, for one release.
 */

export type EnvironmentType = 'DEVELOPMENT' | 'STAGING' | 'PRODUCTION' | 'PREVIEW'
export type EnvironmentSlug = 'dev' | 'stg' | 'prod' | 'preview'

/** Who an environment is. `id` ends in its six-character locator. */
export interface EnvironmentIdentity {
  id: string
  locator: string
  slug: EnvironmentSlug
  type: EnvironmentType
  projectId: string
  projectRef: string
  projectName: string
  organizationId: string
  organizationSlug: string
  organizationTitle: string
  branchName?: string
  /** Where its objects were made. */
  region?: string
}

/** Every call to an EnvironmentDO names the environment and the key epoch the Worker verified with. */
export interface Caller {
  environment: EnvironmentIdentity
  keyEpoch: number
  /** Set when a run calls the platform from inside its isolate. */
  run?: { runId: string; lease: number }
}

export type RpcResult<T> = { ok: true; value: T } | { ok: false; error: RpcError }
/** Expected refusals are values; class identity dies across RPC. `code` is from contracts/errors.ts. */
export interface RpcError {
  code: string
  message: string
  status: number
  retryable?: boolean
}

// ---------------------------------------------------------------- runs

export interface Packet {
  data?: string
  dataType: string
}

export interface TriggerOptions {
  payload: Packet
  tags?: string[]
  metadata?: Packet
  queue?: string
  concurrencyKey?: string
  delayUntil?: number
  /** While the run of this key is delayed, further triggers of the task become that run. */
  debounce?: { key: string; delayMs: number; mode: 'leading' | 'trailing'; maxDelayMs?: number }
  ttl?: string
  idempotencyKey?: string
  idempotencyKeyOptions?: { key: string; scope: string }
  idempotencyKeyExpiresAt?: number
  maxAttempts?: number
  maxDuration?: number
  machine?: string
  priorityMs?: number
  lockToVersion?: string
  /** The newest version deployed with this id; a locked version wins. */
  externalDeploymentId?: string
  test?: boolean
  parentRunId?: string
  resumeParentOnCompletion?: boolean
  replayOf?: string
  traceparent?: string
  batch?: { id: string; index: number }
  scheduleId?: string
  region?: string
  createdAt?: number
  /** Hash of a one-time token: good for one run. */
  oneTimeToken?: string
}

export interface TriggerInput {
  runId: string
  /** Same on each repeat of one logical call: the insert is insert-or-return. */
  operationId: string
  task: string
  options: TriggerOptions
}

export interface TriggerResult {
  id: string
  isCached: boolean
}

/** Internal run statuses (api-surface.md §4). */
export type RunStatus =
  | 'DELAYED'
  | 'PENDING'
  | 'PENDING_VERSION'
  | 'WAITING_FOR_DEPLOY'
  | 'DEQUEUED'
  | 'EXECUTING'
  | 'WAITING_TO_RESUME'
  | 'RETRYING_AFTER_FAILURE'
  | 'PAUSED'
  | 'CANCELED'
  | 'INTERRUPTED'
  | 'COMPLETED_SUCCESSFULLY'
  | 'COMPLETED_WITH_ERRORS'
  | 'SYSTEM_FAILURE'
  | 'CRASHED'
  | 'EXPIRED'
  | 'TIMED_OUT'

export type TaskRunError =
  | { type: 'BUILT_IN_ERROR'; name: string; message: string; stackTrace: string; causes?: unknown[] }
  | { type: 'STRING_ERROR'; raw: string }
  | { type: 'CUSTOM_ERROR'; raw: string }
  | { type: 'INTERNAL_ERROR'; code: string; message?: string; stackTrace?: string }

/** One run as the objects know it; the API layer turns it into the shapes of each SDK generation. Times are epoch ms. */
export interface RunRecord {
  id: string
  task: string
  status: RunStatus
  createdAt: number
  updatedAt: number
  queuedAt?: number
  startedAt?: number
  completedAt?: number
  delayUntil?: number
  expiredAt?: number
  tags: string[]
  queue: string
  concurrencyKey?: string
  ttl?: string
  idempotencyKey?: string
  idempotencyKeyOptions?: { key: string; scope: string }
  version?: string
  batchId?: string
  batchIndex?: number
  parentRunId?: string
  rootRunId?: string
  depth: number
  resumeParentOnCompletion: boolean
  attemptNumber: number
  maxAttempts?: number
  maxDuration?: number
  machine?: string
  priorityMs: number
  isTest: boolean
  replayOf?: string
  durationMs: number
  costInCents: number
  baseCostInCents: number
  scheduleId?: string
  region?: string
  /** The run it was in the environment it was exported from. */
  importedFrom?: string
  /** Keys of its streams. */
  streams?: string[]
  /** Bulk actions that cancelled it or made it. */
  bulkActionIds?: string[]
  /** Why the run is not moving, in words; absent on final runs. */
  waitingReason?: string
  traceId: string
  spanId: string
  /** The span of the parent run that triggered it. */
  parentSpanId?: string
}

export interface RunPackets {
  payload?: Packet
  metadata?: Packet
  output?: Packet
  error?: TaskRunError
}

export interface RunDetail extends RunRecord, RunPackets {
  /** The packets are with HistoryDO. */
  archived?: boolean
  parent?: RunRecord
  root?: RunRecord
  children?: RunRecord[]
}

export interface ListRunsInput {
  size: number
  after?: string
  before?: string
  statuses?: RunStatus[]
  tasks?: string[]
  tags?: string[]
  versions?: string[]
  queues?: string[]
  machines?: string[]
  batchId?: string
  scheduleId?: string
  bulkActionId?: string
  regions?: string[]
  isTest?: boolean
  from?: number
  to?: number
}
export interface ListRunsResult {
  runs: (RunRecord & { metadata?: Packet; archived?: boolean })[]
  /** Run ids to go on from; absent at the ends. */
  next?: string
  previous?: string
}

// ---------------------------------------------------------------- telemetry

/** One span or log line of a run. Times are epoch nanoseconds as decimal strings. */
export interface SpanRecord {
  kind: 'span' | 'log'
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  startTime: string
  /** Nanoseconds; absent while a span is open. */
  duration?: number
  level: 'TRACE' | 'DEBUG' | 'LOG' | 'INFO' | 'WARN' | 'ERROR'
  isError: boolean
  isPartial: boolean
  attempt: number
  attributes?: Record<string, unknown>
  events?: { name: string; time: string; attributes?: Record<string, unknown> }[]
}

// ---------------------------------------------------------------- execution

/** A start. EnvironmentDO gives it to a RunDO; nothing in it is a secret but `variables`. */
export interface StartInput {
  environment: EnvironmentIdentity
  lease: number
  runId: string
  attempt: number
  /** Which isolate of the bundle's set; assigned with the lease. */
  shard: number
  bundle: { hash: string; version: string; deploymentId: string; workerId: string; deploymentShortCode?: string }
  /** The execution object the SDK's TaskExecutor parses (TaskRunExecution of the wire). */
  execution: Record<string, unknown>
  traceparent: string
  maxDuration?: number
  variables: Record<string, string>
}

export interface Completion {
  ok: boolean
  id: string
  output?: string
  outputType?: string
  error?: TaskRunError
  retry?: { timestamp: number; delay: number; error?: unknown }
  skippedRetrying?: boolean
  usage?: { durationMs: number }
  flushedMetadata?: { data?: string; dataType: string }
}

/** A waitpoint as the runtime in the isolate wants it (cli-engine-protocol.md §2.10). */
export interface CompletedWaitpoint {
  id: string
  friendlyId: string
  type: 'RUN' | 'DATETIME' | 'MANUAL' | 'BATCH'
  completedAt: number
  index?: number
  output?: string
  outputType?: string
  outputIsError: boolean
  /** The output of this run has to be read from HistoryDO. */
  archivedRun?: string
  completedByTaskRun?: { friendlyId: string; batch?: { friendlyId: string } }
  completedByBatch?: { friendlyId: string }
}

/** What a RunDO answers and is asked (RPC methods of RunDO). Refusals of a stale lease are `{ ok: false }`. */
export interface RunExecutor {
  start(input: StartInput): Promise<{ ok: boolean; reason?: string }>
  resume(lease: number, waitpoints: CompletedWaitpoint[]): Promise<{ ok: boolean }>
  cancel(lease: number, reason: string): Promise<{ ok: boolean }>
  /** Which of these leases are alive here; the batched lease check. */
  alive(leases: number[]): Promise<number[]>
  telemetry(lease: number): Promise<SpanRecord[]>
  /** The lease was taken away: ends its session if there still is one. */
  release(lease: number, runId: string): Promise<{ ok: boolean }>
}

/**
 * How an attempt ended, from RunDO to EnvironmentDO.finish. `lost` = by the platform, not by the task; `alone` = other runs
 * shared the isolate when it was killed, so nobody knows whose fault it was: each starts again by itself.
 */
export interface FinishInput {
  runId: string
  attempt: number
  lease: number
  completion?: Completion
  lost?: { reason: string; alone?: boolean }
  spans: SpanRecord[]
}

// ---------------------------------------------------------------- deployments

export interface RetrySettings {
  maxAttempts?: number
  factor?: number
  minTimeoutInMs?: number
  maxTimeoutInMs?: number
  randomize?: boolean
  /** Ours, beside the SDK's (contracts/backoff.ts). Delays: milliseconds, or a duration. */
  backoff?: 'exponential' | 'linear' | 'fixed'
  initialDelay?: number | string
  maxDelay?: number | string
  jitter?: boolean
  outOfMemory?: { machine?: string }
}

/** Starts of a task's runs: a token bucket, one for each value of `key`. */
export interface RateLimitSettings {
  limit: number
  period: string
  /** A path into the payload: `payload.userId`. */
  key?: string
}

/** A task as indexed at deploy. */
export interface TaskDefinition {
  id: string
  filePath: string
  exportName?: string
  /** Module of the bundle to evaluate for it. */
  entryPoint: string
  description?: string
  /** Further words by which a sentence may name it. */
  keywords?: string[]
  /** Names of the payload's fields as the code reads them; only of a task without a schema. */
  payloadFields?: string[]
  /** `payload.a.b`: the concurrency key of a run that is triggered without one. */
  concurrencyKeyPath?: string
  queue?: { name?: string; concurrencyLimit?: number }
  retry?: RetrySettings
  rateLimit?: RateLimitSettings
  /** Not built: a deploy with it is refused. */
  concurrency?: unknown
  machine?: { preset?: string } | string
  maxDuration?: number
  ttl?: string | number
  triggerSource?: string
  schedule?: { cron: string; timezone: string; environments?: string[]; window?: string }
  payloadSchema?: unknown
  /** Where it runs: in an isolate, or only on a Node host. */
  host: 'isolate' | 'node'
}

export interface QueueDefinition {
  name: string
  concurrencyLimit?: number | null
  /** Not built: a deploy with it is refused. */
  combinedConcurrencyLimit?: number | null
}

/** What indexing a bundle yields. */
export interface BundleIndex {
  tasks: TaskDefinition[]
  queues: QueueDefinition[]
  warnings: string[]
  retriesDefault?: RetrySettings
}

/** The version an EnvironmentDO dispatches with: its own copy, taken at promote. */
export interface WorkerVersion {
  version: string
  workerId: string
  deploymentId: string
  deploymentShortCode: string
  bundleHash: string
  externalId?: string
  runtime?: string
  runtimeVersion?: string
  sdkVersion?: string
  /** Its code is with a session of the CLI's `dev`, which asks for its runs. */
  remote?: true
  tasks: TaskDefinition[]
  queues: QueueDefinition[]
}

// ---------------------------------------------------------------- linked bundles (execution/bundle → isolate)

/** What the linker makes of the CLI's output; stored as one JSON object in R2 under `bundles/<hash>/linked.json`. */
export interface LinkedBundle {
  format: 1
  /** sha-256 hex over the upload, names the bundle everywhere. */
  hash: string
  /** Real ES modules shared by all runs of an isolate: path → source, specifiers already rewritten. */
  shared: Record<string, string>
  /** One ES module text exporting `layer(...)`; instantiated anew per run (in-worker-execution.md §11). */
  fresh: string
  /** Name the run worker knows (e.g. `TaskExecutor`) → shared module path and export name. */
  core: Record<string, { module: string; export: string }>
  /** Files of build.json: source entry and bundled output. */
  files: { entry: string; out: string }[]
  configPath: string
  initPath?: string
  externals: { name: string; version: string }[]
  /** Builtins and platform modules the code imports, for the module table. */
  builtins: string[]
  sdkVersion: string
  warnings: string[]
}
