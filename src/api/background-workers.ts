/** Workers of dev sessions: registered by the CLI when it built the code, and read by whoever triggers its tasks. */
import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { BackgroundWorkerRecord } from '../contracts/objects.ts'
import type { QueueDefinition, TaskDefinition } from '../contracts/rpc.ts'
import { branchOf } from '../operations/authenticate.ts'
import { currentWorker, isConnected, registerWorker } from '../operations/dev-sessions.ts'
import { callTask } from '../operations/objects.ts'
import { environmentFor, environmentSlug } from '../operations/projects.ts'
import { defined } from './present-run.ts'
import { bearer, environmentOf, isUserToken, originOf, readBody, userOf } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'workers'
const envParam = ':env{(?:dev|staging|stg|prod|preview)}'

const taskSchema = z.looseObject({
  id: z.string().min(1),
  filePath: z.string(),
  exportName: z.string().optional(),
  entryPoint: z.string().optional(),
})
const queueSchema = z.looseObject({ name: z.string().min(1), concurrencyLimit: z.number().nullish() })
const registerSchema = z.looseObject({
  localOnly: z.boolean(),
  metadata: z.looseObject({
    packageVersion: z.string(),
    cliPackageVersion: z.string().optional(),
    contentHash: z.string().min(1),
    runtime: z.string().optional(),
    runtimeVersion: z.string().optional(),
    tasks: z.array(taskSchema),
    queues: z.array(queueSchema).optional(),
  }),
})

export function backgroundWorkerRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/projects/:ref/background-workers',
      operationId: 'registerWorker',
      summary: 'What a dev session built becomes the current version of its environment',
      response: responses.registeredWorker,
      tag,
      body: registerSchema,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const { environment } = caller
      if (environment.projectRef !== c.req.param('ref')) throw new OperationError('NOT_FOUND', 'Project not found')
      if (environment.type !== 'DEVELOPMENT')
        throw new OperationError(
          'FORBIDDEN',
          'Only a development environment takes the worker of a dev session; deploy to others.',
        )
      const { metadata } = await readBody(c, registerSchema, { maxBytes: limits.workerBodyBytes })
      const worker = await registerWorker(
        c.env,
        caller,
        defined({
          contentHash: metadata.contentHash,
          index: {
            tasks: metadata.tasks.map((task) => ({ ...task, host: 'node' }) as unknown as TaskDefinition),
            queues: (metadata.queues ?? []) as QueueDefinition[],
            warnings: [],
          },
          runtime: metadata.runtime,
          runtimeVersion: metadata.runtimeVersion,
          sdkVersion: metadata.packageVersion,
          cliVersion: metadata.cliPackageVersion,
        }) as unknown as Parameters<typeof registerWorker>[2],
      )
      return c.json({ id: worker.id, version: worker.version, contentHash: worker.contentHash })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `/api/v1/projects/:ref/${envParam}/workers/:tagName`,
      operationId: 'getWorker',
      summary: 'The current version of an environment and its tasks',
      response: responses.worker,
      tag,
    },
    async (c) => {
      const locator = await locatorOfRoute(c)
      if (c.req.param('tagName') !== 'current')
        throw new OperationError('NOT_FOUND', 'Only the worker named current can be read.')
      const worker = await currentWorker(c.env, locator)
      const presented = worker ? presentWorker(worker) : await presentDeployed(c, locator)
      if (!presented)
        throw new OperationError('NOT_FOUND', 'This environment has no version yet: run `trigger.dev dev` or deploy.')
      const runs = `${originOf(c)}/projects/v3/${c.req.param('ref')}/runs`
      return c.json({ worker: presented, urls: { runs } })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/projects/:ref/dev-status',
      operationId: 'getDevStatus',
      summary: 'Whether a dev session of the caller is connected',
      response: responses.devStatus,
      tag,
    },
    async (c) => {
      const user = await userOf(c)
      const branch = branchOf(c.req.header('x-trigger-branch') ?? c.req.query('branch'))
      const access = await environmentFor(c.env, user, c.req.param('ref') as string, 'dev', branch)
      const caller = { environment: access.identity, keyEpoch: access.keyEpoch }
      return c.json({ isConnected: await isConnected(c.env, caller) })
    },
  )
}

/** By a personal token, or by a key of that environment. */
async function locatorOfRoute(c: Ctx): Promise<string> {
  const ref = c.req.param('ref') as string
  const slug = environmentSlug(c.req.param('env'))
  if (!slug) throw new OperationError('NOT_FOUND', 'Environment not found')
  if (isUserToken(bearer(c))) {
    const branch = branchOf(c.req.header('x-trigger-branch'))
    return (await environmentFor(c.env, await userOf(c), ref, slug, branch)).identity.locator
  }
  const { caller } = await environmentOf(c, { parentAllowed: true })
  if (caller.environment.projectRef !== ref || caller.environment.slug !== slug)
    throw new OperationError('NOT_FOUND', 'Environment not found')
  return caller.environment.locator
}

function presentWorker(worker: BackgroundWorkerRecord): Record<string, unknown> {
  const createdAt = new Date(worker.createdAt).toISOString()
  return defined({
    id: worker.id,
    version: worker.version,
    engine: 'V2',
    sdkVersion: worker.sdkVersion,
    cliVersion: worker.cliVersion,
    tasks: worker.index.tasks.map((task) => presentTask(task, createdAt)),
  })
}

async function presentDeployed(c: Ctx, locator: string): Promise<Record<string, unknown> | undefined> {
  const deployment = await callTask(c.env, locator, (task) => task.currentDeployment())
  if (!deployment?.worker) return undefined
  const createdAt = new Date(deployment.createdAt).toISOString()
  return {
    id: deployment.worker.id,
    version: deployment.version,
    engine: 'V2',
    tasks: deployment.worker.tasks.map((task) => presentTask(task, createdAt)),
  }
}

function presentTask(
  task: Pick<TaskDefinition, 'id' | 'filePath' | 'triggerSource' | 'payloadSchema' | 'queue'>,
  createdAt: string,
): Record<string, unknown> {
  return defined({
    id: task.id,
    slug: task.id,
    filePath: task.filePath,
    triggerSource: task.triggerSource === 'schedule' ? 'SCHEDULED' : 'STANDARD',
    createdAt,
    payloadSchema: task.payloadSchema,
    queueConfig: task.queue,
  })
}
