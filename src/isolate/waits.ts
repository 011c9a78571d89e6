/**
 * The runtime manager the SDK's wait functions end at. A wait is an operation named by its resolver key; RunDO resolves
 * it through the run's control stub. Waits at the same time are an error, as upstream.
 */
import type { CompletedWaitpoint, TaskRunError } from '../contracts/rpc.ts'
import type { Operations } from './operations.ts'

interface TaskResult {
  ok: boolean
  id: string
  output?: string
  outputType?: string
  error?: TaskRunError
}

/** The SDK's own hook registry: tells the task's onWait and onResume. */
export interface WaitHooks {
  callOnWaitHookListeners(wait: unknown): Promise<void>
  callOnResumeHookListeners(wait: unknown): Promise<void>
}

const concurrentWait = 'Parallel waits are not supported, e.g. using Promise.all() around our wait functions.'

export class Waits {
  readonly #operations: Operations
  readonly #hooks: WaitHooks
  readonly #resolvers = new Map<string, (waitpoint: CompletedWaitpoint) => void>()
  /** Waitpoints that came before the task asked for them. */
  readonly #early = new Map<string, CompletedWaitpoint>()
  #isWaiting = false

  constructor(operations: Operations, hooks: WaitHooks) {
    this.#operations = operations
    this.#hooks = hooks
  }

  disable(): void {}

  waitForTask(params: { id: string }): Promise<TaskResult> {
    return this.#exclusive(async () => {
      const [waitpoint] = await this.#wait([params.id], { type: 'task', runId: params.id })
      return taskResult(waitpoint as CompletedWaitpoint)
    })
  }

  waitForBatch(params: { id: string; runCount?: number }): Promise<{ id: string; items: TaskResult[] }> {
    return this.#exclusive(async () => {
      const count = params.runCount ?? 0
      if (count === 0) return { id: params.id, items: [] }
      const keys = Array.from({ length: count }, (_, index) => `${params.id}_${index}`)
      const waitpoints = await this.#wait(keys, { type: 'batch', batchId: params.id, runCount: count })
      return { id: params.id, items: waitpoints.map(taskResult) }
    })
  }

  waitForWaitpoint(params: { waitpointFriendlyId: string; finishDate?: Date }): Promise<{
    ok: boolean
    output?: string
    outputType?: string
  }> {
    const { waitpointFriendlyId: id, finishDate } = params
    const description = finishDate ? { type: 'duration', date: finishDate } : { type: 'token', token: id }
    return this.#exclusive(async () => {
      const [waitpoint] = await this.#wait([id], description)
      return { ok: !waitpoint?.outputIsError, output: waitpoint?.output, outputType: waitpoint?.outputType }
    })
  }

  resolve(waitpoints: CompletedWaitpoint[]): void {
    for (const waitpoint of waitpoints) {
      const key = resolverKey(waitpoint)
      if (!key) continue
      const resolver = this.#resolvers.get(key)
      if (resolver) {
        this.#resolvers.delete(key)
        resolver(waitpoint)
      } else this.#early.set(key, waitpoint)
    }
  }

  async #wait(keys: string[], description: unknown): Promise<CompletedWaitpoint[]> {
    const arrivals = keys.map((key) => this.#operations.issue(`wp:${key}`, () => this.#arrival(key)))
    // Hooks may fail while arrivals are pending: those must not count as unhandled.
    const all = Promise.all(arrivals)
    all.catch(() => {})
    await this.#hooks.callOnWaitHookListeners(description)
    const waitpoints = await all
    await this.#hooks.callOnResumeHookListeners(description)
    return waitpoints
  }

  #arrival(key: string): Promise<CompletedWaitpoint> {
    const early = this.#early.get(key)
    if (early) {
      this.#early.delete(key)
      return Promise.resolve(early)
    }
    return new Promise((resolve) => this.#resolvers.set(key, resolve))
  }

  async #exclusive<T>(wait: () => Promise<T>): Promise<T> {
    if (this.#isWaiting) throw concurrentWaitError()
    this.#isWaiting = true
    try {
      // A tick, so that a second wait of the same Promise.all is noticed before the first one starts.
      await Promise.resolve()
      return await wait()
    } finally {
      this.#isWaiting = false
    }
  }
}

/** The SDK knows its internal errors by their name, so that copies of it understand each other. */
function concurrentWaitError(): Error {
  const error = Object.assign(new Error(concurrentWait), { code: 'TASK_DID_CONCURRENT_WAIT', skipRetrying: true })
  error.name = 'TriggerInternalError'
  error.stack = undefined
  return error
}

/** cli-engine-protocol.md §2.10. BATCH waitpoints resolve nothing: the runs of the batch do. */
function resolverKey(waitpoint: CompletedWaitpoint): string | undefined {
  if (waitpoint.type === 'BATCH') return undefined
  if (waitpoint.type !== 'RUN') return waitpoint.friendlyId
  const run = waitpoint.completedByTaskRun
  return run?.batch ? `${run.batch.friendlyId}_${waitpoint.index}` : run?.friendlyId
}

function taskResult(waitpoint: CompletedWaitpoint): TaskResult {
  const id = waitpoint.completedByTaskRun?.friendlyId ?? waitpoint.friendlyId
  if (waitpoint.outputIsError) {
    const error: TaskRunError = waitpoint.output
      ? JSON.parse(waitpoint.output)
      : { type: 'STRING_ERROR', raw: 'Missing error output' }
    return { ok: false, id, error }
  }
  return { ok: true, id, output: waitpoint.output, outputType: waitpoint.outputType ?? 'application/json' }
}
