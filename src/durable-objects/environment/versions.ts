/** What a new version sets free: runs that no version could execute, and runs that wait for the deployment they name. */
import { parseDuration } from '../../contracts/durations.ts'
import { planTask } from '../../contracts/plan.ts'
import type { WorkerVersion } from '../../contracts/rpc.ts'
import { declaresQueue } from '../../core/queue/declared.ts'
import { move } from '../../core/run/statuses.ts'
import type { StoredRun } from '../../storage/run-table.ts'
import { intoQueue } from './attempts.ts'
import type { Turn } from './state.ts'

/** How long a run waits for the deployment it names (engine-behaviour.md 1.40). */
const longestParkMs = 3_600_000

/** For a new run whose deployment is not here yet. */
export function park(turn: Turn, run: StoredRun, externalId: string, queue: string | undefined): void {
  const ttl = run.ttl ? parseDuration(run.ttl) : undefined
  run.status = 'PENDING_VERSION'
  run.waitingReason = `no deployment has the external id ${externalId} yet`
  run.queuedAt = undefined
  run.engine.dueAt = undefined
  run.engine.parked = { externalId, ...(queue === undefined ? {} : { queue }) }
  run.engine.ttlAt = Math.max(turn.now, run.delayUntil ?? 0) + Math.min(longestParkMs, ttl ?? longestParkMs)
  turn.state.due.add({ at: run.engine.ttlAt, kind: 'ttl', id: run.id })
}

export function becomeCurrent(turn: Turn, version: WorkerVersion): void {
  turn.state.setVersion(version, turn.now)
  releaseParked(turn, version)
  const known = new Set([planTask, ...version.tasks.map((task) => task.id)])
  for (const run of turn.state.live.values()) {
    if (run.status !== 'PENDING_VERSION' || run.engine.parked) continue
    if (known.has(run.task) && declaresQueue(version, run.queue)) release(turn, run)
  }
}

/** Deployed but not promoted: only runs that name it may go. */
export function becomeKnown(turn: Turn, version: WorkerVersion): void {
  turn.state.addVersion(version)
  releaseParked(turn, version)
}

function releaseParked(turn: Turn, { externalId }: WorkerVersion): void {
  const newest = externalId === undefined ? undefined : turn.state.versionWithExternalId(externalId)
  if (!newest) return
  for (const run of turn.state.live.values()) {
    const { parked } = run.engine
    if (run.status !== 'PENDING_VERSION' || parked?.externalId !== externalId) continue
    const task = newest.tasks.find((candidate) => candidate.id === run.task)
    run.queue = parked?.queue ?? task?.queue?.name ?? run.queue
    run.engine.lockToVersion = newest.version
    run.engine.parked = undefined
    release(turn, run)
  }
}

/** Its TTL begins here (1.38); a delay that is not over goes on (1.41). */
function release(turn: Turn, run: StoredRun): void {
  const { state, now } = turn
  run.waitingReason = undefined
  run.engine.ttlAt = undefined
  if (run.startedAt === undefined && run.delayUntil !== undefined && run.delayUntil > now) {
    run.status = move(run.status, 'DELAYED')
    run.engine.dueAt = run.delayUntil
    state.due.add({ at: run.delayUntil, kind: 'start', id: run.id })
  } else {
    run.status = move(run.status, 'PENDING')
    run.queuedAt = now
    intoQueue(turn, run)
  }
  state.changed(run, now)
}
