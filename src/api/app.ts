/** The HTTP door. Nothing reached from here at start imports `cloudflare:workers`, so Node can import it too. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { limits } from '../contracts/limits.ts'
import { backgroundWorkerRoutes } from './background-workers.ts'
import { batchRoutes } from './batches.ts'
import { bulkActionRoutes } from './bulk-actions.ts'
import { deploymentRoutes } from './deployments.ts'
import { devSessionRoutes } from './dev-sessions.ts'
import { type ApiDocument, docsHeaders, docsPage } from './docs-page.ts'
import { environmentVariableRoutes } from './envvars.ts'
import { handleError, unanswered } from './error-handler.ts'
import { eventRoutes } from './events.ts'
import { exportRoutes } from './exports.ts'
import { fileRoutes } from './files.ts'
import { loginRoutes } from './login.ts'
import { nodeHostRoutes } from './node-host.ts'
import { packetRoutes } from './packets.ts'
import { platformRoutes } from './platform.ts'
import { projectRoutes } from './projects.ts'
import { queueRoutes } from './queues.ts'
import { rateLimit } from './rate-limit.ts'
import { realtimeRoutes } from './realtime.ts'
import { discard } from './request.ts'
import type { App, Bindings } from './route.ts'
import { runProgressRoutes } from './run-progress.ts'
import { runStreamRoutes } from './run-streams.ts'
import { runRoutes } from './runs.ts'
import { scheduleRoutes } from './schedules.ts'
import { sentenceRoutes } from './sentences.ts'
import { telemetryRoutes } from './telemetry.ts'
import { traceRoutes } from './traces.ts'
import { triggerRoutes } from './trigger.ts'
import { unbuiltRoutes } from './unbuilt.ts'
import { waitpointRoutes } from './waitpoints.ts'

export const documentInfo = {
  openapi: '3.1.0',
  info: { title: 'trigger.do', version: '0.1.0', license: { name: 'MIT', identifier: 'MIT' } },
  servers: [{ url: '/' }],
}

export function createApp(): App {
  const app = new OpenAPIHono<Bindings>()
  app.onError(handleError)
  app.notFound(unanswered(app))
  app.use('*', async (c, next) => {
    if (c.req.method === 'OPTIONS')
      return new Response(null, { status: 200, headers: preflight(c.req.header('access-control-request-headers')) })
    const initialised = Boolean(c.env.ROOT_SECRET)
    if (!initialised && c.req.path !== '/health') {
      return c.json({ error: 'The platform has no root secret yet; run `npm run setup`.', code: 'not_initialised' }, 503)
    }
    await next()
    await takeInRest(c.req.raw)
    c.header('access-control-allow-origin', '*')
    c.header(
      'access-control-expose-headers',
      'x-trigger-jwt, x-trigger-jwt-claims, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-should-retry, electric-handle, electric-offset, electric-cursor, electric-schema, electric-up-to-date',
    )
  })
  const limited = rateLimit()
  for (const path of ['/api/*', '/mcp']) app.use(path, limited)
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' })
  platformRoutes(app)
  triggerRoutes(app)
  batchRoutes(app)
  runRoutes(app)
  runProgressRoutes(app)
  realtimeRoutes(app)
  runStreamRoutes(app)
  sentenceRoutes(app)
  eventRoutes(app)
  bulkActionRoutes(app)
  traceRoutes(app)
  waitpointRoutes(app)
  packetRoutes(app)
  fileRoutes(app)
  queueRoutes(app)
  scheduleRoutes(app)
  environmentVariableRoutes(app)
  exportRoutes(app)
  deploymentRoutes(app)
  projectRoutes(app)
  loginRoutes(app)
  devSessionRoutes(app)
  backgroundWorkerRoutes(app)
  nodeHostRoutes(app)
  telemetryRoutes(app)
  unbuiltRoutes(app)
  documentRoutes(app)
  return app
}

/** Refused before it was read: a client still sending when the connection closes never sees the answer. */
async function takeInRest({ body, bodyUsed }: Request): Promise<void> {
  if (body && !bodyUsed && !body.locked) await discard(body.getReader(), limits.unreadBytes).catch(() => {})
}

/** Made once per isolate: the routes do not change, and making it takes longer than any other request here. */
function documentRoutes(app: App): void {
  let json: string | undefined
  let page: string | undefined
  app.get('/openapi.json', (c) => {
    json ??= JSON.stringify(app.getOpenAPI31Document(documentInfo))
    return c.body(json, 200, { 'content-type': 'application/json' })
  })
  app.get('/docs', (c) => {
    page ??= docsPage(app.getOpenAPI31Document(documentInfo) as ApiDocument)
    return c.body(page, 200, docsHeaders)
  })
}

/** Every header a client sends is allowed: SDK versions add their own (api-surface.md §1.2, §1.7). */
function preflight(requested: string | undefined): Record<string, string> {
  return {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE, OPTIONS',
    'access-control-allow-headers': requested ?? 'authorization, content-type',
    'access-control-max-age': '300',
  }
}
