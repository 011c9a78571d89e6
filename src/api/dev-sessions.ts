/** The engine as a session of the CLI's `dev` speaks to it (cli-engine-protocol.md §2). Bodies come as text as well as JSON. */
import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { Completion } from '../contracts/rpc.ts'
import * as sessions from '../operations/dev-sessions.ts'
import { heldJson } from './held.ts'
import { completeSchema, presentDequeued, presentExecution, presentRun, presentSnapshot, startSchema } from './present-engine.ts'
import { environmentOf, originOf, readBody, readText } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'dev'
const base = '/engine/v1/dev'
const ofSnapshot = `${base}/runs/:runId/snapshots/:snapshotId`

/** A question is held open by the server, so the pause between two may be short. */
const pauseMs = 250
/** Far above what an environment runs at once: parents that wait keep their place in the process. */
const concurrentRuns = 500
/** The CLI opens the stream again by itself after this. */
const presenceMs = 60_000
const disconnectedAtOnce = 500

const dequeueSchema = z.looseObject({ currentWorker: z.string().min(1), oldWorkers: z.array(z.string()).default([]) })
const disconnectSchema = z.object({
  runFriendlyIds: z.array(z.string()).max(disconnectedAtOnce, `At most ${disconnectedAtOnce} runs can be named at once`),
})

export function devSessionRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: `${base}/config`,
      operationId: 'getDevConfig',
      summary: 'How a dev session asks for runs',
      response: responses.devConfig,
      tag,
    },
    async (c) => {
      const { caller } = await developer(c)
      return c.json({
        environmentId: caller.environment.id,
        dequeueIntervalWithRun: pauseMs,
        dequeueIntervalWithoutRun: pauseMs,
        maxConcurrentRuns: concurrentRuns,
        engineUrl: originOf(c),
      })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `${base}/presence`,
      operationId: 'openDevPresence',
      summary: 'A stream that says that a session is there; it is opened again each minute',
      tag,
    },
    async (c) => {
      await developer(c)
      const event = `retry: ${presenceMs}\nevent: start\ndata: ${JSON.stringify({ time: new Date().toISOString() })}\n\n`
      return c.body(event, 200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${base}/dequeue`,
      operationId: 'dequeueRuns',
      summary: 'Runs for a dev session; held open until there are some',
      response: responses.dequeued,
      tag,
      body: dequeueSchema,
    },
    async (c) => {
      const { caller } = await developer(c)
      const { currentWorker } = await readBody(c, dequeueSchema)
      const pollId = c.req.header('x-trigger-request-idempotency-key') ?? crypto.randomUUID()
      return heldJson(
        sessions.dequeue(c.env, caller, currentWorker, pollId),
        (runs) => ({ dequeuedMessages: runs.map((run) => presentDequeued(caller, run)) }),
        [],
        () => c.executionCtx.waitUntil(sessions.stopDequeue(c.env, caller, pollId).catch(() => {})),
      )
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${ofSnapshot}/attempts/start`,
      operationId: 'startDevAttempt',
      summary: 'Start an attempt of a run that was dequeued',
      response: responses.startedAttempt,
      tag,
      body: startSchema,
    },
    async (c) => {
      const { principal, caller } = await developer(c)
      await readBody(c, startSchema, { optional: true })
      const runId = c.req.param('runId') as string
      const started = await sessions.startAttempt(c.env, caller, runId, c.req.param('snapshotId') as string)
      const { keyEpoch } = principal.access
      const own = await sessions.processVariables(c.env, originOf(c), caller.environment, keyEpoch)
      return c.json({
        snapshot: presentSnapshot(started.snapshot),
        run: presentRun(started.run),
        execution: started.execution,
        envVars: { ...own, ...started.variables, TRIGGER_RUN_ID: runId },
      })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${ofSnapshot}/attempts/complete`,
      operationId: 'completeDevAttempt',
      summary: 'How an attempt ended; the answer says what comes next',
      response: responses.completedAttempt,
      tag,
      body: completeSchema,
    },
    async (c) => {
      const { caller } = await developer(c)
      const body = await readBody(c, completeSchema, { maxBytes: limits.completionBodyBytes })
      const { snapshot, run, attemptStatus } = await sessions.completeAttempt(
        c.env,
        caller,
        c.req.param('runId') as string,
        c.req.param('snapshotId') as string,
        body.completion as Completion,
      )
      return c.json({ result: { attemptStatus, snapshot: presentSnapshot(snapshot), run: presentRun(run) } })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `${base}/runs/:runId/snapshots/latest`,
      operationId: 'getLatestSnapshot',
      summary: 'Where a run stands, and the waits that are done',
      response: responses.latestSnapshot,
      tag,
    },
    async (c) => {
      const { caller } = await developer(c)
      const latest = await sessions.latestSnapshot(c.env, caller, c.req.param('runId') as string)
      return c.json({ execution: presentExecution(latest) })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${ofSnapshot}/heartbeat`,
      operationId: 'heartbeatDevRun',
      summary: 'The process of a run is alive',
      response: responses.ok,
      tag,
    },
    async (c) => {
      const { caller } = await developer(c)
      return c.json(await sessions.heartbeat(c.env, caller, c.req.param('runId') as string))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${base}/runs/:runId/logs/debug`,
      operationId: 'sendDebugLog',
      summary: 'A line for the makers of the engine; read and dropped',
      status: 204,
      tag,
    },
    async (c) => {
      await developer(c)
      await readText(c)
      return c.body(null, 204)
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${base}/disconnect`,
      operationId: 'disconnectDevRuns',
      summary: 'The session is gone: its runs end as cancelled',
      response: responses.disconnected,
      tag,
      body: disconnectSchema,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const { runFriendlyIds } = await readBody(c, disconnectSchema)
      return c.json({ cancelled: await sessions.disconnect(c.env, caller, runFriendlyIds) })
    },
  )
}

async function developer(c: Ctx): ReturnType<typeof environmentOf> {
  const known = await environmentOf(c)
  if (known.caller.environment.type !== 'DEVELOPMENT')
    throw new OperationError('FORBIDDEN', 'A dev session needs the key of a development environment.')
  return known
}
