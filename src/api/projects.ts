/** What the CLI asks before and around a deploy (cli-engine-protocol.md §2, §10). */
import { z } from 'zod'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import type { EnvironmentAccess, ProjectSummary } from '../contracts/objects.ts'
import type { EnvironmentSlug } from '../contracts/rpc.ts'
import { authenticate, branchOf } from '../operations/authenticate.ts'
import { callDirectory, callProject, callTask } from '../operations/objects.ts'
import {
  archiveBranch,
  createProject,
  environmentFor,
  environmentSlug,
  pauseEnvironment,
  projectByRef,
  renameProject,
  rotateKey,
  upsertBranch,
} from '../operations/projects.ts'
import { iso } from './present-run.ts'
import * as queries from './queries.ts'
import { bearer, environmentOf, isUserToken, originOf, readBody, userOf } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'projects'
const profileSchema = z.object({ name: z.string().trim().min(3).max(50) })
const envParam = ':env{(?:dev|staging|stg|prod|preview)}'

export function projectRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: '/api/v2/whoami',
      operationId: 'whoami',
      query: queries.projectRef,
      summary: 'Who the token belongs to',
      response: responses.whoami,
      tag,
    },
    async (c) => {
      const user = await userOf(c)
      const ref = c.req.query('projectRef')
      const summary = ref
        ? await callDirectory(c.env, (directory) => directory.listProjects(user.userId)).then((all) =>
            all.find((one) => one.ref === ref),
          )
        : undefined
      const origin = originOf(c)
      return c.json({
        userId: user.userId,
        email: user.email,
        dashboardUrl: origin,
        ...(summary
          ? { project: { name: summary.name, url: `${origin}/projects/v3/${summary.ref}`, orgTitle: summary.organizationTitle } }
          : {}),
      })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/platform-notifications',
      operationId: 'platformNotifications',
      summary: 'Notices for the CLI',
      tag,
    },
    async (c) => {
      await userOf(c)
      return c.json({ notification: null })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/projects',
      operationId: 'listProjects',
      summary: 'List projects',
      response: z.array(responses.project),
      tag,
    },
    async (c) => {
      const user = await userOf(c)
      const all = await callDirectory(c.env, (directory) => directory.listProjects(user.userId))
      return c.json(all.map(presentProject))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/projects/runtimes',
      operationId: 'listProjectRuntimes',
      summary: "What each project's production runs on",
      response: responses.projectRuntimes,
      tag,
    },
    async (c) => {
      const user = await userOf(c)
      const all = await callDirectory(c.env, (directory) => directory.listProjects(user.userId))
      return c.json(await Promise.all(all.map((summary) => runtimeOf(c.env, summary))))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/profile/complete',
      operationId: 'completeProfile',
      summary: 'A name for somebody who has none; who is known here has one, and keeps it',
      response: responses.completedProfile,
      tag,
      body: profileSchema,
    },
    async (c) => {
      await userOf(c)
      await readBody(c, profileSchema)
      return c.json({ updated: false })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/orgs',
      operationId: 'listOrganizations',
      summary: 'List organizations',
      response: responses.organizationList,
      tag,
    },
    async (c) => {
      const user = await userOf(c)
      return c.json([
        {
          id: user.organizationId,
          title: user.organizationTitle,
          slug: user.organizationSlug,
          createdAt: new Date(user.createdAt).toISOString(),
        },
      ])
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/orgs',
      operationId: 'createOrganization',
      summary: 'Not possible: each owner has one organization; the CLI has words of its own for this 404',
      status: 404,
      tag,
    },
    async (c) => {
      await userOf(c)
      throw new OperationError('NOT_FOUND', 'Organizations cannot be created here: each owner has one.')
    },
  )

  const nameSchema = z.object({ name: z.string().min(1) })
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/orgs/:org/projects',
      operationId: 'createProject',
      summary: 'Create a project',
      response: responses.project,
      tag,
      body: nameSchema,
    },
    async (c) => {
      const user = await userOf(c)
      const { name } = await readBody(c, nameSchema)
      return c.json(presentProject(await createProject(c.env, user, name)))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/projects/:ref',
      operationId: 'getProject',
      summary: 'Read a project',
      response: responses.project,
      tag,
    },
    async (c) => {
      const user = await userOf(c)
      return c.json(presentProject(await projectByRef(c.env, user, c.req.param('ref') as string)))
    },
  )

  const renameSchema = z.object({ name: z.string().trim().min(1).max(255) })
  route(
    app,
    {
      method: 'patch',
      path: '/api/v1/projects/:ref',
      operationId: 'renameProject',
      summary: 'Rename a project',
      response: responses.project,
      tag,
      body: renameSchema,
    },
    async (c) => {
      const user = await userOf(c)
      const { name } = await readBody(c, renameSchema)
      return c.json(presentProject(await renameProject(c.env, user, c.req.param('ref') as string, name)))
    },
  )

  const branchSchema = z.object({
    branch: z.string().min(1).max(255),
    env: z.enum(['preview', 'development']).default('preview'),
    git: z.record(z.string(), z.unknown()).optional(),
  })
  const branchPath = '/api/v1/projects/:ref/branches'
  route(
    app,
    {
      method: 'post',
      path: branchPath,
      operationId: 'upsertBranch',
      summary: 'Create or update a branch',
      response: responses.idOnly,
      tag,
      body: branchSchema,
    },
    async (c) => {
      const user = await userOf(c)
      const body = await readBody(c, branchSchema)
      const name = branchOf(body.branch)
      if (!name) throw new OperationError('INVALID_REQUEST', `Invalid branch name: ${body.branch}`)
      const slug = body.env === 'preview' ? 'preview' : 'dev'
      return c.json(await upsertBranch(c.env, user, c.req.param('ref') as string, slug, name, body.git))
    },
  )
  route(
    app,
    {
      method: 'post',
      path: `${branchPath}/archive`,
      operationId: 'archiveBranch',
      summary: 'Archive a branch',
      response: responses.archivedBranch,
      tag,
      body: branchSchema,
    },
    async (c) => {
      const user = await userOf(c)
      const body = await readBody(c, branchSchema)
      const slug = body.env === 'preview' ? 'preview' : 'dev'
      const name = branchOf(body.branch) ?? body.branch
      const branch = await archiveBranch(c.env, user, c.req.param('ref') as string, slug, name)
      return c.json({ branch })
    },
  )
  route(
    app,
    {
      method: 'get',
      path: branchPath,
      operationId: 'listBranches',
      summary: 'List branches',
      response: responses.branchList,
      tag,
    },
    async (c) => {
      const user = await userOf(c)
      const summary = await projectByRef(c.env, user, c.req.param('ref') as string)
      const branches = await callProject(c.env, summary.id, (project) => project.listBranches())
      return c.json({
        branches: branches.map((branch) => ({
          ...branch,
          createdAt: new Date(branch.createdAt).toISOString(),
          updatedAt: new Date(branch.updatedAt).toISOString(),
        })),
      })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `/api/v1/projects/:ref/${envParam}`,
      operationId: 'getProjectEnvironment',
      summary: 'Key and address of an environment',
      response: responses.environmentKey,
      tag,
    },
    async (c) => {
      const ref = c.req.param('ref') as string
      const slug = environmentSlug(c.req.param('env'))
      if (!slug) throw new OperationError('NOT_FOUND', 'Environment not found')
      const token = bearer(c)
      const principal = token && isUserToken(token) ? await authenticate(c.env, token, undefined) : undefined
      if (principal?.kind === 'user') {
        // The parent's key, whatever the branch: branches share it and are chosen by header.
        const access = await environmentFor(c.env, principal, ref, slug)
        return c.json(presentEnvironment(c, access))
      }
      const { principal: key } = await environmentOf(c, { parentAllowed: true })
      const { identity } = key.access
      if (identity.projectRef !== ref) throw new OperationError('NOT_FOUND', 'Project not found')
      if (identity.slug !== slug) throw new OperationError('NOT_FOUND', 'Environment not found')
      // A key in its grace period gets itself back, as upstream.
      return c.json(presentEnvironment(c, key.access, token))
    },
  )

  const rotateSchema = z.object({ revokeNow: z.boolean().default(false) })
  route(
    app,
    {
      method: 'post',
      path: `/api/v1/projects/:ref/${envParam}/regenerate-api-key`,
      operationId: 'regenerateKey',
      summary: 'A new secret key; the old one works for 24 hours, or not any more with revokeNow',
      response: responses.environmentKey,
      tag,
      body: rotateSchema,
    },
    async (c) => {
      const user = await userOf(c)
      const { revokeNow } = await readBody(c, rotateSchema, { optional: true })
      const slug = environmentSlug(c.req.param('env')) as EnvironmentSlug
      return c.json(presentEnvironment(c, await rotateKey(c.env, user, c.req.param('ref') as string, slug, revokeNow)))
    },
  )

  for (const [word, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    route(
      app,
      {
        method: 'post',
        path: `/api/v1/projects/:ref/${envParam}/${word}`,
        operationId: `${word}Environment`,
        summary: paused
          ? 'Let no run of an environment start or go on; what executes ends'
          : 'Let the runs of an environment go on',
        response: responses.environmentPause,
        tag,
      },
      async (c) => {
        const user = await userOf(c)
        const slug = environmentSlug(c.req.param('env')) as EnvironmentSlug
        const branch = branchOf(c.req.header('x-trigger-branch'))
        await pauseEnvironment(c.env, user, c.req.param('ref') as string, slug, branch, paused)
        return c.json({ paused, state: paused ? 'paused' : 'resumed' })
      },
    )
  }

  route(
    app,
    {
      method: 'get',
      path: `/api/v1/projects/:ref/${envParam}/deploy-settings`,
      operationId: 'getDeploySettings',
      summary: 'How the CLI builds',
      response: responses.deploySettings,
      tag,
    },
    async (c) => {
      await environmentOf(c, { parentAllowed: true })
      return c.json({ build_path: 'native_local_bundle' })
    },
  )
}

async function runtimeOf(env: Env, summary: ProjectSummary): Promise<Record<string, unknown>> {
  const access = await callProject(env, summary.id, (project) => project.environment('prod'))
  const current = access && (await callTask(env, access.identity.locator, (task) => task.currentDeployment()))
  return {
    organization: { title: summary.organizationTitle, slug: summary.organizationSlug },
    project: { name: summary.name, slug: summary.slug, externalRef: summary.ref },
    environment: { slug: 'prod' },
    deployment: current && {
      runtime: current.runtime ?? null,
      runtimeVersion: current.runtimeVersion ?? null,
      nodeMajor: null,
      deployedAt: iso(current.deployedAt) ?? null,
      shortCode: current.shortCode,
    },
  }
}

function presentEnvironment(c: Ctx, { identity, apiKey }: EnvironmentAccess, used?: string): Record<string, unknown> {
  return { apiKey: used ?? apiKey, name: identity.projectName, apiUrl: originOf(c), projectId: identity.projectId }
}

function presentProject(summary: ProjectSummary): Record<string, unknown> {
  const createdAt = new Date(summary.createdAt).toISOString()
  return {
    id: summary.id,
    externalRef: summary.ref,
    name: summary.name,
    slug: summary.slug,
    createdAt,
    organization: { id: summary.organizationId, title: summary.organizationTitle, slug: summary.organizationSlug, createdAt },
  }
}
