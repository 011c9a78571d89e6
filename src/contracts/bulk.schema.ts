/** Body of a bulk action (api-surface.md §9.7). */
import { z } from 'zod'
import { limits } from './limits.ts'
import { machineSchema } from './trigger.schema.ts'

const texts = z.union([z.string(), z.array(z.string())]).optional()
const instant = z.union([z.string(), z.number()]).optional()
const machines = z.union([machineSchema, z.array(machineSchema)]).optional()
const queue = z.object({ type: z.enum(['task', 'custom']), name: z.string() })
const queues = z.union([queue, z.array(queue)]).optional()

const filter = z
  .object({
    status: texts,
    taskIdentifier: texts,
    version: texts,
    from: instant,
    to: instant,
    period: z.string().optional(),
    bulkAction: z.string().optional(),
    tag: texts,
    schedule: z.string().optional(),
    isTest: z.boolean().optional(),
    batch: z.string().optional(),
    queue: queues,
    machine: machines,
    region: texts,
  })
  .refine((given) => Object.values(given).some(isGiven), { message: 'At least one filter must be provided' })

function isGiven(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isGiven)
  return typeof value === 'string' ? value.trim() !== '' : value !== undefined
}

export const bulkActionSchema = z
  .object({
    action: z.enum(['cancel', 'replay']),
    name: z.string().max(limits.bulkNameChars, `A name has at most ${limits.bulkNameChars} characters`).optional(),
    /** Of a replay only. */
    targetRegion: z.string().optional(),
    filter: filter.optional(),
    runIds: z
      .array(z.string())
      .min(1)
      .max(limits.bulkRunIds, `A bulk action takes at most ${limits.bulkRunIds} run ids`)
      .optional(),
  })
  .refine((body) => (body.filter === undefined) !== (body.runIds === undefined), {
    message: 'Exactly one of filter or runIds must be provided',
  })
  .refine((body) => body.action === 'replay' || body.targetRegion === undefined, {
    message: 'Only a replay has a target region',
    path: ['targetRegion'],
  })
export type BulkActionBody = z.infer<typeof bulkActionSchema>
