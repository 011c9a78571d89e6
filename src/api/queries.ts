/** Query parameters as the document lists them. Described only: the handlers read and refuse them with upstream's words. */
import { z } from 'zod'
import { fileLimits } from '../contracts/files.ts'
import { limits } from '../contracts/limits.ts'

const text = z.string().optional()
const size = z.int().min(1).max(100).optional()
const number = z.int().min(1).optional()
const boolean = z.enum(['true', 'false']).optional()
const created = {
  'filter[createdAt][from]': text,
  'filter[createdAt][to]': text,
  'filter[createdAt][period]': text,
}

export const cursorPage = z.object({ 'page[size]': size, 'page[after]': text, 'page[before]': text })
export const numberedPage = z.object({ page: number, perPage: size })

/** Lists are comma-separated. */
export const runFilter = cursorPage.extend({
  'filter[status]': text,
  'filter[taskIdentifier]': text,
  'filter[tag]': text,
  'filter[version]': text,
  'filter[queue]': text,
  'filter[machine]': text,
  'filter[batch]': text,
  'filter[schedule]': text,
  'filter[bulkAction]': text,
  'filter[region]': text,
  'filter[isTest]': boolean,
  ...created,
})
export const projectRunFilter = runFilter.extend({ 'filter[env]': z.string() })
export const runChanges = z.object({ after: z.number().min(0).optional(), wait: z.number().min(0).max(30).optional() })
/** The shape protocol's; what a client adds beside them comes back and is passed over. */
export const shape = z.object({
  offset: z.string(),
  live: z.enum(['true', 'false']).optional(),
  handle: z.string().optional(),
  cursor: z.string().optional(),
  skipColumns: z.string().optional(),
})
export const runsShape = shape.extend({ tags: text, createdAt: text })
export const tokenFilter = cursorPage.extend({
  'filter[status]': text,
  'filter[tags]': text,
  'filter[idempotencyKey]': text,
  ...created,
})
export const deploymentFilter = z.object({
  'page[size]': size,
  'page[after]': text,
  status: text,
  period: text,
  from: text,
  to: text,
})
export const exportPage = z.object({
  after: text,
  limit: z.int().min(1).max(limits.exportRuns).optional(),
  variables: boolean,
})
export const importOptions = z.object({ unfinished: z.enum(['skip', 'queue']).optional() })
export const tracePage = z.object({ 'page[size]': z.int().min(1).max(10_000).optional(), 'page[after]': text })
export const queueType = z.object({ type: z.enum(['id', 'task', 'custom']).optional() })
export const rollbacks = z.object({ allowRollbacks: boolean })
export const filePath = z.object({ path: z.string() })
export const fileRemoval = filePath.extend({ recursive: boolean })
/** With `pattern`, the files beneath the folder that fit; without, what lies in it. */
export const fileFilter = z.object({
  path: text,
  pattern: text,
  hidden: boolean,
  limit: z.int().min(1).max(fileLimits.page).optional(),
  after: text,
})
export const zoneFilter = z.object({ excludeUtc: boolean })
export const projectRef = z.object({ projectRef: text })
