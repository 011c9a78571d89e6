/** A trigger with a debounce key becomes the delayed run of that key, if there is one. */
import type { TriggerInput } from '../../contracts/rpc.ts'
import { rateKeyOf } from '../../core/queue/rate-limits.ts'
import { pushBack } from '../../core/run/debounce.ts'
import { notePacketOwner, replaceTags, type StoredRun } from '../../storage/run-table.ts'
import { optional, type Turn } from './state.ts'

/** By these a repeated request finds the run it joined, also after a reset. */
const operationsKept = 20

export function joinDebounced(turn: Turn, input: TriggerInput): StoredRun | undefined {
  const { state, now } = turn
  const { debounce } = input.options
  const run = debounce ? state.live.get(state.debounced.find(input.task, debounce.key) ?? '') : undefined
  const known = run?.engine.debounce
  if (!debounce || !known || run?.status !== 'DELAYED') return undefined
  const before = run.delayUntil ?? now
  const delayUntil = pushBack({ since: known.since, delayUntil: before }, debounce, now)
  if (delayUntil === undefined) {
    // It goes off when it was going to; the run made now takes the key.
    state.debounced.remove(run)
    delete run.engine.debounce
    state.changed(run, now)
    return undefined
  }
  state.operations.set(input.operationId, run.id)
  // Nothing is written for a trigger that changes nothing.
  if (delayUntil === before && debounce.mode === 'leading') return run
  known.operations = [...known.operations, input.operationId].slice(-operationsKept)
  if (delayUntil > before) {
    run.delayUntil = delayUntil
    // The due item that is planned finds this and plans itself again: one item per run, however often it is pushed.
    run.engine.dueAt = delayUntil
    if (!run.resumeParentOnCompletion) run.engine.score = delayUntil - run.priorityMs
  }
  if (debounce.mode === 'trailing') takeOver(turn, run, input)
  state.changed(run, now)
  return run
}

/** The data of the last trigger; its queue, key, TTL and priority stay those of the first (2.66, 2.72). */
function takeOver(turn: Turn, run: StoredRun, { options }: TriggerInput): void {
  turn.state.replaceInput(run, { payload: options.payload, ...optional('metadata', options.metadata) })
  notePacketOwner(turn.state.sql, run.id, options.payload, turn.now)
  const tags = options.tags ?? []
  replaceTags(turn.state.sql, run.id, run.tags, tags)
  run.tags = tags
  run.maxAttempts = options.maxAttempts || run.maxAttempts
  run.maxDuration = options.maxDuration ?? run.maxDuration
  run.machine = options.machine ?? run.machine
  const version = turn.state.versionNamed(run.engine.lockToVersion ?? '') ?? turn.state.version
  const task = version?.tasks.find((candidate) => candidate.id === run.task)
  const rateKey = rateKeyOf(task?.rateLimit, options.payload)
  if (rateKey === undefined) delete run.engine.rateKey
  else run.engine.rateKey = rateKey
}
