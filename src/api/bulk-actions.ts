/** Bulk actions (api-surface.md §9.7): cancel or replay many runs. Secret keys only. */
import { bulkActionSchema } from '../contracts/bulk.schema.ts'
import type { BulkActionRecord } from '../contracts/objects.ts'
import * as bulkActions from '../operations/bulk-actions.ts'
import { defined, iso } from './present-run.ts'
import * as queries from './queries.ts'
import { environmentOf, readBody } from './request.ts'
import * as responses from './responses.ts'
import { type App, route } from './route.ts'
import { pageSize } from './runs.ts'

const tag = 'bulk'
const path = '/api/v1/bulk-actions'

export function bulkActionRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path,
      operationId: 'createBulkAction',
      summary: 'Cancel or replay many runs',
      response: responses.idOnly,
      status: 202,
      tag,
      body: bulkActionSchema,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const body = await readBody(c, bulkActionSchema)
      return c.json(await bulkActions.createBulkAction(c.env, caller, body, Date.now()), 202)
    },
  )

  route(
    app,
    {
      method: 'get',
      path,
      operationId: 'listBulkActions',
      summary: 'List bulk actions',
      query: queries.cursorPage,
      response: responses.bulkActionList,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const [after, before] = [c.req.query('page[after]'), c.req.query('page[before]')]
      const page = await bulkActions.listBulkActions(c.env, caller, {
        size: pageSize(c, 25),
        ...(after ? { after } : {}),
        ...(before ? { before } : {}),
      })
      return c.json({ data: page.actions.map(present), pagination: defined({ next: page.next, previous: page.previous }) })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `${path}/:id`,
      operationId: 'retrieveBulkAction',
      summary: 'Read a bulk action',
      response: responses.bulkAction,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      return c.json(present(await bulkActions.getBulkAction(c.env, caller, c.req.param('id') as string)))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${path}/:id/abort`,
      operationId: 'abortBulkAction',
      summary: 'Abort a bulk action',
      response: responses.idOnly,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      return c.json(await bulkActions.abortBulkAction(c.env, caller, c.req.param('id') as string))
    },
  )
}

function present(action: BulkActionRecord): Record<string, unknown> {
  const { id, name, type, status, total, success, failure } = action
  return defined({
    id,
    name,
    type,
    status,
    counts: { total, success, failure },
    createdAt: iso(action.createdAt),
    completedAt: iso(action.completedAt),
  })
}
