/** The way from a decision to the RunDO that carries it out. Calls go out after the commit that decided them. */
import type { Env } from '../../contracts/bindings.ts'
import { objectNames } from '../../contracts/objects.ts'
import type { CompletedWaitpoint, RunExecutor, WorkerVersion } from '../../contracts/rpc.ts'
import type { StoredRun } from '../../storage/run-table.ts'
import { historyOf } from './archive.ts'
import type { RemoteExecutors } from './remote.ts'
import { type EnvironmentState, isRemote, type Turn } from './state.ts'
import { completedWaitpoints, outcome } from './waits.ts'

/** A start without an acknowledgement is superseded after this long (design §3.1.1). */
const startAckMs = 5_000
const aliveAnswerMs = 5_000
const hintDelaySeconds = 2

export class Executors {
  private readonly env: Env
  /** Reports a lease nobody serves any more. */
  private readonly onLost: (runId: string, lease: number, reason: string) => void
  readonly remote: RemoteExecutors
  /** Leases whose start is under way: an executor that does not know them yet has not lost them. */
  private readonly starting = new Set<number>()

  constructor(env: Env, remote: RemoteExecutors, onLost: (runId: string, lease: number, reason: string) => void) {
    this.env = env
    this.remote = remote
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
    this.starting.add(lease)
    state.effects.push(async () => {
      const silence = setTimeout(() => void this.supersede(environment.locator, run.id, lease, slot), startAckMs)
      try {
        const answer = await this.at(environment.locator, slot).start(input)
        if (!answer.ok) this.onLost(run.id, lease, answer.reason ?? 'the start was refused')
      } catch (error) {
        this.onLost(run.id, lease, `the executor could not be reached: ${String(error)}`)
        // A hint beside the alarm: whoever of the two comes first makes the next start.
        const environment = objectNames.environment(input.environment.locator)
        await this.env.DISPATCH.send({ environment }, { delaySeconds: hintDelaySeconds }).catch(() => {})
      } finally {
        clearTimeout(silence)
        this.starting.delete(lease)
      }
    })
  }

  /** No acknowledgement: unless the executor serves the lease all the same (a busy machine answers late), it is given up. */
  private async supersede(locator: string, runId: string, lease: number, slot: number): Promise<void> {
    const isServed = await Promise.race([
      this.at(locator, slot)
        .alive([lease])
        .then(
          (alive) => alive.includes(lease),
          () => false,
        ),
      scheduler.wait(aliveAnswerMs).then(() => false),
    ])
    if (!isServed) this.onLost(runId, lease, 'the start was not acknowledged')
  }

  resume(turn: Turn, run: StoredRun): void {
    if (isRemote(run)) {
      this.remote.resume(turn, run)
      return
    }
    const { state } = turn
    const environment = state.identity
    if (!environment) return
    const { lease, slot } = run.engine
    const waitpoints = completedWaitpoints(state, run, turn.now)
    run.engine.waits = []
    state.effects.push(async () => {
      try {
        const complete = await Promise.all(waitpoints.map((waitpoint) => this.fromHistory(environment.locator, waitpoint)))
        const answer = await this.at(environment.locator, slot).resume(lease, complete)
        if (!answer.ok) this.onLost(run.id, lease, 'the executor forgot the run while it waited')
      } catch (error) {
        this.onLost(run.id, lease, `the executor could not be reached: ${String(error)}`)
      }
    })
  }

  cancel(turn: Turn, run: StoredRun, reason: string): void {
    if (isRemote(run)) {
      this.remote.cancel(turn, run)
      return
    }
    const locator = turn.state.identity?.locator ?? ''
    const { lease, slot } = run.engine
    turn.state.effects.push(async () => {
      const answer = await this.at(locator, slot)
        .cancel(lease, reason)
        .catch(() => ({ ok: false }))
      if (!answer.ok) this.onLost(run.id, lease, 'cancelled')
    })
  }

  /** The lease was taken away without a word of its executor: nothing new starts there until it says that the session is over. */
  release(turn: Turn, run: StoredRun): void {
    if (isRemote(run)) return
    const { quarantine } = turn.state
    const { lease, slot } = run.engine
    quarantine.set(slot, (quarantine.get(slot) ?? new Set()).add(lease))
    this.releases.set(lease, { runId: run.id, slot })
    turn.state.effects.push(() => this.confirm(turn.state))
  }
  private readonly releases = new Map<number, { runId: string; slot: number }>()

  /** Asks again, from each lease check, until it is confirmed. */
  async confirm(state: EnvironmentState): Promise<void> {
    const locator = state.identity?.locator ?? ''
    await Promise.all(
      [...this.releases].map(async ([lease, { runId, slot }]) => {
        const answer = await this.at(locator, slot)
          .release(lease, runId)
          .catch(() => ({ ok: false }))
        if (!answer.ok) return
        this.releases.delete(lease)
        const held = state.quarantine.get(slot)
        held?.delete(lease)
        if (held?.size === 0) state.quarantine.delete(slot)
      }),
    )
  }

  /** Which of the held leases nobody serves. No answer is no proof: the next check asks again. */
  async findLost(state: EnvironmentState): Promise<{ runId: string; lease: number }[]> {
    const locator = state.identity?.locator ?? ''
    const bySlot = new Map<number, { runId: string; lease: number }[]>()
    for (const run of state.live.values()) {
      const { id, engine } = run
      if (engine.lease === 0 || isRemote(run) || this.starting.has(engine.lease)) continue
      const held = bySlot.get(engine.slot) ?? []
      held.push({ runId: id, lease: engine.lease })
      bySlot.set(engine.slot, held)
    }
    const lost = await Promise.all(
      [...bySlot].map(async ([slot, held]) => {
        const leases = held.map(({ lease }) => lease)
        const alive = await this.at(locator, slot)
          .alive(leases)
          .catch(() => leases)
        return held.filter(({ lease }) => !alive.includes(lease))
      }),
    )
    return lost.flat()
  }

  async fromHistory(locator: string, waitpoint: CompletedWaitpoint): Promise<CompletedWaitpoint> {
    const { archivedRun: runId, ...known } = waitpoint
    if (!runId) return known
    const entry = await historyOf(this.env, locator, runId).get(runId)
    return { ...known, ...outcome(entry ?? {}, known.outputIsError) }
  }
}
