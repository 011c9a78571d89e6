/**
 * What becomes of a schedule when it is made, changed, switched or fired (engine-behaviour.md §6). What must stay true: a change
 * that leaves the timing alone keeps the pending tick; an inactive schedule has none, and is planned anew when it is activated.
 */
import type { ScheduleInput, ScheduleRecord } from '../../contracts/objects.ts'
import type { RpcResult } from '../../contracts/rpc.ts'
import type { TicksOf } from './next-tick.ts'
import { firstTick, isSameTiming, type Tick, type Timing, tickAfter, tickAt } from './plan.ts'

export interface Schedule extends ScheduleInput {
  id: string
  type: ScheduleRecord['type']
  deduplicationKey?: string
  active: boolean
  /** The pending tick, nominal. */
  nextAt: number
  /** When to fire it: its time within the window, or the next try. Absent when it never ticks again. */
  dueAt?: number
  /** Nominal time of the last tick that made a run. */
  lastAt?: number
  /** Failed deliveries of the pending tick. */
  failures: number
  createdAt: number
}

export type Pending = Pick<Schedule, 'nextAt' | 'dueAt' | 'failures'>

const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000

export function newSchedule(
  identity: { id: string; type: Schedule['type']; deduplicationKey?: string | undefined },
  input: ScheduleInput,
  now: number,
): Schedule {
  const { id, type, deduplicationKey } = identity
  return {
    id,
    type,
    task: input.task,
    ...timingOf(input),
    ...(deduplicationKey ? { deduplicationKey } : {}),
    ...(input.externalId ? { externalId: input.externalId } : {}),
    ...(input.payload ? { payload: input.payload } : {}),
    active: input.active ?? true,
    ...pending(firstTick(id, input, now), now),
    createdAt: now,
  }
}

/** Replaces all but the task, which a schedule keeps for life (6.7). */
export function changedSchedule(schedule: Schedule, input: ScheduleInput, now: number): Schedule {
  const { window: _window, externalId: _externalId, payload: _payload, dueAt: _dueAt, ...kept } = schedule
  const isReplanned = !isSameTiming(schedule, input)
  return {
    ...kept,
    ...timingOf(input),
    ...(input.externalId ? { externalId: input.externalId } : {}),
    ...(input.payload ? { payload: input.payload } : {}),
    ...(isReplanned ? pending(firstTick(schedule.id, input, now), now) : pendingOf(schedule)),
  }
}

/** Ticks that passed while it was inactive are gone. Activating an active one changes nothing, also when it is overdue. */
export function switchedSchedule(schedule: Schedule, active: boolean, now: number): Schedule {
  if (schedule.active === active) return schedule
  if (!active) return { ...schedule, active }
  const { dueAt: _dueAt, ...kept } = schedule
  return { ...kept, active, ...pending(firstTick(schedule.id, schedule, now), now) }
}

/** The pending tick after the last one made its run, or was refused. */
export function afterTick(schedule: Schedule, now: number, ticksOf?: TicksOf): Pending {
  return pending(tickAfter(schedule.id, schedule, schedule.nextAt, now, ticksOf), schedule.nextAt)
}

/**
 * By what the environment said to the tick, if it said anything. A refusal (a full queue) skips this tick only; what may go well
 * another time is tried again. `lastAt`: the tick that made a run.
 */
export function afterAnswer(
  schedule: Schedule,
  answer: RpcResult<unknown> | undefined,
  now: number,
  ticksOf?: TicksOf,
): Pending & { lastAt?: number } {
  if (!answer || (!answer.ok && answer.error.retryable && answer.error.status >= 500)) return afterFailure(schedule, now)
  return { ...afterTick(schedule, now, ticksOf), ...(answer.ok ? { lastAt: schedule.nextAt } : {}) }
}

/** The same tick again, later each time. */
export function afterFailure(schedule: Schedule, now: number): Pending {
  const failures = schedule.failures + 1
  const dueAt = now + Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(schedule.failures, 10))
  return { nextAt: schedule.nextAt, dueAt, failures }
}

export function recordOf(schedule: Schedule): ScheduleRecord {
  const { id, type, task, active, deduplicationKey, externalId, payload } = schedule
  const tick = active && schedule.dueAt !== undefined ? tickAt(id, schedule, schedule.nextAt) : undefined
  return {
    id,
    type,
    task,
    ...timingOf(schedule),
    active,
    ...(deduplicationKey === undefined ? {} : { deduplicationKey }),
    ...(externalId === undefined ? {} : { externalId }),
    ...(payload === undefined ? {} : { payload }),
    ...(tick ? { nextRun: tick.nominal, nextRunEffectiveAt: tick.effective } : {}),
  }
}

function pending(tick: Tick | undefined, otherwise: number): Pending {
  return tick ? { nextAt: tick.nominal, dueAt: tick.effective, failures: 0 } : { nextAt: otherwise, failures: 0 }
}

function pendingOf({ nextAt, dueAt, failures }: Schedule): Pending {
  return { nextAt, failures, ...(dueAt === undefined ? {} : { dueAt }) }
}

function timingOf({ cron, timezone, window }: Timing): Timing {
  return { cron, timezone, ...(window === undefined ? {} : { window }) }
}
