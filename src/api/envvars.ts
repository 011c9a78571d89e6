/** Environment variables by key or by personal token (api-surface.md §9.5). */
import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import type { EnvironmentIdentity } from '../contracts/rpc.ts'
import { authenticate, branchOf } from '../operations/authenticate.ts'
import { variablesOf } from '../operations/deployments.ts'
import { processVariables } from '../operations/dev-sessions.ts'
import { callProject } from '../operations/objects.ts'
import { environmentFor, environmentSlug } from '../operations/projects.ts'
import { bearer, environmentOf, isUserToken, originOf, readBody, readText } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'envvars'
const base = '/api/v1/projects/:ref/envvars'
const namePattern = /^\w+$/
/** The platform sets these itself. */
const reserved = new Set(['TRIGGER_SECRET_KEY', 'TRIGGER_API_URL'])

const createSchema = z.object({ name: z.string(), value: z.string(), isSecret: z.boolean().optional() })
const updateSchema = z.object({ value: z.string() })
const importSchema = z.object({
  variables: z.record(z.string(), z.string()),
  parentVariables: z.record(z.string(), z.string()).optional(),
  override: z.boolean().default(false),
  isSecret: z.boolean().optional(),
  source: z.unknown().optional(),
})

export function environmentVariableRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: base,
      operationId: 'getWorkerVariables',
      summary: 'Variables with values, for workers',
      response: responses.workerVariables,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const identity = caller.environment
      if (identity.projectRef !== c.req.param('ref')) throw new OperationError('NOT_FOUND', 'Project not found')
      const own = await processVariables(c.env, originOf(c), identity, caller.keyEpoch)
      return c.json({ variables: { ...own, ...(await variablesOf(c.env, identity)) } })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${base}/:env/import`,
      operationId: 'importVariables',
      summary: 'Set many variables',
      response: responses.success,
      tag,
      body: importSchema,
    },
    async (c) => {
      const identity = await target(c)
      const body = (c.req.header('content-type') ?? '').includes('multipart/form-data')
        ? await formBody(c)
        : await readBody(c, importSchema)
      const [variables, parents] = [usable(body.variables), usable(body.parentVariables ?? {})]
      if (Object.keys(variables).length === 0 && Object.keys(parents).length === 0) throw nothingToSet()
      await store(c, identity, variables, settingsOf(body), parents)
      return c.json({ success: true })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `${base}/:env`,
      operationId: 'listVariables',
      summary: 'List variables',
      response: responses.variableList,
      tag,
    },
    async (c) => {
      const identity = await target(c)
      const list = await callProject(c.env, identity.projectId, (project) => project.listVariables(identity.locator))
      return c.json(list.map(masked))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${base}/:env`,
      operationId: 'createVariable',
      summary: 'Set a variable',
      response: responses.success,
      tag,
      body: createSchema,
    },
    async (c) => {
      const identity = await target(c)
      const body = await readBody(c, createSchema)
      const variables = usable({ [body.name]: body.value })
      if (Object.keys(variables).length === 0) throw nothingToSet()
      await store(c, identity, variables, settingsOf({ ...body, override: true }))
      return c.json({ success: true })
    },
  )

  const one = `${base}/:env/:name`
  route(
    app,
    { method: 'get', path: one, operationId: 'retrieveVariable', summary: 'Read a variable', response: responses.variable, tag },
    async (c) => {
      return c.json(masked(await existing(c, await target(c))))
    },
  )

  for (const method of ['put', 'post'] as const) {
    const operationId = method === 'put' ? 'updateVariable' : 'updateVariableByPost'
    route(
      app,
      { method, path: one, operationId, summary: 'Change a variable', response: responses.success, tag, body: updateSchema },
      async (c) => {
        const identity = await target(c)
        const variable = await existing(c, identity)
        const body = await readBody(c, updateSchema)
        await store(c, identity, { [variable.name]: body.value }, { override: true })
        return c.json({ success: true })
      },
    )
  }

  route(
    app,
    {
      method: 'delete',
      path: one,
      operationId: 'deleteVariable',
      summary: 'Remove a variable',
      response: responses.success,
      tag,
    },
    async (c) => {
      const identity = await target(c)
      const name = c.req.param('name') as string
      const removed = await callProject(c.env, identity.projectId, (project) => project.deleteVariable(identity.locator, name))
      if (!removed) throw new OperationError('NOT_FOUND', 'Environment variable not found')
      return c.json({ success: true })
    },
  )
}

async function target(c: Ctx): Promise<EnvironmentIdentity> {
  const slug = environmentSlug(c.req.param('env'))
  const ref = c.req.param('ref') as string
  if (!slug) throw new OperationError('NOT_FOUND', 'Environment not found')
  const token = bearer(c)
  if (token && isUserToken(token)) {
    const user = await authenticate(c.env, token, undefined)
    if (user?.kind !== 'user') throw new OperationError('UNAUTHENTICATED', 'Invalid or Missing API key')
    const branch = slug === 'prod' || slug === 'stg' ? undefined : branchOf(c.req.header('x-trigger-branch'))
    return (await environmentFor(c.env, user, ref, slug, branch)).identity
  }
  const { caller } = await environmentOf(c, { parentAllowed: true })
  if (caller.environment.projectRef !== ref || caller.environment.slug !== slug) {
    throw new OperationError('INVALID_REQUEST', 'The project ref and environment must match those of the API key.')
  }
  return caller.environment
}

function usable(variables: Record<string, string>): Record<string, string> {
  for (const name of Object.keys(variables)) {
    if (!namePattern.test(name)) throw new OperationError('INVALID_REQUEST', `Invalid environment variable name: ${name}`)
  }
  return Object.fromEntries(Object.entries(variables).filter(([name, value]) => value.trim() !== '' && !reserved.has(name)))
}

function nothingToSet(): OperationError {
  return new OperationError('INVALID_REQUEST', 'You must set at least one valid variable.')
}

interface Settings {
  override: boolean
  isSecret?: boolean
}

function settingsOf(body: { override: boolean; isSecret?: boolean | undefined }): Settings {
  return { override: body.override, ...(body.isSecret === undefined ? {} : { isSecret: body.isSecret }) }
}

async function store(
  c: Ctx,
  identity: EnvironmentIdentity,
  variables: Record<string, string>,
  options: Settings,
  parents: Record<string, string> = {},
): Promise<void> {
  const { conflicts } = await callProject(c.env, identity.projectId, (project) =>
    project.setVariables(identity.locator, variables, options, parents),
  )
  if (conflicts.length === 0) return
  throw new OperationError('INVALID_REQUEST', 'Some variables exist already; pass override to replace them.', {
    body: { variableErrors: conflicts.map((key) => ({ key, error: 'A value exists already.' })) },
  })
}

async function existing(c: Ctx, identity: EnvironmentIdentity): Promise<{ name: string; value: string; isSecret: boolean }> {
  const list = await callProject(c.env, identity.projectId, (project) => project.listVariables(identity.locator))
  const found = list.find((variable) => variable.name === c.req.param('name'))
  if (!found) throw new OperationError('NOT_FOUND', 'Environment variable not found')
  return found
}

function masked(variable: { name: string; value: string; isSecret: boolean }): Record<string, unknown> {
  return { ...variable, value: variable.isSecret ? '<redacted>' : variable.value }
}

async function formBody(c: Ctx): Promise<z.infer<typeof importSchema>> {
  const text = await readText(c)
  const headers = { 'content-type': c.req.header('content-type') as string }
  const form = await new Response(text, { headers }).formData().catch(() => undefined)
  if (!form) throw new OperationError('INVALID_REQUEST', 'Validation error: the form cannot be read')
  const file = form.get('variables') as File | string | null
  const lines = typeof file === 'string' ? file : ((await file?.text()) ?? '')
  const variables: Record<string, string> = {}
  for (const line of lines.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?(\w+)\s*=\s*(.*?)\s*$/.exec(line)
    if (match) variables[match[1] as string] = (match[2] as string).replace(/^(["'])(.*)\1$/, '$2')
  }
  return { variables, override: form.get('override') === 'true' }
}
