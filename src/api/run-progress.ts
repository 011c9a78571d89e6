/** What happens to a run on its way: changes to wait for, and checkpoints its code stores. */
import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import * as runs from '../operations/runs.ts'
import { currentTasks } from '../operations/tasks.ts'
import * as responses from './client-responses.ts'
import { iso, presentDetail } from './present-run.ts'
import * as queries from './queries.ts'
import { environmentOf, isModern, originOf, queryError, readText, requireScope } from './request.ts'
import { type App, type Ctx, route } from './route.ts'
import { readableRun } from './runs.ts'

const checkpoints = '/api/v1/runs/:runId/checkpoints'

export function runProgressRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: '/api/v1/runs/:runId/changes',
      operationId: 'waitForRunChange',
      query: queries.runChanges,
      summary: 'Hold the answer until a run changes',
      response: responses.runChange,
      tag: 'runs',
    },
    async (c) => {
      const { run, identity, caller } = await readableRun(c)
      const after = numberOf(c, 'after', Number.MAX_SAFE_INTEGER)
      const seconds = numberOf(c, 'wait', limits.longPollSeconds)
      const changed =
        after === undefined || run.updatedAt > after
          ? run
          : await runs.waitForRun(c.env, caller, run.id, (seconds ?? limits.longPollSeconds) * 1_000, after)
      const presented = await presentDetail(c.env, changed, identity, originOf(c), isModern(c))
      return c.json({ revision: changed.updatedAt, run: presented })
    },
  )

  route(
    app,
    {
      method: 'put',
      path: `${checkpoints}/:name`,
      operationId: 'putRunCheckpoint',
      summary: 'Store a checkpoint of a run that executes',
      response: responses.ok,
      tag: 'runs',
      body: z.unknown(),
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const text = await readText(c, limits.checkpointBytes * 2)
      let data: unknown
      try {
        data = JSON.parse(text)
      } catch {
        throw new OperationError('INVALID_REQUEST', 'Invalid JSON')
      }
      const name = c.req.param('name') as string
      return c.json(await runs.putCheckpoint(c.env, caller, c.req.param('runId') as string, name, data))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: checkpoints,
      operationId: 'listRunCheckpoints',
      summary: 'Checkpoints of a run, the oldest first',
      response: responses.checkpointList,
      tag: 'runs',
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const list = await runs.listCheckpoints(c.env, caller, c.req.param('runId') as string)
      const data = list.map(({ name, data, attempt, createdAt }) => ({
        name,
        data: JSON.parse(data),
        attempt,
        createdAt: iso(createdAt),
      }))
      return c.json({ data })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/tasks',
      operationId: 'listTasks',
      summary: 'Tasks of the current version',
      response: responses.taskList,
      tag: 'tasks',
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      requireScope(c, principal)
      const { version, tasks } = await currentTasks(c.env, caller)
      return c.json({ data: tasks, ...(version ? { version } : {}) })
    },
  )
}

function numberOf(c: Ctx, name: string, most: number): number | undefined {
  const text = c.req.query(name)
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value < 0 || value > most)
    throw queryError(name, `${name} must be a number from 0 to ${most}`)
  return value
}
