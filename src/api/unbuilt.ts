/** Routes of the API that are known but not built: one clear answer, never a pretended success. */
import { OperationError } from '../contracts/errors.ts'
import { bearer, environmentOf, isUserToken, userOf } from './request.ts'
import { type App, type Ctx, describe, type RouteSpec } from './route.ts'

/** Whole groups, with every method. */
const groups = ['prompts', 'query', 'sessions', 'webhooks', 'errors', 'reports', 'concurrency-limits']

/** Tag → `<method> <path under /api> <operation>` and summary: what the document lists. The rest of a group is refused as well. */
const routes: Record<string, [operation: string, summary: string][]> = {
  'concurrency-limits': [
    ['GET /v1/concurrency-limits listConcurrencyLimits', 'List concurrency limits'],
    ['GET /v1/concurrency-limits/:name retrieveConcurrencyLimit', 'Read a concurrency limit'],
    ['POST /v1/concurrency-limits/:name/override overrideConcurrencyLimit', 'Override a concurrency limit'],
    ['POST /v1/concurrency-limits/:name/pause pauseConcurrencyLimit', 'Pause or resume a concurrency limit'],
    ['POST /v1/concurrency-limits/:name/reset resetConcurrencyLimit', 'Reset a concurrency limit'],
  ],
  deployments: [
    ['POST /v1/deployments/:id/generate-registry-credentials createRegistryCredentials', 'Credentials for an image registry'],
    ['GET /v1/deployments/:id/build-env-vars getBuildVariables', 'Variables of a build elsewhere'],
    ['POST /v1/deployments/:id/progress updateDeploymentProgress', 'Progress of a build elsewhere'],
    ['POST /v1/deployments/:id/cancel cancelDeployment', 'Cancel a build elsewhere'],
    ['POST /v3/deployments/:id/finalize finalizeDeployment', 'Finish a deployment with an image'],
  ],
  auth: [['POST /v1/auth/oidc/token createOidcToken', 'An OIDC token for a run']],
  query: [
    ['POST /v1/query executeQuery', 'Query runs'],
    ['GET /v1/query/schema getQuerySchema', 'Tables of the query language'],
    ['GET /v1/query/dashboards listDashboards', 'List dashboards'],
  ],
  prompts: [
    ['GET /v1/prompts listPrompts', 'List prompts'],
    ['GET /v1/prompts/:slug retrievePrompt', 'Read a prompt'],
    ['POST /v1/prompts/:slug resolvePrompt', 'Resolve a prompt'],
  ],
  sessions: [
    ['POST /v1/sessions createSession', 'Create a session'],
    ['GET /v1/sessions listSessions', 'List sessions'],
    ['GET /v1/sessions/:session retrieveSession', 'Read a session'],
    ['PATCH /v1/sessions/:session updateSession', 'Change a session'],
    ['POST /v1/sessions/:session/close closeSession', 'Close a session'],
  ],
  webhooks: [
    ['GET /v1/webhooks/endpoints listWebhookEndpoints', 'List webhook endpoints'],
    ['GET /v1/webhooks/deliveries listWebhookDeliveries', 'List webhook deliveries'],
    ['POST /v1/webhooks/endpoints/:id/waiters createWebhookWaiter', 'Wait for a webhook'],
  ],
  errors: [
    ['GET /v1/errors listErrors', 'List error groups'],
    ['GET /v1/errors/:id retrieveError', 'Read an error group'],
    ['POST /v1/errors/:id/resolve resolveError', 'Resolve an error group'],
    ['POST /v1/errors/:id/ignore ignoreError', 'Ignore an error group'],
    ['POST /v1/errors/:id/unresolve unresolveError', 'Open an error group again'],
  ],
  reports: [['GET /v1/reports/:key getReport', 'A health report']],
}

export function unbuiltRoutes(app: App): void {
  for (const [tag, list] of Object.entries(routes)) {
    for (const [operation, summary] of list) {
      const [method, path, operationId] = operation.split(' ') as [string, string, string]
      const spec = { method: method.toLowerCase() as RouteSpec['method'], path: `/api${path}`, operationId, summary, tag }
      describe(app, { ...spec, unbuilt: true })
      app.on(method, spec.path, refuse)
    }
  }
  for (const name of groups) for (const pattern of [`/api/v1/${name}`, `/api/v1/${name}/*`]) app.all(pattern, refuse)
  app.post('/api/:version{v[12]}/deployments/:id/finalize', refuse)
}

async function refuse(c: Ctx): Promise<Response> {
  await (isUserToken(bearer(c)) ? userOf(c) : environmentOf(c, { anyToken: true, parentAllowed: true }))
  throw new OperationError('NOT_IMPLEMENTED', 'This part of the API is not built yet.', {
    body: { code: 'not_implemented' },
    headers: { 'x-should-retry': 'false' },
  })
}
