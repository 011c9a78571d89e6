/** A run as a live subscription: what `runs.subscribeToRun` and `useRealtimeRun` hold open (realtime-protocol.md §2). */
import { OperationError } from '../contracts/errors.ts'
import type { RunDetail } from '../contracts/rpc.ts'
import { isFinalStatus } from '../contracts/statuses.ts'
import * as runs from '../operations/runs.ts'
import {
  type Message,
  offsetOf,
  revisionOf,
  rowMessage,
  rowOf,
  schemaHeader,
  upToDate,
  wantedColumns,
} from '../realtime/run-shape.ts'
import * as queries from './queries.ts'
import { isModern } from './request.ts'
import * as responses from './responses.ts'
import { type App, route } from './route.ts'
import { readableRun } from './runs.ts'

/** Below what proxies wait for. */
const heldMs = 20_000

export function realtimeRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: '/realtime/v1/runs/:runId',
      operationId: 'subscribeToRun',
      query: queries.shape,
      summary: 'A run as it changes; with live=true held open until it does',
      response: responses.shape,
      tag: 'realtime',
    },
    async (c) => {
      const { run, caller } = await readableRun(c)
      const isLive = c.req.query('live') === 'true'
      const offset = c.req.query('offset')
      const known = revisionOf(offset)
      if (known === undefined && offset !== '-1')
        throw new OperationError('INVALID_REQUEST', 'offset must be -1, or the electric-offset of the answer before')
      const isNew = known === undefined || run.updatedAt > known
      const held = async (): Promise<RunDetail> => {
        if (!isFinalStatus(run.status)) return runs.waitForRun(c.env, caller, run.id, heldMs, known)
        // Older clients ask on for half a minute: answered at once they would ask without end.
        await scheduler.wait(heldMs)
        return run
      }
      const current = isNew || !isLive ? run : await held()
      const names = wantedColumns(c.req.query('skipColumns'))
      const changed = known === undefined || current.updatedAt > known
      const row = (): Message => rowMessage(rowOf(current, names, isModern(c)), known === undefined ? 'insert' : 'update')
      return c.json(changed ? [row(), upToDate] : [upToDate], 200, {
        'electric-handle': run.id,
        'electric-offset': offsetOf(Math.max(known ?? 0, current.updatedAt)),
        'electric-cursor': String(current.updatedAt),
        'electric-schema': schemaHeader(names),
        'electric-up-to-date': '',
        'cache-control': 'no-store',
      })
    },
  )
}
