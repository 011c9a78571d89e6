/** A run as a live subscription: what `runs.subscribeToRun` and `useRealtimeRun` hold open (realtime-protocol.md §2). */
import { parseDuration } from '../contracts/durations.ts'
import { OperationError, RpcRefusal } from '../contracts/errors.ts'
import { type FeedQuery, feedLimits } from '../contracts/feed.ts'
import { limits } from '../contracts/limits.ts'
import type { Caller, RunDetail } from '../contracts/rpc.ts'
import { isFinalStatus } from '../contracts/statuses.ts'
import { callEnvironment } from '../operations/objects.ts'
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
import { environmentOf, isModern, requireScope } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'
import { readableRun } from './runs.ts'

/** Below what proxies wait for. */
const heldMs = 20_000
const dayMs = 86_400_000

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
      const known = seenRevision(c)
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
      const revision = Math.max(known ?? 0, current.updatedAt)
      return c.json(changed ? [row(), upToDate] : [upToDate], 200, shapeHeaders(run.id, revision, names, true))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/realtime/v1/runs',
      operationId: 'subscribeToRuns',
      query: queries.runsShape,
      summary: 'The runs with all of these tags, as they come and change',
      response: responses.shape,
      tag: 'realtime',
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const tags = tagsOf(c.req.query('tags'))
      requireScope(c, principal, tags.length > 0 ? { tag: tags } : {})
      return answerFeed(c, caller, 'runs', { ...(tags.length > 0 ? { tags } : {}) }, windowMs(c.req.query('createdAt')))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/realtime/v1/batches/:batchId',
      operationId: 'subscribeToBatch',
      query: queries.shape,
      summary: 'The runs of a batch, as they come and change',
      response: responses.shape,
      tag: 'realtime',
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const batchId = c.req.param('batchId') as string
      requireScope(c, principal, { batch: batchId })
      const missing = { headers: { 'x-should-retry': 'false' } }
      await callEnvironment(c.env, caller.environment.locator, '0', (environment) => environment.getBatch(caller, batchId)).catch(
        (error) => {
          if (error instanceof RpcRefusal && error.rpc.status === 404) throw new OperationError('NOT_FOUND', 'Not found', missing)
          throw error
        },
      )
      return answerFeed(c, caller, batchId, { batchId })
    },
  )
}

/** The handle remembers where a feed that looks back some hours began, so that it does not drift. */
async function answerFeed(c: Ctx, caller: Caller, name: string, query: FeedQuery, backMs?: number): Promise<Response> {
  const known = seenRevision(c)
  const floor = /-(\d{1,15})$/.exec(c.req.query('handle') ?? '')?.[1]
  const from = backMs === undefined ? undefined : floor === undefined ? Date.now() - backMs : Number(floor)
  const isHeld = c.req.query('live') === 'true' && known !== undefined
  const asked = { ...query, ...(from === undefined ? {} : { from }) }
  const page = await runs.waitForFeed(c.env, caller, asked, known ?? 0, isHeld ? heldMs : 0)
  const names = wantedColumns(c.req.query('skipColumns'))
  const rows = page.runs.map((run) => rowMessage(rowOf(run, names, isModern(c)), 'insert'))
  const handle = from === undefined ? name : `${name}-${from}`
  return c.json(page.isCut ? rows : [...rows, upToDate], 200, shapeHeaders(handle, page.revision, names, !page.isCut))
}

/** What the client has seen; undefined at its beginning. */
function seenRevision(c: Ctx): number | undefined {
  const offset = c.req.query('offset')
  const known = revisionOf(offset)
  if (known === undefined && offset !== '-1')
    throw new OperationError('INVALID_REQUEST', 'offset must be -1, or the electric-offset of the answer before')
  return known
}

function shapeHeaders(handle: string, revision: number, names: string[], isUpToDate: boolean): Record<string, string> {
  return {
    'electric-handle': handle,
    'electric-offset': offsetOf(revision),
    'electric-cursor': String(revision),
    'electric-schema': schemaHeader(names),
    ...(isUpToDate ? { 'electric-up-to-date': '' } : {}),
    'cache-control': 'no-store',
  }
}

function tagsOf(text: string | undefined): string[] {
  const tags = [...new Set((text ?? '').split(',').filter(Boolean))]
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  const wrong = tags.find((tag) => tag.length > limits.tagChars || /[\u0000-\u001f"\\]/.test(tag))
  if (wrong !== undefined) throw new OperationError('INVALID_REQUEST', `tags: "${wrong.slice(0, 50)}" cannot be a tag.`)
  if (tags.length > feedLimits.tags)
    throw new OperationError('INVALID_REQUEST', `tags: at most ${feedLimits.tags} can be asked for.`)
  return tags
}

/** As upstream: a day, at most. */
function windowMs(text: string | undefined): number {
  if (!text) return dayMs
  const ms = parseDuration(text)
  if (ms === undefined || ms <= 0)
    throw new OperationError('INVALID_REQUEST', `createdAt: "${text.slice(0, 50)}" is no duration such as 2h.`)
  return Math.min(ms, dayMs)
}
