/** Declared schedules can be read; schedules made over the API answer 501 (api-surface.md §8.9). */
import { OperationError } from '../contracts/errors.ts'
import type { SchedulerObject } from '../contracts/objects.ts'
import { callScheduler } from '../operations/objects.ts'
import { iso } from './present-run.ts'
import { environmentOf } from './request.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'schedules'
const words = { words: 'Invalid or Missing API Key' } as const
type Schedule = Awaited<ReturnType<SchedulerObject['list']>>[number]

export function scheduleRoutes(app: App): void {
  route(
    app,
    { method: 'get', path: '/api/v1/schedules', operationId: 'listSchedules', summary: 'List schedules', tag },
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
    { method: 'get', path: '/api/v1/schedules/:id', operationId: 'retrieveSchedule', summary: 'Read a schedule', tag },
    async (c) => {
      const { all, present } = await schedulesOf(c)
      const schedule = all.find((one) => one.id === c.req.param('id'))
      if (!schedule) throw new OperationError('NOT_FOUND', 'Schedule not found')
      return c.json(present(schedule))
    },
  )

  const unbuilt = [
    ['post', '/api/v1/schedules', 'createSchedule'],
    ['put', '/api/v1/schedules/:id', 'updateSchedule'],
    ['delete', '/api/v1/schedules/:id', 'deleteSchedule'],
    ['post', '/api/v1/schedules/:id/activate', 'activateSchedule'],
    ['post', '/api/v1/schedules/:id/deactivate', 'deactivateSchedule'],
  ] as const
  for (const [method, path, operationId] of unbuilt) {
    route(app, { method, path, operationId, summary: 'Not built yet', tag }, async (c) => {
      await environmentOf(c, words)
      throw new OperationError(
        'NOT_IMPLEMENTED',
        'Schedules over the API are not built yet; declare them with schedules.task().',
        {
          body: { code: 'not_implemented' },
          headers: { 'x-should-retry': 'false' },
        },
      )
    })
  }
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
    generator: { type: 'CRON', expression: schedule.cron, description: schedule.cron },
    timezone: schedule.timezone,
    nextRun: schedule.active ? (iso(schedule.nextRun) ?? null) : null,
    deduplicationKey: null,
    externalId: null,
    environments: [{ id: environment.id, type: environment.type }],
  })
  return { all, present }
}
