/** Lines of an import, as they may arrive. Unknown fields are dropped: a newer platform may have written them. */
import { z } from '@hono/zod-openapi'
import { limits } from './limits.ts'
import type { RunStatus } from './rpc.ts'
import { isFinalStatus, knownStatuses } from './statuses.ts'

const id = (prefix: string): z.ZodString =>
  z.string().regex(new RegExp(`^${prefix}_[0-9a-v]{26}$`), `not an id of a ${prefix} (${prefix}_ and 26 characters of 0-9a-v)`)
const runId = id('run')
const instant = z.number().int().min(0).max(8_640_000_000_000_000)
const number = z.number().min(0).max(Number.MAX_SAFE_INTEGER)
const count = z.number().int().min(0).max(limits.int32)
const name = z.string().min(1).max(limits.scheduleTextChars)
const packet = z.object({ data: z.string().optional(), dataType: z.string().min(1).max(255) })
const inline = packet.refine((one) => (one.data?.length ?? 0) <= limits.inlinePacketBytes, {
  message: `longer than ${limits.inlinePacketBytes} characters: larger ones are packet lines`,
  path: ['data'],
})
const metadata = packet.refine((one) => (one.data?.length ?? 0) <= limits.metadataBytes, {
  message: `longer than ${limits.metadataBytes} characters`,
  path: ['data'],
})

const status = z.string().refine((word): word is RunStatus => knownStatuses.includes(word as RunStatus), 'no status of a run')

const record = z.object({
  id: runId,
  task: name,
  status,
  createdAt: instant,
  updatedAt: instant,
  queuedAt: instant.optional(),
  startedAt: instant.optional(),
  completedAt: instant.optional(),
  delayUntil: instant.optional(),
  expiredAt: instant.optional(),
  tags: z.array(z.string().min(1).max(limits.tagChars)).max(limits.tags),
  queue: name,
  concurrencyKey: z.string().max(limits.scheduleTextChars).optional(),
  ttl: z.string().max(64).optional(),
  idempotencyKey: z.string().min(1).max(limits.idempotencyKeyChars).optional(),
  idempotencyKeyOptions: z.object({ key: z.string().max(limits.idempotencyKeyChars), scope: z.string().max(64) }).optional(),
  version: z.string().max(64).optional(),
  batchId: id('batch').optional(),
  batchIndex: count.optional(),
  parentRunId: runId.optional(),
  rootRunId: runId.optional(),
  depth: count,
  resumeParentOnCompletion: z.boolean(),
  attemptNumber: count,
  maxAttempts: count.optional(),
  maxDuration: number.optional(),
  machine: z.string().max(64).optional(),
  priorityMs: z
    .number()
    .min(-limits.int32 * 1_000)
    .max(limits.int32 * 1_000),
  isTest: z.boolean(),
  replayOf: runId.optional(),
  durationMs: number,
  costInCents: number,
  baseCostInCents: number,
  scheduleId: z.string().max(64).optional(),
  region: z.string().max(64).optional(),
  importedFrom: runId.optional(),
  bulkActionIds: z.array(id('bulk')).max(1_000).optional(),
  traceId: z.string().regex(/^[0-9a-f]{32}$/, 'not 32 hexadecimal digits'),
  spanId: z.string().regex(/^[0-9a-f]{16}$/, 'not 16 hexadecimal digits'),
  parentSpanId: z
    .string()
    .regex(/^[0-9a-f]{16}$/, 'not 16 hexadecimal digits')
    .optional(),
})

const attributes = z.record(z.string(), z.unknown())
const span = z.object({
  kind: z.enum(['span', 'log']),
  traceId: z.string().max(64),
  spanId: z.string().max(64),
  parentSpanId: z.string().max(64).optional(),
  name: z.string(),
  startTime: z.string().regex(/^\d{1,20}$/, 'not a time in nanoseconds'),
  duration: number.optional(),
  level: z.enum(['TRACE', 'DEBUG', 'LOG', 'INFO', 'WARN', 'ERROR']),
  isError: z.boolean(),
  isPartial: z.boolean(),
  attempt: count,
  attributes: attributes.optional(),
  events: z.array(z.object({ name: z.string(), time: z.string(), attributes: attributes.optional() })).optional(),
})

const taskRunError = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('BUILT_IN_ERROR'),
    name: z.string(),
    message: z.string(),
    stackTrace: z.string(),
    causes: z.array(z.unknown()).optional(),
  }),
  z.object({ type: z.literal('STRING_ERROR'), raw: z.string() }),
  z.object({ type: z.literal('CUSTOM_ERROR'), raw: z.string() }),
  z.object({
    type: z.literal('INTERNAL_ERROR'),
    code: z.string(),
    message: z.string().optional(),
    stackTrace: z.string().optional(),
  }),
])

const runLine = z
  .object({
    kind: z.literal('run'),
    run: record,
    payload: inline.optional(),
    metadata: metadata.optional(),
    output: inline.optional(),
    error: taskRunError.optional(),
    spans: z
      .array(span)
      .default([])
      .refine((spans) => JSON.stringify(spans).length <= limits.importedSpanChars, {
        message: `longer than ${limits.importedSpanChars} characters`,
      }),
    idempotencyKeyExpiresAt: instant.optional(),
    lockToVersion: z.string().max(64).optional(),
    externalDeploymentId: z.string().max(limits.externalIdChars).optional(),
    isMadeByUnfinished: z.boolean().optional(),
  })
  .refine(({ run }) => !isFinalStatus(run.status as RunStatus) || run.completedAt !== undefined, {
    message: 'a final run has one',
    path: ['run', 'completedAt'],
  })

export const environmentLine = z.object({
  kind: z.literal('environment'),
  format: z.literal(1),
  exportedAt: instant,
  id: z.string().max(64),
  projectRef: z.string().max(255),
  slug: z.string().max(64),
  branchName: z.string().max(1_024).optional(),
})

const override = z
  .object({
    limit: z.number().int().min(0).max(limits.queueConcurrency).optional(),
    percent: z.number().gt(0).max(100).optional(),
  })
  .refine(({ limit, percent }) => (limit === undefined) !== (percent === undefined), 'give either limit or percent')

export const exportLineSchema = z
  .discriminatedUnion('kind', [
    environmentLine,
    z.object({
      kind: z.literal('variable'),
      name: z.string().regex(/^\w{1,255}$/, 'not a name of a variable'),
      value: z.string(),
      isSecret: z.boolean(),
    }),
    z.object({ kind: z.literal('queue'), name, paused: z.boolean(), override: override.optional() }),
    z.object({
      kind: z.literal('schedule'),
      id: z.string().regex(/^sched_\w{1,64}$/, 'not an id of a schedule'),
      task: name,
      cron: name,
      timezone: name,
      window: name.optional(),
      externalId: name.optional(),
      deduplicationKey: name.optional(),
      payload: z.record(z.string(), z.unknown()).optional(),
      active: z.boolean(),
    }),
    z.object({
      kind: z.literal('packet'),
      path: z.string().min(1).max(1_024),
      contentType: z.string().max(255),
      size: z.number().int().min(0).max(limits.packetBytes),
      offset: z.number().int().min(0).max(limits.packetBytes),
      data: z.base64(),
    }),
    runLine,
    z.object({ kind: z.literal('end'), runs: count, next: runId.optional() }),
  ])
  .openapi('ExportLine')
