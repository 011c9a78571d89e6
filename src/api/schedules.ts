/** Schedules (api-surface.md §8.9): secret keys only, no public tokens. An id is a schedule's id or its deduplication key. */
import { z } from 'zod'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { ScheduleRecord } from '../contracts/objects.ts'
import type { EnvironmentIdentity } from '../contracts/rpc.ts'
import {
  createSchedule,
  deleteSchedule,
  findSchedule,
  listSchedules,
  setScheduleActive,
  updateSchedule,
} from '../operations/schedules.ts'
import { describeCron } from './describe-cron.ts'
import { iso } from './present-run.ts'
import * as queries from './queries.ts'
import { environmentOf, readBody } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, type RouteSpec, route } from './route.ts'

const tag = 'schedules'
const words = { words: 'Invalid or Missing API Key' } as const
const path = '/api/v1/schedules/:id'
const text = z.string().max(limits.scheduleTextChars)
const changeBody = z.object({
  task: z.string().min(1),
  cron: text,
  externalId: text.optional(),
  timezone: z.string().max(limits.scheduleTextChars).optional(),
  window: z.string().max(limits.scheduleTextChars).optional(),
})
const createBody = changeBody.extend({ deduplicationKey: text })
const pageQuery = z.object({
  page: z.coerce.number().int().positive().default(1),
  perPage: z.coerce.number().int().positive().default(20),
})
const mostPerPage = 100

export function scheduleRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/schedules',
      operationId: 'createSchedule',
      summary: 'Create a schedule, or change the one with this deduplication key',
      response: responses.schedule,
      tag,
      body: createBody,
    },
    async (c) => {
      const identity = await identityOf(c)
      const { deduplicationKey, ...options } = await readBody(c, createBody, { older: true })
      return c.json(present(await createSchedule(c.env, identity, options, deduplicationKey), identity))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/schedules',
      operationId: 'listSchedules',
      query: queries.numberedPage,
      summary: 'List schedules',
      response: responses.scheduleList,
      tag,
    },
    async (c) => {
      const identity = await identityOf(c)
      const query = pageQuery.safeParse(c.req.query())
      if (!query.success)
        throw new OperationError('INVALID_REQUEST', 'Invalid request parameters', { body: { issues: query.error.issues } })
      const { page, perPage: asked } = query.data
      const perPage = Math.min(mostPerPage, asked)
      const { schedules, count } = await listSchedules(c.env, identity, { page, perPage })
      const pagination = { currentPage: page, totalPages: Math.max(1, Math.ceil(count / perPage)), count }
      return c.json({ data: schedules.map((schedule) => present(schedule, identity)), pagination })
    },
  )

  const one = (method: RouteSpec['method'], operationId: string, summary: string): RouteSpec => ({
    method,
    path,
    operationId,
    summary,
    response: responses.schedule,
    tag,
  })

  route(app, one('get', 'retrieveSchedule', 'Read a schedule'), async (c) => {
    const identity = await identityOf(c)
    const schedule = await findSchedule(c.env, identity.locator, reference(c))
    if (!schedule) throw new OperationError('NOT_FOUND', 'Schedule not found')
    return c.json(present(schedule, identity))
  })

  route(app, { ...one('put', 'updateSchedule', 'Change a schedule'), body: changeBody }, async (c) => {
    const identity = await identityOf(c)
    const options = await readBody(c, changeBody, { older: true })
    return c.json(present(await updateSchedule(c.env, identity, reference(c), options), identity))
  })

  route(app, { ...one('delete', 'deleteSchedule', 'Delete a schedule'), response: responses.idOnly }, async (c) => {
    const identity = await identityOf(c)
    return c.json(await deleteSchedule(c.env, identity, reference(c)))
  })

  for (const [verb, operationId, summary, active] of [
    ['activate', 'activateSchedule', 'Activate a schedule', true],
    ['deactivate', 'deactivateSchedule', 'Deactivate a schedule', false],
  ] as const) {
    route(app, { ...one('post', operationId, summary), path: `${path}/${verb}` }, async (c) => {
      const identity = await identityOf(c)
      return c.json(present(await setScheduleActive(c.env, identity, reference(c), active), identity))
    })
  }
}

/** A schedule that was removed since says nothing any more. */
export async function scheduleOfRun(env: Env, locator: string, id: string): Promise<Record<string, unknown> | undefined> {
  const found = await findSchedule(env, locator, id)
  if (!found) return undefined
  const { externalId, deduplicationKey } = found
  return {
    id,
    ...(externalId === undefined ? {} : { externalId }),
    ...(deduplicationKey === undefined ? {} : { deduplicationKey }),
    generator: generatorOf(found),
  }
}

async function identityOf(c: Ctx): Promise<EnvironmentIdentity> {
  return (await environmentOf(c, words)).caller.environment
}

function reference(c: Ctx): string {
  return c.req.param('id') as string
}

function generatorOf({ cron }: ScheduleRecord): Record<string, string> {
  return { type: 'CRON', expression: cron, description: describeCron(cron) }
}

function present(schedule: ScheduleRecord, environment: EnvironmentIdentity): Record<string, unknown> {
  return {
    id: schedule.id,
    type: schedule.type,
    task: schedule.task,
    active: schedule.active,
    generator: generatorOf(schedule),
    timezone: schedule.timezone,
    ...(schedule.window === undefined ? {} : { window: schedule.window }),
    nextRun: iso(schedule.nextRun) ?? null,
    nextRunEffectiveAt: iso(schedule.nextRunEffectiveAt) ?? null,
    deduplicationKey: schedule.deduplicationKey ?? null,
    externalId: schedule.externalId ?? null,
    environments: [{ id: environment.id, type: environment.type }],
  }
}
