/** Declared schedules can be read; schedules made over the API answer 501 (api-surface.md §8.9). */
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import type { SchedulerObject } from '../contracts/objects.ts'
import { callScheduler } from '../operations/objects.ts'
import { describeCron } from './describe-cron.ts'
import { iso } from './present-run.ts'
import * as queries from './queries.ts'
import { environmentOf } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'schedules'
const words = { words: 'Invalid or Missing API Key' } as const
type Schedule = Awaited<ReturnType<SchedulerObject['list']>>[number]

export function scheduleRoutes(app: App): void {
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
      const { all, present } = await schedulesOf(c)
      const page = Math.max(1, Number(c.req.query('page') ?? 1) || 1)
      const perPage = Math.min(100, Math.max(1, Number(c.req.query('perPage') ?? 20) || 20))
      const pagination = { currentPage: page, totalPages: Math.max(1, Math.ceil(all.length / perPage)), count: all.length }
      return c.json({ data: all.slice((page - 1) * perPage, page * perPage).map(present), pagination })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/schedules/:id',
      operationId: 'retrieveSchedule',
      summary: 'Read a schedule',
      response: responses.schedule,
      tag,
    },
    async (c) => {
      const { all, present } = await schedulesOf(c)
      const schedule = all.find((one) => one.id === c.req.param('id'))
      if (!schedule) throw new OperationError('NOT_FOUND', 'Schedule not found')
      return c.json(present(schedule))
    },
  )
}

/** A schedule that was removed since says nothing any more. */
export async function scheduleOfRun(env: Env, locator: string, id: string): Promise<Record<string, unknown> | undefined> {
  const all = await callScheduler(env, locator, (scheduler) => scheduler.list())
  const found = all.find((schedule) => schedule.id === id)
  return found && { id, generator: generatorOf(found) }
}

function generatorOf({ cron }: Schedule): Record<string, string> {
  return { type: 'CRON', expression: cron, description: describeCron(cron) }
}

async function schedulesOf(c: Ctx): Promise<{ all: Schedule[]; present: (schedule: Schedule) => Record<string, unknown> }> {
  const { caller } = await environmentOf(c, words)
  const { environment } = caller
  const all = await callScheduler(c.env, environment.locator, (scheduler) => scheduler.list())
  const present = (schedule: Schedule): Record<string, unknown> => ({
    id: schedule.id,
    type: 'DECLARATIVE',
    task: schedule.task,
    active: schedule.active,
    generator: generatorOf(schedule),
    timezone: schedule.timezone,
    nextRun: iso(schedule.nextRun) ?? null,
    nextRunEffectiveAt: iso(schedule.nextRun) ?? null,
    deduplicationKey: null,
    externalId: null,
    environments: [{ id: environment.id, type: environment.type }],
  })
  return { all, present }
}
