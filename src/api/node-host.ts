/** A Node host, which asks for builds and runs, and the run controllers it starts (cli-engine-protocol.md §12). */
import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { Caller, Completion, QueueDefinition, TaskDefinition } from '../contracts/rpc.ts'
import * as sessions from '../operations/dev-sessions.ts'
import * as hosts from '../operations/node-host.ts'
import { heldJson } from './held.ts'
import { completeSchema, presentDequeued, presentExecution, presentRun, presentSnapshot, startSchema } from './present-engine.ts'
import { environmentOf, originOf, readBody, readText, runCallerOf } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'node host'
const hostBase = '/engine/v1/worker-actions'
const runnerBase = '/api/v1/workload-actions/runs/:runId'
const ofSnapshot = `${runnerBase}/snapshots/:snapshotId`
const tokenHeader = 'x-trigger-workload-deployment-id'

const dequeueSchema = z.looseObject({ maxRunCount: z.int().min(1).max(100).optional() })
const releaseSchema = z.looseObject({ reason: z.string().max(1_000) })
const errorSchema = z.looseObject({ name: z.string().optional(), message: z.string(), stack: z.string().optional() })
const failSchema = z.looseObject({ error: errorSchema })
const workerSchema = z.looseObject({
  metadata: z.looseObject({
    tasks: z.array(z.looseObject({ id: z.string().min(1), filePath: z.string() })),
    queues: z.array(z.looseObject({ name: z.string().min(1), concurrencyLimit: z.number().nullish() })).optional(),
  }),
})

export function nodeHostRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: `${hostBase}/connect`,
      operationId: 'connectNodeHost',
      summary: 'Which environment a Node host works for',
      response: responses.connectedHost,
      tag,
    },
    async (c) => {
      const { environment } = await host(c)
      const { id, type, projectId, projectRef } = environment
      return c.json({
        ok: true,
        workerGroup: { type: 'UNMANAGED', name: `${environment.projectRef}/${environment.branchName ?? environment.slug}` },
        environment: { id, type },
        project: { id: projectId, ref: projectRef },
      })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${hostBase}/builds`,
      operationId: 'waitForBuilds',
      summary: 'Deployments that a Node host has to index; held open until there is one',
      response: responses.builds,
      tag,
    },
    async (c) => {
      const caller = await host(c)
      const pollId = crypto.randomUUID()
      return heldJson(
        hosts.waitForBuilds(c.env, caller, pollId),
        (builds) => ({ builds }),
        [],
        () => c.executionCtx.waitUntil(hosts.stopWaitingForBuilds(c.env, caller, pollId).catch(() => {})),
      )
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `${hostBase}/deployments/:deploymentId/bundle`,
      operationId: 'downloadBundle',
      summary: 'The upload of a deployment',
      bytes: 'response',
      tag,
    },
    async (c) => {
      const bundle = await hosts.bundleOf(c.env, await host(c), c.req.param('deploymentId') as string)
      return new Response(bundle.body, {
        headers: { 'content-type': 'application/gzip', 'content-length': String(bundle.size), 'cache-control': 'no-store' },
      })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/deployments/:deploymentId/background-workers',
      operationId: 'indexDeployment',
      summary: 'The tasks a Node host found in a deployment',
      response: responses.registeredWorker,
      tag,
      body: workerSchema,
    },
    async (c) => {
      const caller = await host(c)
      const { metadata } = await readBody(c, workerSchema, { maxBytes: limits.workerBodyBytes })
      const tasks = metadata.tasks.map((task) => ({ ...task, host: 'node' }) as unknown as TaskDefinition)
      const queues = (metadata.queues ?? []) as QueueDefinition[]
      return c.json(await hosts.endBuild(c.env, caller, c.req.param('deploymentId') as string, { ok: true, tasks, queues }))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/deployments/:deploymentId/fail',
      operationId: 'failDeployment',
      summary: 'Why a Node host could not index a deployment',
      response: responses.failedDeployment,
      tag,
      body: failSchema,
    },
    async (c) => {
      const caller = await host(c)
      const { error } = await readBody(c, failSchema)
      const message = error.name && error.name !== 'Error' ? `${error.name}: ${error.message}` : error.message
      const outcome = { ok: false as const, code: 'INDEXING_FAILED', message }
      return c.json({ id: (await hosts.endBuild(c.env, caller, c.req.param('deploymentId') as string, outcome)).id })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${hostBase}/dequeue`,
      operationId: 'dequeueForHost',
      summary: 'Runs for a Node host; held open until there are some',
      response: responses.hostRuns,
      tag,
      body: dequeueSchema,
    },
    async (c) => {
      const caller = await host(c)
      const { maxRunCount = 1 } = await readBody(c, dequeueSchema, { optional: true })
      const pollId = c.req.header('x-trigger-request-idempotency-key') ?? crypto.randomUUID()
      const runs = hosts.dequeueForHost(c.env, caller, pollId, maxRunCount)
      const withTokens = runs.then((given) =>
        Promise.all(given.map(async (run) => ({ run, token: await hosts.runnerToken(c.env, caller, run.run.id) }))),
      )
      return heldJson(
        withTokens,
        (given) => given.map(({ run, token }) => ({ ...presentDequeued(caller, run), runner: { token } })),
        [],
        () => c.executionCtx.waitUntil(sessions.stopDequeue(c.env, caller, pollId).catch(() => {})),
      )
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${hostBase}/heartbeat`,
      operationId: 'heartbeatNodeHost',
      summary: 'A Node host is alive',
      response: responses.ok,
      tag,
    },
    async (c) => {
      await host(c)
      await readText(c)
      return c.json({ ok: true })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${hostBase}/runs/:runId/snapshots/:snapshotId/heartbeat`,
      operationId: 'heartbeatHostRun',
      summary: 'A Node host is preparing a run it took',
      response: responses.ok,
      tag,
    },
    async (c) => {
      const caller = await host(c)
      await readText(c)
      return c.json(await sessions.heartbeat(c.env, caller, c.req.param('runId') as string))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${hostBase}/runs/:runId/snapshots/:snapshotId/release`,
      operationId: 'releaseRun',
      summary: 'A Node host gives back a run whose process is gone',
      response: responses.released,
      tag,
      body: releaseSchema,
    },
    async (c) => {
      const caller = await host(c)
      const { reason } = await readBody(c, releaseSchema)
      const [runId, on] = [c.req.param('runId') as string, c.req.param('snapshotId') as string]
      return c.json({ ok: true, ...(await hosts.giveBack(c.env, caller, runId, on, reason)) })
    },
  )

  // ---------------------------------------------------------------- the process of a run

  route(
    app,
    {
      method: 'post',
      path: `${ofSnapshot}/attempts/start`,
      operationId: 'startRunnerAttempt',
      summary: 'Start an attempt of the run this process was started for',
      response: responses.startedAttempt,
      tag,
      open: true,
      body: startSchema,
    },
    async (c) => {
      const { caller, access, runId } = await runner(c)
      await readBody(c, startSchema, { optional: true })
      const started = await sessions.startAttempt(c.env, caller, runId, c.req.param('snapshotId') as string)
      const own = await hosts.runnerVariables(c.env, originOf(c), access)
      return c.json({
        snapshot: presentSnapshot(started.snapshot),
        run: presentRun(started.run),
        execution: started.execution,
        envVars: { ...started.variables, ...own, TRIGGER_RUN_ID: runId },
      })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${ofSnapshot}/attempts/complete`,
      operationId: 'completeRunnerAttempt',
      summary: 'How an attempt ended; the answer says what comes next',
      response: responses.completedAttempt,
      tag,
      open: true,
      body: completeSchema,
    },
    async (c) => {
      const { caller, runId } = await runner(c)
      const body = await readBody(c, completeSchema, { maxBytes: limits.completionBodyBytes })
      const on = c.req.param('snapshotId') as string
      const { snapshot, run, attemptStatus } = await sessions.completeAttempt(
        c.env,
        caller,
        runId,
        on,
        body.completion as Completion,
      )
      return c.json({ result: { attemptStatus, snapshot: presentSnapshot(snapshot), run: presentRun(run) } })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${ofSnapshot}/heartbeat`,
      operationId: 'heartbeatRunner',
      summary: 'The process of a run is alive',
      response: responses.ok,
      tag,
      open: true,
    },
    async (c) => {
      const { caller, runId } = await runner(c)
      await readText(c)
      return c.json(await sessions.heartbeat(c.env, caller, runId))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `${runnerBase}/snapshots/since/:snapshotId`,
      operationId: 'listRunnerSnapshots',
      summary: 'What became of a run since a snapshot, if anything did',
      response: responses.snapshots,
      tag,
      open: true,
    },
    async (c) => {
      const { caller, runId } = await runner(c)
      const latest = await sessions.latestSnapshot(c.env, caller, runId)
      const isNew = latest.snapshot.id !== c.req.param('snapshotId')
      return c.json({ snapshots: isNew ? [presentExecution(latest)] : [] })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `${ofSnapshot}/suspend`,
      operationId: 'suspendRunner',
      summary: 'Not done: a process that waits stays alive, and its run holds no slot meanwhile',
      status: 400,
      tag,
      open: true,
    },
    async (c) => {
      await runner(c)
      return c.json({ ok: false, error: 'Processes are not suspended here; keep waiting.' }, 400)
    },
  )

  route(
    app,
    {
      method: 'get',
      path: `${ofSnapshot}/continue`,
      operationId: 'continueRunner',
      summary: 'Not done: no process was suspended',
      status: 422,
      tag,
      open: true,
    },
    async (c) => {
      await runner(c)
      throw new OperationError('UNPROCESSABLE', 'No process of this run was suspended.')
    },
  )

  route(
    app,
    {
      method: 'post',
      path: `${runnerBase}/logs/debug`,
      operationId: 'sendRunnerDebugLog',
      summary: 'A line for the makers of the engine; read and dropped',
      status: 204,
      tag,
      open: true,
    },
    async (c) => {
      await runner(c)
      await readText(c)
      return c.body(null, 204)
    },
  )
}

/** By the key of a deployed environment, never from inside a run. */
async function host(c: Ctx): Promise<Caller> {
  if (runCallerOf(c)) throw new OperationError('FORBIDDEN', 'A run cannot be a Node host.')
  const { caller } = await environmentOf(c)
  if (caller.environment.type === 'DEVELOPMENT')
    throw new OperationError('FORBIDDEN', 'A development environment has no Node host: `trigger.dev dev` runs its tasks.')
  return caller
}

async function runner(c: Ctx): Promise<Awaited<ReturnType<typeof hosts.runnerCaller>> & { runId: string }> {
  const runId = c.req.param('runId') as string
  return { ...(await hosts.runnerCaller(c.env, c.req.header(tokenHeader), runId)), runId }
}
