/** The way from a decision to the RunDO that carries it out. Calls go out after the commit that decided them. */
import type { Env } from '../../contracts/bindings.ts'
import { objectNames } from '../../contracts/objects.ts'
import type { RunExecutor, WorkerVersion } from '../../contracts/rpc.ts'
import type { StoredRun } from '../../storage/run-table.ts'
import type { Turn } from './runs.ts'
import { completedWaitpoints } from './waits.ts'

/** A start without an acknowledgement is superseded after this long (design §3.1.1). */
const startAckMs = 5_000

export class Executors {
  private readonly env: Env
  /** Reports a lease nobody serves any more. */
  private readonly onLost: (runId: string, lease: number, reason: string) => void

  constructor(env: Env, onLost: (runId: string, lease: number, reason: string) => void) {
    this.env = env
    this.onLost = onLost
  }

  at(locator: string, slot: number): RunExecutor {
    return this.env.RUN.get(this.env.RUN.idFromName(objectNames.run(locator, '0', slot))) as unknown as RunExecutor
  }

  start(turn: Turn, run: StoredRun, version: WorkerVersion, execution: Record<string, unknown>): void {
    const { state } = turn
    const environment = state.identity
    if (!environment) return
    const { lease, slot } = run.engine
    const input = {
      environment,
      lease,
      runId: run.id,
      attempt: run.attemptNumber,
      shard: slot,
      bundle: {
        hash: version.bundleHash,
        version: version.version,
        deploymentId: version.deploymentId,
        workerId: version.workerId,
        deploymentShortCode: version.deploymentShortCode,
      },
      execution,
      traceparent: `00-${run.traceId}-${run.spanId}-01`,
      ...(run.maxDuration === undefined ? {} : { maxDuration: run.maxDuration }),
      variables: state.variables,
    }
    state.effects.push(async () => {
      const silence = setTimeout(() => this.onLost(run.id, lease, 'the start was not acknowledged'), startAckMs)
      try {
        const answer = await this.at(environment.locator, slot).start(input)
        if (!answer.ok) this.onLost(run.id, lease, answer.reason ?? 'the start was refused')
      } catch (error) {
        this.onLost(run.id, lease, `the executor could not be reached: ${String(error)}`)
      } finally {
        clearTimeout(silence)
      }
    })
  }

  resume(turn: Turn, run: StoredRun): void {
    const { state } = turn
    const locator = state.identity?.locator ?? ''
    const { lease, slot } = run.engine
    const waitpoints = completedWaitpoints(state, run, turn.now)
    run.engine.waits = []
    state.effects.push(async () => {
      try {
        const answer = await this.at(locator, slot).resume(lease, waitpoints)
        if (!answer.ok) this.onLost(run.id, lease, 'the executor forgot the run while it waited')
      } catch (error) {
        this.onLost(run.id, lease, `the executor could not be reached: ${String(error)}`)
      }
    })
  }

  cancel(turn: Turn, run: StoredRun, reason: string): void {
    const locator = turn.state.identity?.locator ?? ''
    const { lease, slot } = run.engine
    turn.state.effects.push(async () => {
      const answer = await this.at(locator, slot)
        .cancel(lease, reason)
        .catch(() => ({ ok: false }))
      if (!answer.ok) this.onLost(run.id, lease, 'cancelled')
    })
  }
}
