import { z } from 'zod'
import { parseDuration } from '../contracts/durations.ts'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { Caller, EnvironmentIdentity, ListRunsInput, RunDetail, RunStatus } from '../contracts/rpc.ts'
import { isFinalStatus, statusFilter } from '../contracts/statuses.ts'
import { replayBodySchema, tagsSchema } from '../contracts/trigger.schema.ts'
import { callerOf, type EnvironmentPrincipal } from '../operations/authenticate.ts'
import { presignPacket } from '../operations/packets.ts'
import { environmentFor, environmentSlug } from '../operations/projects.ts'
import * as runs from '../operations/runs.ts'
import { iso, presentDetail, presentListItem } from './present-run.ts'
import * as queries from './queries.ts'
import { environmentOf, isModern, originOf, queryError, readBody, requireScope, resourceOf, userOf } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'
import { scheduleOfRun } from './schedules.ts'
import { triggerContext } from './trigger.ts'

const tag = 'runs'
const retryMiss = { headers: { 'x-should-retry': 'true' } }

export function runRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: '/api/v3/runs/:runId',
      operationId: 'retrieveRun',
      summary: 'Read a run',
      response: responses.run,
      tag,
    },
    async (c) => {
      const { run, identity } = await readableRun(c)
      const schedule = run.scheduleId ? await scheduleOfRun(c.env, identity.locator, run.scheduleId) : undefined
      return c.json(await presentDetail(c.env, run, identity, originOf(c), isModern(c), schedule))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/runs',
      operationId: 'listRuns',
      query: queries.runFilter,
      summary: 'List runs',
      response: responses.runList,
      tag,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const input = listInput(c)
      if (!input.tasks) requireScope(c, principal)
      for (const task of input.tasks ?? []) requireScope(c, principal, { task })
      return answerList(c, caller, input)
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/projects/:projectRef/runs',
      operationId: 'listProjectRuns',
      query: queries.projectRunFilter,
      summary: 'List runs of a project',
      response: responses.runList,
      tag,
    },
    async (c) => {
      const user = await userOf(c)
      const word = (c.req.query('filter[env]') ?? '').split(',')[0] as string
      const slug = environmentSlug(word)
      if (!slug) throw queryError('filter[env]', 'filter[env] must be dev, staging, prod or preview')
      const access = await environmentFor(c.env, user, c.req.param('projectRef') as string, slug)
      return answerList(c, callerOf({ kind: 'environment', access }), listInput(c))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v2/runs/:runId/cancel',
      operationId: 'cancelRun',
      summary: 'Cancel a run',
      response: responses.idOnly,
      tag,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const id = c.req.param('runId') as string
      if (principal.scopes) {
        const run = await runs.getRun(c.env, caller, id)
        requireScope(c, principal, resourceOf(run))
      }
      await runs.cancelRun(c.env, caller, id)
      return c.json({ id })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/runs/:runId/replay',
      operationId: 'replayRun',
      summary: 'Replay a run',
      response: responses.idOnly,
      tag,
      body: replayBodySchema,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const body = await readBody(c, replayBodySchema, { optional: true, maxBytes: limits.triggerBodyBytes })
      const runId = c.req.param('runId') as string
      if (principal.scopes) requireScope(c, principal, resourceOf(await runs.getRun(c.env, caller, runId)))
      return c.json({ id: (await runs.replayRun(c.env, caller, runId, body, triggerContext(c, principal))).id })
    },
  )

  const rescheduleSchema = z.object({ delay: z.string() })
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/runs/:runId/reschedule',
      operationId: 'rescheduleRun',
      summary: 'Reschedule a delayed run',
      response: responses.run,
      tag,
      body: rescheduleSchema,
    },
    async (c) => {
      const { caller } = await environmentOf(c, { words: 'Invalid or missing API Key' })
      const body = await readBody(c, rescheduleSchema, { older: true })
      const run = await runs.rescheduleRun(c.env, caller, c.req.param('runId') as string, body.delay)
      return c.json(await presentDetail(c.env, run, caller.environment, originOf(c), isModern(c)))
    },
  )

  const tagsBody = z.object({ tags: tagsSchema })
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/runs/:runId/tags',
      operationId: 'addRunTags',
      summary: 'Add tags to a run',
      response: responses.message,
      tag,
      body: tagsBody,
    },
    async (c) => {
      const { caller } = await environmentOf(c, { words: 'Invalid or Missing API Key' })
      const body = await readBody(c, tagsBody, { older: true })
      const { added } = await runs.addTags(c.env, caller, c.req.param('runId') as string, body.tags)
      return c.json({ message: added > 0 ? `Successfully set ${added} new tags.` : 'No new tags to add' })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/runs/:runId/metadata',
      operationId: 'getRunMetadata',
      summary: 'Read metadata',
      response: responses.runMetadata,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c, { words: 'Invalid or Missing API Key' })
      const metadata = await runs.getMetadata(c.env, caller, c.req.param('runId') as string)
      return c.json({ metadata, metadataType: 'application/json' })
    },
  )

  route(
    app,
    {
      method: 'put',
      path: '/api/v1/runs/:runId/metadata',
      operationId: 'updateRunMetadata',
      summary: 'Change metadata',
      response: responses.runMetadata,
      tag,
      body: metadataSchema,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const body = await readBody(c, metadataSchema, { maxBytes: limits.metadataBodyBytes })
      return c.json({ metadata: await runs.updateMetadata(c.env, caller, c.req.param('runId') as string, body) })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/runs/:runId/result',
      operationId: 'getRunResult',
      summary: 'Result of a finished run',
      response: responses.runResult,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c, { words: 'Invalid or Missing API Key' })
      const missing = "Run either doesn't exist or is not finished"
      const run = await runs.getRun(c.env, caller, c.req.param('runId') as string, missing)
      if (!isFinalStatus(run.status)) throw new OperationError('NOT_FOUND', missing)
      return c.json(resultOf(run))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/runs/:runId/packets/:field{(?:payload|output)}',
      operationId: 'getRunPacket',
      summary: "Link to a run's stored payload or output",
      response: responses.presignedUrl,
      tag,
    },
    async (c) => {
      const { run, identity } = await readableRun(c)
      const packet = c.req.param('field') === 'payload' ? run.payload : run.output
      if (packet?.dataType !== 'application/store' || !packet.data) throw new OperationError('NOT_FOUND', 'Not found')
      return c.json({ presignedUrl: await presignPacket(c.env, identity, originOf(c), 'GET', packet.data) })
    },
  )
}

const operation = z.discriminatedUnion('type', [
  z.object({ type: z.literal('set'), key: z.string(), value: z.unknown() }),
  z.object({ type: z.literal('delete'), key: z.string() }),
  z.object({ type: z.literal('append'), key: z.string(), value: z.unknown() }),
  z.object({ type: z.literal('remove'), key: z.string(), value: z.unknown() }),
  z.object({ type: z.literal('increment'), key: z.string(), value: z.number() }),
  z.object({ type: z.literal('update'), value: z.record(z.string(), z.unknown()) }),
])
const metadataSchema = z.object({
  metadata: z.record(z.string(), z.unknown()).optional(),
  operations: z.array(operation).optional(),
  parentOperations: z.array(operation).optional(),
  rootOperations: z.array(operation).optional(),
})

/** A run the credential may read: full access, or a public token for the run, its task, a tag or its batch. */
export async function readableRun(
  c: Ctx,
): Promise<{ run: RunDetail; identity: EnvironmentIdentity; principal: EnvironmentPrincipal; caller: Caller }> {
  const { principal, caller } = await environmentOf(c)
  const run = await runs.getRun(c.env, caller, c.req.param('runId') as string, 'Not found', retryMiss)
  requireScope(c, principal, resourceOf(run))
  return { run, identity: principal.access.identity, principal, caller }
}

async function answerList(c: Ctx, caller: Caller, input: ListRunsInput): Promise<Response> {
  const result = await runs.listRuns(c.env, caller, input)
  const modern = isModern(c)
  return c.json({
    data: result.runs.map((run) => presentListItem(run, caller.environment, modern)),
    pagination: { ...(result.next ? { next: result.next } : {}), ...(result.previous ? { previous: result.previous } : {}) },
  })
}

function listInput(c: Ctx): ListRunsInput {
  const list = (name: string): string[] | undefined => {
    const words = c.req.query(`filter[${name}]`)?.split(',').filter(Boolean)
    return words?.length ? words : undefined
  }
  const statuses: RunStatus[] = []
  for (const word of list('status') ?? []) {
    const known = statusFilter(word)
    if (!known) throw queryError('filter[status]', `Unknown status: ${word}`)
    statuses.push(...known)
  }
  const set = <T>(key: string, value: T | undefined): Record<string, T> => (value === undefined ? {} : { [key]: value })
  const test = c.req.query('filter[isTest]')
  return {
    size: pageSize(c, 25),
    ...set('after', c.req.query('page[after]') || undefined),
    ...set('before', c.req.query('page[before]') || undefined),
    ...set('statuses', statuses.length > 0 ? [...new Set(statuses)] : undefined),
    ...set('tasks', list('taskIdentifier')),
    ...set('tags', list('tag')),
    ...set('versions', list('version')),
    ...set('queues', list('queue')),
    ...set('machines', list('machine')),
    ...set('regions', list('region')),
    ...set('bulkActionId', c.req.query('filter[bulkAction]')),
    ...set('batchId', c.req.query('filter[batch]')),
    ...set('scheduleId', c.req.query('filter[schedule]')),
    ...set('isTest', test === 'true' ? true : test === 'false' ? false : undefined),
    ...createdWindow(c, limits.listWindowMs),
  }
}

/** `period` beats `from`/`to`; without any of them the last `defaultMs`. */
export function createdWindow(c: Ctx, defaultMs?: number): { from?: number; to?: number } {
  const now = Date.now()
  const period = c.req.query('filter[createdAt][period]')
  if (period) {
    const ms = parseDuration(period)
    if (ms === undefined) throw queryError('filter[createdAt][period]', `Invalid period: ${period}`)
    return { from: now - ms }
  }
  const read = (name: string): number | undefined => {
    const text = c.req.query(`filter[createdAt][${name}]`)
    if (!text) return undefined
    const time = /^\d+$/.test(text) ? Number(text) : new Date(text).getTime()
    if (Number.isNaN(time)) throw queryError(`filter[createdAt][${name}]`, `Invalid date: ${text}`)
    return time
  }
  const [from, to] = [read('from'), read('to')]
  if (from === undefined && to === undefined) return defaultMs ? { from: now - defaultMs } : {}
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }
}

export function pageSize(c: Ctx, standard: number): number {
  const text = c.req.query('page[size]')
  if (text === undefined) return standard
  const size = Number(text)
  if (!Number.isInteger(size) || size < 1 || size > 100) throw queryError('page[size]', 'page[size] must be between 1 and 100')
  return size
}

export function resultOf(run: RunDetail): Record<string, unknown> {
  if (run.status === 'COMPLETED_SUCCESSFULLY') {
    return {
      ok: true,
      id: run.id,
      taskIdentifier: run.task,
      ...(run.output?.data === undefined ? {} : { output: run.output.data }),
      outputType: run.output?.dataType ?? 'application/json',
    }
  }
  const error = run.error ?? {
    type: 'INTERNAL_ERROR' as const,
    code: run.status === 'CANCELED' ? 'TASK_RUN_CANCELLED' : 'TASK_EXECUTION_FAILED',
    message: `Run ended ${run.status} at ${iso(run.completedAt) ?? 'an unknown time'}`,
  }
  return { ok: false, id: run.id, taskIdentifier: run.task, error }
}
