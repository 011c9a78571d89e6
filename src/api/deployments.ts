/** Deploying with the unmodified CLI, and reading deployments (cli-engine-protocol.md §9, api-surface.md §9.6). */
import { z } from 'zod'
import { parseDuration } from '../contracts/durations.ts'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { DeploymentRecord } from '../contracts/objects.ts'

import * as deployments from '../operations/deployments.ts'
import { callTask } from '../operations/objects.ts'
import { openLink } from '../operations/packets.ts'
import { defined, iso } from './present-run.ts'
import * as queries from './queries.ts'
import { environmentOf, linkKey, originOf, queryError, readBody, requireScope, runCallerOf } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'deployments'
const imagePlatform = 'linux/amd64'

const artifactSchema = z.object({
  type: z.enum(['deployment_context', 'deployment_bundle']).default('deployment_bundle'),
  contentType: z.string().optional(),
  contentLength: z.number().int().nonnegative(),
})
const initializeSchema = z
  .object({
    contentHash: z.string().default('-'),
    artifactKey: z.string().optional(),
    isNativeBuild: z.boolean().optional(),
    fromBundle: z.boolean().optional(),
    skipPromotion: z.boolean().optional(),
    runtime: z.string().nullish(),
    externalId: z.string().trim().max(limits.externalIdChars).nullish(),
    force: z.boolean().optional(),
    gitMeta: z.record(z.string(), z.unknown()).nullish(),
  })
  .loose()

const useNewCli = 'This platform runs bundles the CLI builds locally. Deploy with: npx trigger.dev@4.8.3 deploy'

export function deploymentRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/artifacts',
      operationId: 'createArtifact',
      summary: 'Where to upload a bundle',
      response: responses.artifact,
      tag,
      body: artifactSchema,
    },
    async (c) => {
      const { caller } = await deployer(c)
      const body = await readBody(c, artifactSchema)
      if (body.type !== 'deployment_bundle') throw new OperationError('INVALID_REQUEST', useNewCli)
      return c.json(await deployments.createArtifact(c.env, caller.environment, originOf(c), body.contentLength))
    },
  )

  route(
    app,
    { method: 'post', path: '/uploads/*', operationId: 'uploadArtifact', summary: 'Target of a signed upload', tag, open: true },
    async (c) => {
      const url = new URL(c.req.url)
      const key = linkKey(c, '/uploads/')
      const link = await openLink(c.env, 'POST', key, url.searchParams)
      if (!link) throw new OperationError('FORBIDDEN', 'The upload link is not valid or has expired.')
      const body = c.req.raw.body
      if (!body) throw new OperationError('INVALID_REQUEST', 'Request body is empty')
      if (await c.env.BUCKET.head(key))
        throw new OperationError('CONFLICT', 'This upload was already made.', { headers: { 'x-should-retry': 'false' } })
      await deployments.storeUpload(c.env, key, link.maxBytes, c.req.header('content-type') ?? '', body)
      return c.body(null, 204)
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/deployments',
      operationId: 'createDeployment',
      summary: 'Deploy an uploaded bundle',
      response: responses.newDeployment,
      tag,
      body: initializeSchema,
    },
    async (c) => {
      const { caller } = await deployer(c)
      const body = await readBody(c, initializeSchema)
      if (!body.artifactKey) throw new OperationError('INVALID_REQUEST', useNewCli)
      const exports = (c.executionCtx as unknown as { exports: deployments.DeployExports }).exports
      const result = await deployments.deploy(c.env, exports, caller.environment, {
        contentHash: body.contentHash,
        artifactKey: body.artifactKey,
        skipPromotion: body.skipPromotion ?? false,
        force: body.force ?? false,
        ...(body.externalId ? { externalId: body.externalId } : {}),
        ...(body.runtime ? { runtime: body.runtime } : {}),
        ...(body.gitMeta ? { git: body.gitMeta } : {}),
      })
      if (!result.ok) throw new OperationError('UNPROCESSABLE', result.message, { body: { code: result.code } })
      const { deployment } = result
      return c.json({
        id: deployment.id,
        contentHash: deployment.contentHash,
        shortCode: deployment.shortCode,
        version: deployment.version,
        imageTag: `isolate/${caller.environment.projectRef}:${deployment.version}`,
        imagePlatform,
        ...(deployment.externalId ? { externalId: deployment.externalId } : {}),
        outcome: result.isExisting ? 'existing' : 'created',
        isPromoted: deployment.isCurrent,
      })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/deployments',
      operationId: 'listDeployments',
      query: queries.deploymentFilter,
      summary: 'List deployments',
      response: responses.deploymentList,
      tag,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      requireScope(c, principal)
      const size = Math.min(100, Math.max(5, Number(c.req.query('page[size]') ?? 20) || 20))
      const period = c.req.query('period')
      const periodMs = period ? parseDuration(period) : undefined
      const [from, to] = [dateQuery(c, 'from'), dateQuery(c, 'to')]
      const list = await callTask(c.env, caller.environment.locator, (task) =>
        task.listDeployments({
          size,
          ...(c.req.query('page[after]') ? { after: c.req.query('page[after]') as string } : {}),
          ...(c.req.query('status') ? { status: c.req.query('status') as string } : {}),
          ...(periodMs ? { from: Date.now() - periodMs } : { ...(from ? { from } : {}), ...(to ? { to } : {}) }),
        }),
      )
      return c.json({ data: list.deployments.map(presentItem), pagination: list.next ? { next: list.next } : {} })
    },
  )

  for (const [path, operationId] of [
    ['current', 'getCurrentDeployment'],
    ['latest', 'getLatestDeployment'],
  ] as const) {
    route(
      app,
      {
        method: 'get',
        path: `/api/v1/deployments/${path}`,
        operationId,
        summary: `The ${path} deployment`,
        response: path === 'current' ? responses.deploymentItem : responses.deployment,
        tag,
      },
      async (c) => {
        const { principal, caller } = await environmentOf(c)
        requireScope(c, principal)
        const found =
          path === 'current'
            ? await callTask(c.env, caller.environment.locator, (task) => task.currentDeployment())
            : (await callTask(c.env, caller.environment.locator, (task) => task.listDeployments({ size: 1 }))).deployments[0]
        if (!found) throw new OperationError('NOT_FOUND', 'Deployment not found')
        return c.json(path === 'current' ? presentItem(found) : presentDetail(found))
      },
    )
  }

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/deployments/:deploymentId',
      operationId: 'getDeployment',
      summary: 'Read a deployment',
      response: responses.deployment,
      tag,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      requireScope(c, principal)
      const found = await callTask(c.env, caller.environment.locator, (task) =>
        task.getDeployment(c.req.param('deploymentId') as string),
      )
      if (!found) throw new OperationError('NOT_FOUND', 'Deployment not found')
      return c.json(presentDetail(found))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/deployments/:version/promote',
      operationId: 'promoteDeployment',
      query: queries.rollbacks,
      summary: 'Make a version current',
      response: responses.promoted,
      tag,
    },
    async (c) => {
      const { caller } = await deployer(c)
      const rollbacks = c.req.query('allowRollbacks') !== 'false'
      const done = await deployments.promoteDeployment(c.env, caller.environment, c.req.param('version') as string, rollbacks)
      return c.json({ id: done.id, version: done.version, shortCode: done.shortCode })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/remote-build-provider-status',
      operationId: 'remoteBuildStatus',
      summary: 'Remote builds',
      tag,
    },
    async (c) => {
      await environmentOf(c, { parentAllowed: true })
      return c.json({ status: 'operational', message: 'Bundles are built locally by the CLI; there are no remote builds.' })
    },
  )
}

/** Task code may not change what runs. */
async function deployer(c: Ctx): ReturnType<typeof environmentOf> {
  if (runCallerOf(c)) throw new OperationError('FORBIDDEN', 'Deploying from inside a run is not possible.')
  return environmentOf(c)
}

function presentItem(record: DeploymentRecord): Record<string, unknown> {
  return defined({
    id: record.id,
    createdAt: iso(record.createdAt),
    shortCode: record.shortCode,
    version: record.version,
    // SDK 4.0 wants strings here.
    runtime: record.runtime ?? 'node',
    runtimeVersion: record.runtimeVersion ?? '',
    status: record.status,
    deployedAt: iso(record.deployedAt),
    git: record.git,
    externalId: record.externalId,
    error: record.error,
  })
}

function presentDetail(record: DeploymentRecord): Record<string, unknown> {
  return defined({
    id: record.id,
    status: record.status,
    contentHash: record.contentHash,
    shortCode: record.shortCode,
    version: record.version,
    imagePlatform,
    errorData: record.error,
    worker: record.worker && {
      id: record.worker.id,
      version: record.worker.version,
      tasks: record.worker.tasks.map((task) => ({ ...task, exportName: task.exportName ?? '@deprecated' })),
    },
  })
}

function dateQuery(c: Ctx, name: string): number | undefined {
  const text = c.req.query(name)
  if (!text) return undefined
  const time = new Date(text).getTime()
  if (Number.isNaN(time)) throw queryError(name, `Invalid date: ${text}`)
  return time
}
