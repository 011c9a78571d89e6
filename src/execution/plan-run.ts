/**
 * Carries out a plan as the attempt of a run: asks what starts next, triggers it as children the run waits for, and goes on
 * with their results. Nothing is kept here: an attempt that starts again from the top finds the children it already has.
 */
import type { Expression } from '../contracts/plan.ts'
import type { CompletedWaitpoint, Completion, TaskRunError } from '../contracts/rpc.ts'
import { type Job, type JobResult, type Progress, step } from '../core/plan/step.ts'

/** What one upload of batch items carries. */
const uploadBytes = 524_288
const attempts = 5

export interface PlanPlatform {
  /** A call of the API as this run. */
  call(method: string, path: string, body: string, operationKey: string): Promise<{ status: number; body: string }>
  /** A stored packet's text. */
  readStored(path: string): Promise<{ data: string; dataType: string }>
  /** Stores a large output; what comes back is the run's output. */
  store(output: string): Promise<{ data: string; dataType: string }>
}

class Cancelled extends Error {}
class Refused extends Error {}

/** Results of children as they come in; whoever waits for some is told when all of them are here. */
export class Inbox {
  private readonly arrived = new Map<string, CompletedWaitpoint>()
  private check: () => void = () => {}
  private fail: (error: Error) => void = () => {}
  private cancelled: Cancelled | undefined

  deliver(waitpoints: CompletedWaitpoint[]): void {
    for (const waitpoint of waitpoints) {
      const run = waitpoint.completedByTaskRun
      if (run) this.arrived.set(run.batch ? itemKey(run.batch.friendlyId, waitpoint.index) : run.friendlyId, waitpoint)
    }
    this.check()
  }

  cancel(reason: string): void {
    this.cancelled = new Cancelled(reason)
    this.fail(this.cancelled)
  }

  async take(keys: string[]): Promise<CompletedWaitpoint[]> {
    // It may have come while jobs were being triggered.
    if (this.cancelled) throw this.cancelled
    await new Promise<void>((resolve, reject) => {
      this.fail = reject
      this.check = () => {
        if (keys.every((key) => this.arrived.has(key))) resolve()
      }
      this.check()
    })
    return keys.map((key) => {
      const waitpoint = this.arrived.get(key) as CompletedWaitpoint
      this.arrived.delete(key)
      return waitpoint
    })
  }
}

function itemKey(batchId: string, index: number | undefined): string {
  return `${batchId}#${index}`
}

export interface PlanRun {
  runId: string
  plan: Expression
  /** Children run on the version the plan was understood for. */
  version: string
}

export async function carryOut(run: PlanRun, platform: PlanPlatform, inbox: Inbox): Promise<Completion> {
  const results = new Map<string, JobResult>()
  const errors = new Map<string, TaskRunError>()
  const failed = (error: TaskRunError): Completion => ({ ok: false, id: run.runId, error, skippedRetrying: true })
  try {
    for (let round = 0; ; round++) {
      const next = step(run.plan, results)
      await report(run, platform, next, round)
      if (next.kind === 'done') return { ok: true, id: run.runId, ...(await outputOf(platform, next.value)) }
      if (next.kind === 'impossible') return failed(planError(next.message))
      if (next.kind === 'failed') return failed(errors.get(next.key) ?? planError('A job of the plan failed.'))
      const keys = await start(run, platform, next.jobs, round)
      for (const [index, waitpoint] of (await inbox.take(keys)).entries()) {
        const job = next.jobs[index] as Job
        const output = await outputValue(platform, waitpoint)
        results.set(job.key, waitpoint.outputIsError ? { ok: false, task: job.task } : { ok: true, value: output })
        if (waitpoint.outputIsError) errors.set(job.key, output as TaskRunError)
      }
    }
  } catch (error) {
    if (error instanceof Cancelled) return failed({ type: 'INTERNAL_ERROR', code: 'TASK_RUN_CANCELLED', message: error.message })
    if (error instanceof Refused) return failed(planError(error.message))
    throw error
  }
}

/** One job is a child the run waits for, several are batches of them. Answers under which keys their results arrive. */
async function start(run: PlanRun, platform: PlanPlatform, jobs: Job[], round: number): Promise<string[]> {
  const wait = { parentRunId: run.runId, resumeParentOnCompletion: true }
  if (jobs.length === 1) {
    const [job] = jobs as [Job]
    const body = bodyOf(run, job, wait)
    const path = `/api/v1/tasks/${encodeURIComponent(job.task)}/trigger`
    const { id } = await post<{ id: string }>(platform, path, JSON.stringify(body), `${run.runId}/plan/${job.key}`)
    return [id]
  }
  const key = `${run.runId}/plan/round-${round}`
  const batch = JSON.stringify({ runCount: jobs.length, ...wait })
  const { id } = await post<{ id: string }>(platform, '/api/v3/batches', batch, key)
  let lines = ''
  for (const [index, job] of jobs.entries()) {
    lines += `${JSON.stringify({ index, task: job.task, ...bodyOf(run, job, { parentRunId: run.runId }) })}\n`
    if (lines.length < uploadBytes && index < jobs.length - 1) continue
    await post(platform, `/api/v3/batches/${id}/items`, lines, `${key}/${index}`)
    lines = ''
  }
  return jobs.map((_, index) => itemKey(id, index))
}

function bodyOf(run: PlanRun, job: Job, parent: object): { payload: unknown; options: object } {
  const payload = job.payload === undefined ? {} : job.payload
  return { payload, options: { lockToVersion: run.version, payloadType: 'application/json', ...job.options, ...parent } }
}

async function post<T>(platform: PlanPlatform, path: string, body: string, key: string): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const answer = await platform.call('POST', path, body, key)
    if (answer.status < 300) return JSON.parse(answer.body) as T
    if (attempt === attempts || (answer.status < 500 && answer.status !== 429)) throw new Refused(messageOf(answer))
    await scheduler.wait(100 * 2 ** attempt)
  }
}

function messageOf({ status, body }: { status: number; body: string }): string {
  try {
    return (JSON.parse(body) as { error: string }).error
  } catch {
    return `The platform answered ${status}.`
  }
}

/** What `.progress()` and the run's page show. A run that cannot say it goes on all the same. */
async function report(run: PlanRun, platform: PlanPlatform, progress: Progress & { jobs?: Job[] }, round: number): Promise<void> {
  const stage = progress.jobs?.[0]?.task
  const operations = [
    {
      type: 'set',
      key: 'progress',
      value: { ...(stage ? { stage } : { stage: 'done' }), percent: Math.floor((100 * progress.done) / progress.of) },
    },
    ...(progress.checkpoints.length > 0 ? [{ type: 'set', key: 'checkpoints', value: progress.checkpoints }] : []),
  ]
  const path = `/api/v1/runs/${run.runId}/metadata`
  await platform.call('PUT', path, JSON.stringify({ operations }), `${run.runId}/plan/progress-${round}`).catch(() => {})
}

async function outputValue(platform: PlanPlatform, waitpoint: CompletedWaitpoint): Promise<unknown> {
  if (waitpoint.output === undefined) return undefined
  const packet =
    waitpoint.outputType === 'application/store'
      ? await platform.readStored(waitpoint.output)
      : { data: waitpoint.output, dataType: waitpoint.outputType }
  if (packet.dataType === 'application/json') return JSON.parse(packet.data)
  if (packet.dataType === 'application/super+json') return (JSON.parse(packet.data) as { json?: unknown }).json
  return packet.data
}

async function outputOf(platform: PlanPlatform, value: unknown): Promise<{ output?: string; outputType?: string }> {
  const output = JSON.stringify(value)
  if (output === undefined) return {}
  const stored = await platform.store(output)
  return { output: stored.data, outputType: stored.dataType }
}

function planError(message: string): TaskRunError {
  return { type: 'BUILT_IN_ERROR', name: 'PlanError', message, stackTrace: '' }
}
