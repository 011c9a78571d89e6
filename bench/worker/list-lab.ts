/** The Worker with an environment that can be filled with finished runs, and asked for lists from inside; only benchmarks start it. */
import type { Env } from '../../src/contracts/bindings.ts'
import { locatorOf, mintId } from '../../src/contracts/ids.ts'
import { objectNames } from '../../src/contracts/objects.ts'
import type { ListRunsInput, RunStatus } from '../../src/contracts/rpc.ts'
import { listRuns } from '../../src/durable-objects/environment/run-list.ts'
import type { EnvironmentState } from '../../src/durable-objects/environment/state.ts'
import { insertRun, type StoredRun } from '../../src/storage/run-table.ts'
import worker, * as classes from '../../src/worker.ts'

export * from '../../src/worker.ts'

export interface FillRequest {
  /** Of the environment: any of its runs. */
  runId: string
  from: number
  to: number
  of: number
}
export interface ListRequest {
  runId: string
  input: ListRunsInput
  times: number
}

const minuteMs = 60_000

export class EnvironmentDO extends classes.EnvironmentDO {
  fill({ runId, from, to, of }: FillRequest): void {
    const { sql } = this.ctx.storage
    const newest = Date.now()
    this.ctx.storage.transactionSync(() => {
      for (let index = from; index < to; index++)
        insertRun(sql, finished(runId, index, newest - (of - index) * minuteMs), false, {})
    })
  }

  time({ input, times }: ListRequest): { found: number; next?: string } {
    const { state } = this as unknown as { state: EnvironmentState }
    let result = listRuns(state, input)
    for (let time = 1; time < times; time++) result = listRuns(state, input)
    return { found: result.runs.length, ...(result.next ? { next: result.next } : {}) }
  }
}

/** A run as real ones are stored, about 1 kB: one in 5,000 failed, one in 2,500 with its own tag. */
function finished(like: string, index: number, createdAt: number): StoredRun {
  const status: RunStatus = index % 5_000 === 0 ? 'COMPLETED_WITH_ERRORS' : 'COMPLETED_SUCCESSFULLY'
  return {
    id: mintId('run', locatorOf(like) as string, '0', createdAt),
    task: `task-${index % 50}`,
    status,
    createdAt,
    updatedAt: createdAt + 3,
    queuedAt: createdAt,
    startedAt: createdAt + 1,
    completedAt: createdAt + 3,
    tags: ['all', ...(index % 2_500 === 0 ? ['needle'] : [])],
    queue: index % 4_000 === 0 ? 'rare-queue' : `task/task-${index % 50}`,
    version: '20261124.1',
    isTest: false,
    depth: 0,
    attemptNumber: 1,
    usageDurationMs: 2,
    costInCents: 0.0001,
    baseCostInCents: 0.0025,
    traceId: '0'.repeat(32),
    spanId: '0'.repeat(16),
    padding: 'x'.repeat(300),
    engine: { operationId: mintId('run', 'abcdef'), lease: 0, slot: 0, score: createdAt, holdsSlot: false, waits: [], lost: 0 },
  } as unknown as StoredRun
}

function environmentOf(env: Env, runId: string): EnvironmentDO {
  const name = objectNames.environment(locatorOf(runId) as string, '0')
  return env.ENVIRONMENT.get(env.ENVIRONMENT.idFromName(name)) as unknown as EnvironmentDO
}

export default {
  ...worker,
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url)
    if (pathname === '/bench/fill') {
      const input = (await request.json()) as FillRequest
      await environmentOf(env, input.runId).fill(input)
      return Response.json({})
    }
    if (pathname === '/bench/list') {
      const input = (await request.json()) as ListRequest
      return Response.json(await environmentOf(env, input.runId).time(input))
    }
    return worker.fetch(request, env, ctx)
  },
}
