/** Bodies of triggering (api-surface.md §8.1–8.4). Unknown keys are ignored. */
import { z } from 'zod'
import { limits } from './limits.ts'

export const machineSchema = z.enum(['micro', 'small-1x', 'small-2x', 'medium-1x', 'medium-2x', 'large-1x', 'large-2x'])
const limitName = z.string().regex(/^[A-Za-z0-9_-]{1,122}$/)
const gateName = z.string().min(1).max(128)
/** Blank counts as absent. */
const externalId = z
  .string()
  .trim()
  .max(limits.externalIdChars)
  .nullish()
  .transform((id) => id || undefined)
const tag = z.string().max(limits.tagChars)
export const tagsSchema = z.union([tag, z.array(tag)])

export const triggerOptionsSchema = z.object({
  payloadType: z.string().optional(),
  payloadSize: z.number().int().nonnegative().optional(),
  queue: z.union([z.object({ name: z.union([z.string(), z.object({ name: z.string() })]) }), z.object({})]).optional(),
  concurrencyKey: z.union([z.string(), z.number()]).optional(),
  concurrency: z.array(limitName).max(2).optional(),
  gates: z
    .array(z.object({ queue: gateName, concurrencyKey: gateName.optional() }))
    .max(3)
    .optional(),
  /** A duration, a date, or a time in epoch milliseconds. */
  delay: z.union([z.string(), z.number()]).optional(),
  ttl: z.union([z.string(), z.number().int().nonnegative()]).optional(),
  idempotencyKey: z.string().max(limits.idempotencyKeyChars).optional(),
  idempotencyKeyTTL: z.string().optional(),
  idempotencyKeyOptions: z.object({ key: z.string(), scope: z.enum(['run', 'attempt', 'global']) }).optional(),
  tags: tagsSchema.optional(),
  metadata: z.unknown().optional(),
  metadataType: z.string().optional(),
  maxAttempts: z.number().int().optional(),
  maxDuration: z.number().optional(),
  machine: machineSchema.optional(),
  priority: z.number().optional(),
  region: z.string().optional(),
  lockToVersion: z.string().optional(),
  externalDeploymentId: externalId.optional(),
  test: z.boolean().optional(),
  parentRunId: z.string().optional(),
  resumeParentOnCompletion: z.boolean().optional(),
  /** How runs of SDK 3 name the attempt or batch that waits. */
  dependentAttempt: z.string().optional(),
  dependentBatch: z.string().optional(),
  debounce: z
    .object({
      key: z.string().max(limits.debounceKeyChars),
      /** Durations, never dates: they apply to each trigger anew. */
      delay: z.string(),
      mode: z.enum(['leading', 'trailing']).optional(),
      maxDelay: z.string().optional(),
    })
    .optional(),
})

export const triggerBodySchema = z.object({
  payload: z.unknown().optional(),
  context: z.unknown().optional(),
  options: triggerOptionsSchema.nullish().transform((options) => options ?? undefined),
})
export type TriggerBody = z.infer<typeof triggerBodySchema>

export const batchItemSchema = triggerBodySchema.extend({ task: z.string() })
export const indexedItemSchema = batchItemSchema.extend({ index: z.number().int().nonnegative() })

export const batchBodySchema = z.object({
  items: z.array(batchItemSchema),
  parentRunId: z.string().optional(),
  resumeParentOnCompletion: z.boolean().optional(),
  dependentAttempt: z.string().optional(),
})

export const createBatchSchema = z.object({
  runCount: z.number().int().min(1),
  taskIdentifiers: z.array(z.string()).optional(),
  parentRunId: z.string().optional(),
  resumeParentOnCompletion: z.boolean().optional(),
  idempotencyKey: z.string().max(limits.idempotencyKeyChars).optional(),
  idempotencyKeyOptions: z.object({ key: z.string(), scope: z.string() }).optional(),
})

export const replayBodySchema = z.strictObject({
  payload: z.unknown().optional(),
  payloadType: z.enum(['application/json', 'application/super+json']).optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  tags: tagsSchema.optional(),
  queue: z.string().optional(),
  concurrencyKey: z.string().optional(),
  machine: machineSchema.optional(),
  version: z.string().optional(),
  region: z.string().optional(),
  delay: z.string().optional(),
  ttl: z.union([z.string(), z.number().int().nonnegative()]).optional(),
  idempotencyKey: z.string().max(limits.idempotencyKeyChars).optional(),
  idempotencyKeyTTL: z.string().optional(),
  maxAttempts: z.number().int().min(1).optional(),
  maxDuration: z.number().min(0).optional(),
  priority: z.number().optional(),
})
