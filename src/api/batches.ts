import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import { batchStatus, isFinalStatus } from '../contracts/statuses.ts'
import { batchBodySchema, createBatchSchema, indexedItemSchema, triggerBodySchema } from '../contracts/trigger.schema.ts'
import type { EnvironmentPrincipal } from '../operations/authenticate.ts'
import * as batches from '../operations/batches.ts'
import { getRun } from '../operations/runs.ts'
import { notBuilt } from '../operations/trigger-options.ts'
import { linesOf } from './lines.ts'
import { defined, iso } from './present-run.ts'
import { grantUploads, spendBatch } from './rate-limit.ts'
import { environmentOf, readBody, requireScope, runCallerOf, tokenHeaders, validationText } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'
import { resultOf } from './runs.ts'
import { requireParent, triggerContext } from './trigger.ts'

const tag = 'batches'

export function batchRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/tasks/batch',
      operationId: 'batchTriggerV1',
      summary: 'Trigger many tasks (3.3)',
      response: responses.batchV1,
      status: 202,
      tag,
      body: batchBodySchema,
    },
    async (c) => {
      const { principal, body, caller } = await openBatch(c)
      const idempotencyKey = c.req.header('idempotency-key')
      const shared = parentOf(body)
      const { batch, runs } = await batches.batchTrigger(
        c.env,
        caller,
        body.items,
        { ...shared, ...(idempotencyKey ? { idempotencyKey } : {}) },
        triggerContext(c, principal),
      )
      const answer = { id: batch.id, isCached: batch.isCached, ...(idempotencyKey ? { idempotencyKey } : {}), runs }
      return c.json(answer, 202, await batchHeaders(c, principal, batch.id))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v2/tasks/batch',
      operationId: 'batchTriggerV2',
      summary: 'Trigger many tasks (4.0)',
      response: responses.batchV2,
      status: 202,
      tag,
      body: batchBodySchema,
    },
    async (c) => {
      const { principal, body, caller } = await openBatch(c)
      const { batch } = await batches.batchTrigger(c.env, caller, body.items, parentOf(body), triggerContext(c, principal))
      return c.json({ id: batch.id, runCount: body.items.length }, 202, await batchHeaders(c, principal, batch.id))
    },
  )

  const taskBatchSchema = z.object({ items: z.array(triggerBodySchema).min(1).max(limits.batchItemsOfTask) })
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/tasks/:taskId/batch',
      operationId: 'batchTriggerTask',
      summary: 'Trigger one task many times',
      response: responses.batchOfTask,
      tag,
      body: taskBatchSchema,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const task = c.req.param('taskId') as string
      const body = await readBody(c, taskBatchSchema, { maxBytes: limits.triggerBodyBytes })
      spendBatch(c, caller, body.items.length)
      const items = body.items.map((item) => ({ ...item, task }))
      const { batch, runs } = await batches.batchTrigger(c.env, caller, items, {}, triggerContext(c, principal))
      return c.json({ batchId: batch.id, runs: runs.map((run) => run.id) })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v3/batches',
      operationId: 'createBatch',
      summary: 'Create a batch',
      response: responses.createdBatch,
      status: 202,
      tag,
      body: createBatchSchema,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const body = await readBody(c, createBatchSchema, { maxBytes: limits.batchCreateBodyBytes })
      if (!body.taskIdentifiers?.length) requireScope(c, principal)
      for (const task of body.taskIdentifiers ?? []) requireScope(c, principal, { task })
      if (body.runCount > limits.batchItemsV3) throw tooMany(body.runCount, limits.batchItemsV3)
      requireParent(principal, body.parentRunId)
      spendBatch(c, caller, body.runCount)
      const { requestKey, oneTimeToken } = triggerContext(c, principal)
      // No transport idempotency here: upstream keys on the body's key only (api-surface.md §1.10). From inside a run the key is
      // ours and says which call of the attempt it is: an attempt that starts again finds its batch.
      const batch = await batches.createBatch(
        c.env,
        caller,
        { runCount: body.runCount, ...parentOf(body), ...(body.idempotencyKey ? { idempotencyKey: body.idempotencyKey } : {}) },
        { ...(runCallerOf(c) && requestKey ? { requestKey } : {}), ...(oneTimeToken ? { oneTimeToken } : {}) },
      )
      grantUploads(batch.id)
      const answer = defined({
        id: batch.id,
        runCount: batch.runCount,
        isCached: batch.isCached,
        idempotencyKey: batch.idempotencyKey ?? body.idempotencyKey,
      })
      return c.json(answer, batch.isCached ? 200 : 202, await batchHeaders(c, principal, batch.id))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v3/batches/:batchId/items',
      operationId: 'addBatchItems',
      summary: 'Stream the items of a batch',
      response: responses.batchItems,
      tag,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const type = c.req.header('content-type') ?? ''
      if (!/application\/(x-)?ndjson/.test(type)) {
        throw new OperationError('UNSUPPORTED_MEDIA_TYPE', 'Content-Type must be application/x-ndjson or application/ndjson')
      }
      const id = c.req.param('batchId') as string
      if (!c.req.raw.body) throw new OperationError('INVALID_REQUEST', 'Request body is empty')
      const sender = new batches.ItemSender(c.env, caller, id, triggerContext(c, principal))
      const record = await batches.getBatch(c.env, caller, id).catch((error) => {
        if (error instanceof OperationError && error.code === 'NOT_FOUND')
          throw new OperationError('UNPROCESSABLE', `Batch ${id} not found`)
        throw error
      })
      if (record.status === 'ABORTED')
        throw new OperationError('UNPROCESSABLE', `Batch ${id} is not in PENDING status (current: ABORTED)`)
      let lineNumber = 0
      const place = (index: number, task: string): void => {
        if (index >= record.runCount) {
          throw new OperationError('UNPROCESSABLE', `Item index ${index} exceeds batch runCount ${record.runCount}`)
        }
        requireScope(c, principal, { batch: id, task })
      }
      for await (const { text, isWhole } of linesOf(c.req.raw.body)) {
        lineNumber++
        if (!isWhole) {
          const head = batches.readItemHead(text)
          if (!head) throw new OperationError('INVALID_REQUEST', `Invalid JSON at line ${lineNumber}`)
          place(head.index, head.task)
          const message = `The item is larger than the limit of ${limits.batchItemBytes} bytes`
          await sender.refuse(head.index, head.task, 'PAYLOAD_TOO_LARGE', message)
          continue
        }
        let json: unknown
        try {
          json = JSON.parse(text)
        } catch {
          throw new OperationError('INVALID_REQUEST', `Invalid JSON at line ${lineNumber}`)
        }
        const parsed = indexedItemSchema.safeParse(json)
        const index = (json as { index?: unknown } | null)?.index
        if (!parsed.success)
          throw new OperationError('UNPROCESSABLE', `Invalid item at index ${String(index)}: ${validationText(parsed.error)}`)
        place(parsed.data.index, parsed.data.task)
        requireParent(principal, parsed.data.options?.parentRunId)
        await sender.add(parsed.data)
      }
      if (lineNumber === 0) throw new OperationError('INVALID_REQUEST', 'Request body is empty')
      return c.json({ id, ...(await sender.finish()), runCount: record.runCount })
    },
  )

  for (const version of ['v1', 'v2'] as const) {
    route(
      app,
      {
        method: 'get',
        path: `/api/${version}/batches/:batchId`,
        operationId: `retrieveBatch${version.toUpperCase()}`,
        response: version === 'v1' ? responses.readBatchV1 : responses.readBatchV2,
        summary: 'Read a batch',
        tag,
      },
      async (c) => {
        const { principal, caller } = await environmentOf(c)
        const id = c.req.param('batchId') as string
        requireScope(c, principal, { batch: id })
        const record = await batches.getBatch(c.env, caller, id)
        const errors = record.errors
        const common = defined({
          id: record.id,
          status: batchStatus(record.status, c.req.header('trigger-version')),
          idempotencyKey: record.idempotencyKey,
          createdAt: iso(record.createdAt),
          updatedAt: iso(record.updatedAt),
          runCount: record.runCount,
          runs: record.runs,
        })
        const completedAt = iso(record.processingCompletedAt)
        if (version === 'v1') return c.json({ ...common, ...(errors.length > 0 ? { errors } : {}) })
        return c.json({
          ...common,
          processing: defined({ completedAt, errors }),
          ...(completedAt ? { processingCompletedAt: completedAt } : {}),
        })
      },
    )
  }

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/batches/:batchId/results',
      operationId: 'getBatchResults',
      summary: 'Results of finished runs',
      response: responses.batchResults,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c, { words: 'Invalid or Missing API Key' })
      const id = c.req.param('batchId') as string
      const record = await batches.getBatch(c.env, caller, id)
      const items: Record<string, unknown>[] = []
      for (const runId of record.runs) {
        const run = await getRun(c.env, caller, runId)
        if (isFinalStatus(run.status)) items.push(resultOf(run))
      }
      return c.json({ id, items })
    },
  )
}

async function openBatch(c: Ctx): Promise<{ body: z.infer<typeof batchBodySchema> } & Awaited<ReturnType<typeof environmentOf>>> {
  const { principal, caller } = await environmentOf(c)
  const body = await readBody(c, batchBodySchema, { maxBytes: limits.batchBodyBytes })
  if (body.items.length === 0) throw new OperationError('INVALID_REQUEST', 'A batch must have at least one item.')
  if (body.items.length > limits.batchItemsV1) throw tooMany(body.items.length, limits.batchItemsV1)
  for (const { task, options } of body.items) {
    requireScope(c, principal, { task })
    requireParent(principal, options?.parentRunId)
  }
  requireParent(principal, body.parentRunId)
  if (body.dependentAttempt) throw notBuilt('dependentAttempt (a wait from inside a run of SDK 3)')
  spendBatch(c, caller, body.items.length)
  return { principal, caller, body }
}

function tooMany(count: number, most: number): OperationError {
  return new OperationError('INVALID_REQUEST', `Batch size of ${count} is too large. Maximum allowed batch size is ${most}.`)
}

function parentOf(body: { parentRunId?: string | undefined; resumeParentOnCompletion?: boolean | undefined }): {
  parentRunId?: string
  resumeParentOnCompletion?: boolean
} {
  if (!body.parentRunId) return {}
  return { parentRunId: body.parentRunId, ...(body.resumeParentOnCompletion ? { resumeParentOnCompletion: true } : {}) }
}

function batchHeaders(c: Ctx, principal: EnvironmentPrincipal, id: string): Promise<Record<string, string>> {
  const scopes = [`read:batch:${id}`]
  if (c.req.header('x-trigger-client') === 'browser') scopes.push(`write:batch:${id}`)
  return tokenHeaders(principal, scopes, 3_600, false)
}
