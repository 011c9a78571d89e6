import { z } from 'zod'
import { OperationError, RpcRefusal } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { QueueRecord, QueueRef } from '../contracts/objects.ts'
import { callEnvironment } from '../operations/objects.ts'
import { iso } from './present-run.ts'
import * as queries from './queries.ts'
import { environmentOf, readBody, requireScope } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'queues'
const typeSchema = z.enum(['id', 'task', 'custom']).default('id')
const overrideSchema = z
  .object({
    type: typeSchema,
    /** Zero stops the queue. */
    concurrencyLimit: z.number().int().min(0).max(limits.queueConcurrency).optional(),
    /** Of the environment's limit. */
    percent: z.number().gt(0).max(100).optional(),
  })
  .refine((body) => (body.concurrencyLimit === undefined) !== (body.percent === undefined), {
    message: 'Give either concurrencyLimit or percent',
    path: ['concurrencyLimit'],
  })
const resetSchema = z.object({ type: typeSchema })
const pauseSchema = z.object({ type: typeSchema, action: z.enum(['pause', 'resume']) })

export function queueRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: '/api/v1/queues',
      operationId: 'listQueues',
      query: queries.numberedPage,
      summary: 'List queues',
      response: responses.queueList,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const page = Math.max(1, Number(c.req.query('page') ?? 1) || 1)
      const perPage = Math.min(100, Math.max(1, Number(c.req.query('perPage') ?? 25) || 25))
      const { queues, count } = await callEnvironment(c.env, caller.environment.locator, '0', (environment) =>
        environment.listQueues(caller, { page, perPage }),
      )
      const pagination = { currentPage: page, totalPages: Math.max(1, Math.ceil(count / perPage)), count }
      return c.json({ data: queues.map(present), pagination })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/queues/:queue',
      operationId: 'retrieveQueue',
      query: queries.queueType,
      summary: 'Read a queue',
      response: responses.queue,
      tag,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      requireScope(c, principal)
      const ref = reference(c, c.req.query('type') ?? 'id')
      const queue = await found(
        callEnvironment(c.env, caller.environment.locator, '0', (environment) => environment.getQueue(caller, ref)),
      )
      return c.json(present(queue))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/queues/:queue/pause',
      operationId: 'pauseQueue',
      summary: 'Pause or resume a queue',
      response: responses.queue,
      tag,
      body: pauseSchema,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const body = await readBody(c, pauseSchema)
      const ref = reference(c, body.type)
      const queue = await found(
        callEnvironment(c.env, caller.environment.locator, '0', (environment) =>
          environment.pauseQueue(caller, ref, body.action === 'pause'),
        ),
      )
      return c.json(present(queue))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/queues/:queue/concurrency/override',
      operationId: 'overrideQueueConcurrency',
      summary: "Override a queue's concurrency limit until it is reset",
      response: responses.queue,
      tag,
      body: overrideSchema,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const { type, concurrencyLimit, percent } = await readBody(c, overrideSchema)
      const override = concurrencyLimit === undefined ? { percent: percent as number } : { limit: concurrencyLimit }
      const queue = await found(
        callEnvironment(c.env, caller.environment.locator, '0', (environment) =>
          environment.overrideQueue(caller, reference(c, type), override),
        ),
        'Queue not found',
      )
      return c.json(present(queue))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/queues/:queue/concurrency/reset',
      operationId: 'resetQueueConcurrency',
      summary: "Reset a queue's concurrency limit to what is deployed",
      response: responses.queue,
      tag,
      body: resetSchema,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const { type } = await readBody(c, resetSchema)
      const queue = await found(
        callEnvironment(c.env, caller.environment.locator, '0', (environment) =>
          environment.resetQueue(caller, reference(c, type)),
        ),
        'Queue not found',
      )
      return c.json(present(queue))
    },
  )
}

/** Slashes arrive encoded twice: decoded once by the router, then `%2F` becomes `/`. */
function reference(c: Ctx, type: string): QueueRef {
  const value = (c.req.param('queue') as string).replace(/%2F/gi, '/')
  if (type === 'task') return { by: 'name', value: value.startsWith('task/') ? value : `task/${value}` }
  return { by: type === 'custom' ? 'name' : 'id', value }
}

async function found(call: Promise<QueueRecord>, missing = 'queue-not-found'): Promise<QueueRecord> {
  try {
    return await call
  } catch (error) {
    if (error instanceof RpcRefusal && error.rpc.status === 404) throw new OperationError('NOT_FOUND', missing)
    throw error
  }
}

function present(queue: QueueRecord): Record<string, unknown> {
  const { overriddenAt, ...concurrency } = queue.concurrency
  return {
    ...queue,
    name: queue.name.replace(/^task\//, ''),
    // By whom is known upstream for overrides made in the dashboard only.
    concurrency: { ...concurrency, overriddenAt: overriddenAt === null ? null : iso(overriddenAt), overriddenBy: null },
    releaseConcurrencyOnWaitpoint: true,
  }
}
