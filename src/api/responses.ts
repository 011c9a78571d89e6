/**
 * What the routes answer, for the OpenAPI document. The compat tests hold real answers against it, in both directions: no field
 * is missing there, none is undescribed. Optional fields are left out when unset, never null.
 */
import { z } from '@hono/zod-openapi'

const date = z.iso.datetime()
const count = z.number().int().nonnegative()
const anyObject = z.record(z.string(), z.unknown())

/** The last four are for clients that send no x-trigger-api-version. */
const runStatuses =
  'PENDING_VERSION QUEUED DEQUEUED EXECUTING WAITING COMPLETED CANCELED FAILED CRASHED SYSTEM_FAILURE DELAYED EXPIRED TIMED_OUT ' +
  'WAITING_FOR_DEPLOY REATTEMPTING FROZEN INTERRUPTED'
const runStatus = z.enum(runStatuses.split(' ')).openapi('RunStatus')

const runFields = {
  id: z.string(),
  status: runStatus,
  isQueued: z.boolean(),
  isExecuting: z.boolean(),
  isWaiting: z.boolean(),
  isCompleted: z.boolean(),
  isSuccess: z.boolean(),
  isFailed: z.boolean(),
  isCancelled: z.boolean(),
  isTest: z.boolean(),
  taskIdentifier: z.string(),
  createdAt: date,
  updatedAt: date,
  startedAt: date.optional(),
  finishedAt: date.optional(),
  delayedUntil: date.optional(),
  expiredAt: date.optional(),
  tags: z.array(z.string()),
  depth: count,
  costInCents: z.number(),
  baseCostInCents: z.number(),
  durationMs: z.number(),
  version: z.string().optional(),
  idempotencyKey: z.string().optional(),
  ttl: z.string().optional(),
  batchId: z.string().optional(),
  importedFrom: z.string().optional().openapi({ description: 'The run it was in the environment it was imported from.' }),
  region: z.string().optional(),
  metadata: anyObject.optional(),
  waitingReason: z.string().optional().openapi({
    description:
      'Why the run does not execute now, for people: its delay, retry or wait, the pause or limit that holds it in its queue, the version it waits for. Absent while it executes and once it is final.',
  }),
}
const triggerFunction = z.enum(['trigger', 'triggerAndWait', 'batchTrigger', 'batchTriggerAndWait'])
const relatedRun = z.object({ ...runFields, triggerFunction }).openapi('RelatedRun')
const generator = z.object({ type: z.literal('CRON'), expression: z.string(), description: z.string() })
const runError = z.object({ message: z.string(), name: z.string().optional(), stackTrace: z.string().optional() })
const taskRunError = z
  .object({
    type: z.enum(['BUILT_IN_ERROR', 'STRING_ERROR', 'CUSTOM_ERROR', 'INTERNAL_ERROR']),
    name: z.string().optional(),
    code: z.string().optional(),
    message: z.string().optional(),
    raw: z.string().optional(),
    stackTrace: z.string().optional(),
    causes: z.array(z.unknown()).optional(),
  })
  .openapi('TaskRunError')

export const run = z
  .object({
    ...runFields,
    triggerFunction,
    attemptCount: count,
    attempts: z.array(z.unknown()),
    relatedRuns: z.object({
      root: relatedRun.optional(),
      parent: relatedRun.optional(),
      children: z.array(relatedRun).optional(),
    }),
    payload: z.unknown().optional(),
    payloadPresignedUrl: z.url().optional(),
    output: z.unknown().optional(),
    outputPresignedUrl: z.url().optional(),
    error: runError.optional(),
    schedule: z
      .object({ id: z.string(), externalId: z.string().optional(), deduplicationKey: z.string().optional(), generator })
      .optional(),
  })
  .openapi('Run')
export const runList = cursorPage(
  z.object({ ...runFields, env: z.object({ id: z.string(), name: z.string() }), taskKind: z.string() }).openapi('RunListItem'),
).openapi('RunList')
export const runResult = z
  .object({
    ok: z.boolean(),
    id: z.string(),
    taskIdentifier: z.string(),
    output: z.string().optional(),
    outputType: z.string().optional(),
    error: taskRunError.optional(),
  })
  .openapi('RunResult')
export const runMetadata = z.object({ metadata: anyObject, metadataType: z.string().optional() })
export const message = z.object({ message: z.string() })
export const idOnly = z.object({ id: z.string() })
export const triggered = z.object({ id: z.string(), isCached: z.boolean() }).openapi('TriggeredRun')

const spanFields = {
  spanId: z.string(),
  parentId: z.string().nullable(),
  runId: z.string(),
  message: z.string(),
  isError: z.boolean(),
  isPartial: z.boolean(),
  isCancelled: z.boolean(),
  level: z.enum(['TRACE', 'DEBUG', 'LOG', 'INFO', 'WARN', 'ERROR']),
}
export const span = z
  .object({
    ...spanFields,
    startTime: date,
    durationMs: z.number(),
    properties: anyObject.optional(),
    events: z.array(z.unknown()).optional(),
  })
  .openapi('Span')
export const runEvents = z
  .object({
    events: z.array(
      z.object({
        ...spanFields,
        startTime: z.string(),
        duration: z.number(),
        kind: z.enum(['LOG', 'INTERNAL']),
        attemptNumber: count,
        taskSlug: z.string(),
        events: z.array(z.unknown()),
        style: anyObject,
        properties: anyObject,
      }),
    ),
  })
  .openapi('RunEvents')

export const batchV1 = z
  .object({
    id: z.string(),
    isCached: z.boolean(),
    idempotencyKey: z.string().optional(),
    runs: z.array(
      z.object({
        id: z.string(),
        taskIdentifier: z.string(),
        isCached: z.boolean(),
        idempotencyKey: z.string().optional(),
      }),
    ),
  })
  .openapi('TriggeredBatchV1')
export const batchV2 = z.object({ id: z.string(), runCount: count }).openapi('TriggeredBatchV2')
export const batchOfTask = z.object({ batchId: z.string(), runs: z.array(z.string()) })
export const createdBatch = z
  .object({ id: z.string(), runCount: count, isCached: z.boolean(), idempotencyKey: z.string().optional() })
  .openapi('CreatedBatch')
export const batchItems = z
  .object({
    id: z.string(),
    runCount: count,
    itemsAccepted: count,
    itemsDeduplicated: count,
    sealed: z.boolean(),
    enqueuedCount: count,
    expectedCount: count,
  })
  .openapi('BatchItems')
const batchErrors = z.array(
  z.object({ index: count, taskIdentifier: z.string(), error: z.string(), errorCode: z.string().optional() }),
)
const batchFields = {
  id: z.string(),
  status: z.enum(['PENDING', 'PROCESSING', 'COMPLETED', 'PARTIAL_FAILED', 'ABORTED']),
  idempotencyKey: z.string().optional(),
  createdAt: date,
  updatedAt: date,
  runCount: count,
  runs: z.array(z.string()),
}
export const readBatchV1 = z.object({ ...batchFields, errors: batchErrors.optional() }).openapi('BatchV1')
export const readBatchV2 = z
  .object({
    ...batchFields,
    processing: z.object({ completedAt: date.optional(), errors: batchErrors }),
    processingCompletedAt: date.optional(),
  })
  .openapi('BatchV2')
export const batchResults = z.object({ id: z.string(), items: z.array(runResult) })

const deploymentStatus = z.enum(['PENDING', 'BUILDING', 'DEPLOYING', 'DEPLOYED', 'FAILED', 'CANCELED', 'TIMED_OUT'])
const deploymentError = z.object({ name: z.string(), message: z.string(), stack: z.string().optional() })
export const deploymentItem = z
  .object({
    id: z.string(),
    createdAt: date,
    shortCode: z.string(),
    version: z.string(),
    runtime: z.string(),
    runtimeVersion: z.string(),
    status: deploymentStatus,
    deployedAt: date.optional(),
    git: anyObject.optional(),
    externalId: z.string().optional(),
    error: deploymentError.optional(),
  })
  .openapi('DeploymentListItem')
export const deploymentList = z
  .object({ data: z.array(deploymentItem), pagination: z.object({ next: z.string().optional() }) })
  .openapi('DeploymentList')
export const deployment = z
  .object({
    id: z.string(),
    status: deploymentStatus,
    contentHash: z.string(),
    shortCode: z.string(),
    version: z.string(),
    imagePlatform: z.string(),
    errorData: deploymentError.optional(),
    worker: z
      .object({
        id: z.string(),
        version: z.string(),
        tasks: z.array(
          z.object({
            id: z.string(),
            slug: z.string(),
            filePath: z.string(),
            exportName: z.string(),
            triggerSource: z.string().optional(),
            payloadSchema: z.unknown().optional(),
          }),
        ),
      })
      .optional(),
  })
  .openapi('Deployment')
export const newDeployment = z
  .object({
    id: z.string(),
    contentHash: z.string(),
    shortCode: z.string(),
    version: z.string(),
    imageTag: z.string(),
    imagePlatform: z.string(),
    externalId: z.string().optional(),
    outcome: z.enum(['created', 'existing']),
    isPromoted: z.boolean(),
  })
  .openapi('NewDeployment')
export const promoted = z.object({ id: z.string(), version: z.string(), shortCode: z.string() })
export const artifact = z.object({
  artifactKey: z.string(),
  uploadUrl: z.url(),
  uploadFields: z.record(z.string(), z.string()),
  expiresAt: date,
})

export const variable = z.object({ name: z.string(), value: z.string(), isSecret: z.boolean() }).openapi('EnvironmentVariable')
export const variableList = z.array(variable)
export const workerVariables = z.object({ variables: z.record(z.string(), z.string()) })
export const success = z.object({ success: z.literal(true) })

export const queue = z
  .object({
    id: z.string(),
    name: z.string(),
    type: z.enum(['task', 'custom']),
    running: count,
    queued: count,
    paused: z.boolean(),
    concurrencyLimit: z.number().nullable(),
    concurrency: z.object({
      current: z.number().nullable(),
      base: z.number().nullable(),
      override: z.number().nullable(),
      overriddenAt: date.nullable(),
      overriddenBy: z.string().nullable(),
    }),
    releaseConcurrencyOnWaitpoint: z.boolean(),
  })
  .openapi('Queue')
export const queueList = numberedPage(queue).openapi('QueueList')

export const schedule = z
  .object({
    id: z.string(),
    type: z.enum(['DECLARATIVE', 'IMPERATIVE']),
    task: z.string(),
    active: z.boolean(),
    generator,
    timezone: z.string(),
    window: z.string().optional(),
    nextRun: date.nullable(),
    nextRunEffectiveAt: date.nullable(),
    deduplicationKey: z.string().nullable(),
    externalId: z.string().nullable(),
    environments: z.array(z.object({ id: z.string(), type: z.string() })),
  })
  .openapi('Schedule')
export const scheduleList = numberedPage(schedule).openapi('ScheduleList')
export const timezones = z.object({ timezones: z.array(z.string()) })

const tokenFields = {
  id: z.string(),
  url: z.url(),
  status: z.enum(['WAITING', 'COMPLETED', 'TIMED_OUT']),
  tags: z.array(z.string()),
  createdAt: date,
  completedAt: date.optional(),
  completedAfter: date.optional(),
  timeoutAt: date.optional(),
  idempotencyKey: z.string().optional(),
  idempotencyKeyExpiresAt: date.optional(),
}
export const token = z
  .object({
    ...tokenFields,
    output: z.string().optional(),
    outputType: z.string().optional(),
    outputIsError: z.boolean().optional(),
  })
  .openapi('WaitToken')
export const tokenList = cursorPage(z.object(tokenFields).openapi('WaitTokenListItem')).openapi('WaitTokenList')
export const createdToken = z.object({ id: z.string(), isCached: z.boolean(), url: z.url() }).openapi('CreatedWaitToken')
export const waitsUntil = z.object({ waitUntil: date, waitpoint: idOnly })

export const bulkAction = z
  .object({
    id: z.string(),
    name: z.string().optional(),
    type: z.enum(['CANCEL', 'REPLAY']),
    status: z.enum(['PENDING', 'COMPLETED', 'ABORTED']),
    counts: z.object({ total: count, success: count, failure: count }),
    createdAt: date,
    completedAt: date.optional(),
  })
  .openapi('BulkAction')
export const bulkActionList = cursorPage(bulkAction).openapi('BulkActionList')

export const presignedUrl = z.object({ presignedUrl: z.url() })
export const packetUrl = z.object({ presignedUrl: z.url(), storagePath: z.string() })
export const tokenClaims = z.object({ sub: z.string(), pub: z.literal(true) })
export const publicToken = z.object({ token: z.string() })

export const project = z
  .object({
    id: z.string(),
    externalRef: z.string(),
    name: z.string(),
    slug: z.string(),
    createdAt: date,
    organization: z.object({ id: z.string(), title: z.string(), slug: z.string(), createdAt: date }),
  })
  .openapi('Project')
export const projectRuntimes = z.array(
  z.object({
    organization: z.object({ title: z.string(), slug: z.string() }),
    project: z.object({ name: z.string(), slug: z.string(), externalRef: z.string() }),
    environment: z.object({ slug: z.string() }),
    deployment: z
      .object({
        runtime: z.string().nullable(),
        runtimeVersion: z.string().nullable(),
        nodeMajor: z.number().int().nullable(),
        deployedAt: date.nullable(),
        shortCode: z.string(),
      })
      .nullable(),
  }),
)
export const environmentKey = z
  .object({ apiKey: z.string(), name: z.string(), apiUrl: z.url(), projectId: z.string() })
  .openapi('EnvironmentKey')
export const environmentPause = z.object({ paused: z.boolean(), state: z.enum(['paused', 'resumed']) })
export const whoami = z.object({
  userId: z.string(),
  email: z.string(),
  dashboardUrl: z.string(),
  project: z.object({ name: z.string(), url: z.string(), orgTitle: z.string() }).optional(),
})
export const organizationList = z.array(z.object({ id: z.string(), title: z.string(), slug: z.string(), createdAt: date }))
export const deploySettings = z.object({ build_path: z.string() })
export const archivedBranch = z.object({ branch: idOnly })
export const health = z.object({ status: z.literal('ok'), initialised: z.boolean() })
export const branchList = z.object({
  branches: z.array(z.object({ id: z.string(), name: z.string(), createdAt: date, updatedAt: date, isPaused: z.boolean() })),
})

const refusal = z.object({ line: count, id: z.string().optional(), reason: z.string() })
export const imported = z
  .object({
    runs: z.object({
      imported: count,
      queuedAgain: count,
      known: count,
      unfinished: count,
      madeByParent: count,
      expired: count,
      refused: count,
    }),
    packets: z.object({ imported: count, known: count, missing: count }),
    schedules: z.object({ imported: count, known: count, refused: count }),
    queues: z.object({ imported: count, known: count, refused: count }),
    variables: z.object({ imported: count, known: count, refused: count }),
    refusals: z.array(refusal).openapi({ description: 'The first hundred, with why.' }),
    isComplete: z.boolean().openapi({ description: 'The last line was the end of an export: nothing was cut off.' }),
    next: z.string().optional().openapi({ description: 'The export goes on after this run, in another piece.' }),
  })
  .openapi('ImportedEnvironment')

function cursorPage<T extends z.ZodType>(item: T): z.ZodObject {
  return z.object({
    data: z.array(item),
    pagination: z.object({ next: z.string().optional(), previous: z.string().optional() }),
  })
}

function numberedPage<T extends z.ZodType>(item: T): z.ZodObject {
  return z.object({
    data: z.array(item),
    pagination: z.object({ currentPage: count, totalPages: count, count }),
  })
}

// ---------------------------------------------------------------- the engine, as remote executors see it

const executionStatus = z.enum([
  'RUN_CREATED',
  'DELAYED',
  'QUEUED',
  'PENDING_EXECUTING',
  'EXECUTING',
  'EXECUTING_WITH_WAITPOINTS',
  'PENDING_CANCEL',
  'FINISHED',
])
const snapshot = z
  .object({ id: z.string(), friendlyId: z.string(), executionStatus, description: z.string(), createdAt: date })
  .openapi('Snapshot')
const engineRun = z
  .object({ id: z.string(), friendlyId: z.string(), status: z.string(), attemptNumber: count })
  .openapi('EngineRun')
export const ok = z.object({ ok: z.literal(true) })
export const devConfig = z.object({
  environmentId: z.string(),
  dequeueIntervalWithRun: count,
  dequeueIntervalWithoutRun: count,
  maxConcurrentRuns: count,
  engineUrl: z.url(),
})
export const dequeued = z.object({
  dequeuedMessages: z.array(
    z
      .looseObject({
        version: z.literal('1'),
        snapshot,
        dequeuedAt: date,
        completedWaitpoints: z.array(z.unknown()),
        backgroundWorker: z.object({
          id: z.string(),
          friendlyId: z.string(),
          version: z.string(),
          runtime: z.string().optional(),
        }),
        run: z.looseObject({ id: z.string(), friendlyId: z.string(), attemptNumber: count }),
      })
      .openapi('DequeuedRun'),
  ),
})
export const startedAttempt = z.object({
  snapshot,
  run: engineRun,
  execution: z.record(z.string(), z.unknown()),
  envVars: z.record(z.string(), z.string()),
})
export const completedAttempt = z.object({
  result: z.object({
    attemptStatus: z.enum(['RUN_FINISHED', 'RETRY_IMMEDIATELY', 'RETRY_QUEUED']),
    snapshot,
    run: engineRun,
  }),
})
export const latestSnapshot = z.object({
  execution: z.object({
    version: z.literal('1'),
    snapshot,
    run: engineRun,
    completedWaitpoints: z.array(z.record(z.string(), z.unknown())),
  }),
})
export const disconnected = z.object({ cancelled: count })
export const registeredWorker = z.object({ id: z.string(), version: z.string(), contentHash: z.string() })
export const devStatus = z.object({ isConnected: z.boolean() })
export const worker = z.object({
  worker: z.object({
    id: z.string(),
    version: z.string(),
    engine: z.string().optional(),
    sdkVersion: z.string().optional(),
    cliVersion: z.string().optional(),
    tasks: z.array(
      z.looseObject({
        id: z.string(),
        slug: z.string(),
        filePath: z.string(),
        triggerSource: z.string(),
        createdAt: date,
      }),
    ),
  }),
  urls: z.object({ runs: z.string() }),
})

export const authorizationCode = z.object({
  url: z.url(),
  authorizationCode: z.string(),
  approval: z.enum(['callback', 'paste']),
})
export const loginToken = z.object({ token: z.object({ token: z.string(), obfuscatedToken: z.string() }).nullable() })

const row = z.record(z.string(), z.string().nullable())
export const shape = z.array(
  z.union([
    z.object({ key: z.string(), value: row, headers: z.object({ operation: z.enum(['insert', 'update']) }) }),
    z.object({ headers: z.object({ control: z.literal('up-to-date') }) }),
  ]),
)
export const environmentToken = z.object({ token: z.string(), environmentId: z.string() })
export const actorToken = z.object({ token: z.string(), expiresInSeconds: count })

export const fileEntry = z
  .object({ path: z.string(), type: z.enum(['file', 'directory']), size: count.optional(), modifiedAt: date.optional() })
  .openapi('FileEntry')
export const fileList = z.object({ data: z.array(fileEntry), next: z.string().optional() })
export const filesWritten = z.object({ written: count })
export const filesRemoved = z.object({ removed: count })

export const connectedHost = z.object({
  ok: z.literal(true),
  workerGroup: z.object({ type: z.string(), name: z.string() }),
  environment: z.object({ id: z.string(), type: z.string() }),
  project: z.object({ id: z.string(), ref: z.string() }),
})
export const builds = z.object({
  builds: z.array(z.object({ deploymentId: z.string(), version: z.string(), contentHash: z.string() })),
})
export const hostRuns = z.array(z.looseObject({ version: z.literal('1'), snapshot, runner: z.object({ token: z.string() }) }))
export const released = z.object({ ok: z.literal(true), requeued: z.boolean() })
export const failedDeployment = z.object({ id: z.string() })
export const snapshots = z.object({ snapshots: z.array(latestSnapshot.shape.execution) })

export const openedStream = z.object({ version: z.literal('v1') })
export const streamProgress = z.object({ lastChunkIndex: z.int().min(-1) })
export const appended = z.object({ ok: z.literal(true) })
export const anyLine = z.unknown()
export const completedProfile = z.object({ updated: z.boolean() })
