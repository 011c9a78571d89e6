/**
 * Schedules of one environment, declared in code or made over the API, and their next ticks (engine-behaviour.md §6).
 * What must stay true: a tick makes at most one run however often it fires (the run's id derives from schedule and tick); a
 * stretch of missed ticks makes one late run, never a backlog; a change that leaves the timing alone keeps the pending tick.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import { mintId, randomText } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import {
  type DirectoryObject,
  type EnvironmentObject,
  objectNames,
  type ScheduleInput,
  type ScheduleRecord,
  type SchedulerObject,
  type ScheduleTiming,
  timerNames,
} from '../contracts/objects.ts'
import type { EnvironmentIdentity, RpcResult, TriggerInput, TriggerResult } from '../contracts/rpc.ts'
import { sharedTicks, type TicksOf } from '../core/schedule/next-tick.ts'
import { timingProblem } from '../core/schedule/plan.ts'
import {
  afterAnswer,
  changedSchedule,
  newSchedule,
  recordOf,
  type Schedule,
  switchedSchedule,
} from '../core/schedule/schedule.ts'
import { tickPayload } from '../core/schedule/tick-payload.ts'
import { migrateScheduler } from '../storage/migrations.ts'
import * as table from '../storage/schedule-table.ts'

/** Ticks handed over in one call (design D8 bounds its size) and settled in one transaction. */
const TICKS_PER_CALL = 100
/** In several calls: fewer than the environment lets wait, so that others are not turned away. */
const TICKS_AT_ONCE = 1_000
/** The rest follows in the next alarm. */
const ROUNDS = 5
/** engine-behaviour.md 6.26 */
const DEVELOPMENT_TTL = '10m'
const idAlphabet = '0123456789abcdefghijklmnopqrstuv'

export class SchedulerDO extends DurableObject<Env> implements SchedulerObject {
  private sql: SqlStorage
  private noted = false
  /** What the alarm is set to; undefined when that is not known. */
  private alarmAt: number | null | undefined
  /** Schedules made over the API; counted anew when that is not known. */
  private made: number | undefined
  /** Alarm and minute cron meet at every full minute: the second one joins the first. */
  private firing: Promise<void> | undefined

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    this.sql = ctx.storage.sql
    migrateScheduler(ctx.storage)
  }

  /** All or nothing: throws, and changes nothing, when one of the schedules is not valid. */
  async syncDeclared(identity: EnvironmentIdentity, schedules: (ScheduleTiming & { task: string })[]): Promise<void> {
    for (const schedule of schedules) {
      const problem = timingProblem(schedule)
      if (problem) throw new Error(`Schedule of task "${schedule.task}": ${problem}`)
    }
    this.ctx.storage.transactionSync(() => {
      const now = Date.now()
      table.putIdentity(this.sql, identity)
      const declared = new Set(schedules.map((schedule) => schedule.task))
      const known = new Map(table.declaredSchedules(this.sql).map((schedule) => [schedule.task, schedule]))
      for (const { task, id } of known.values()) if (!declared.has(task)) table.deleteSchedule(this.sql, id)
      for (const input of schedules) {
        const before = known.get(input.task)
        const after = before
          ? changedSchedule(before, input, now)
          : newSchedule({ id: `sched_${randomText(21)}`, type: 'DECLARATIVE' }, input, now)
        table.putSchedule(this.sql, after)
      }
    })
    await this.arm()
  }

  async list(input: { page: number; perPage: number }): Promise<{ schedules: ScheduleRecord[]; count: number }> {
    // A lost alarm heals when somebody looks.
    if ((await this.ctx.storage.getAlarm()) === null) {
      this.alarmAt = undefined
      await this.arm()
    }
    const schedules = table.listSchedules(this.sql, (input.page - 1) * input.perPage, input.perPage)
    return { schedules: schedules.map(recordOf), count: table.countSchedules(this.sql) }
  }

  async get(reference: string): Promise<ScheduleRecord | null> {
    const found = table.findSchedule(this.sql, reference)
    return found ? recordOf(found) : null
  }

  async upsert(
    identity: EnvironmentIdentity,
    id: string,
    by: { reference: string } | { deduplicationKey?: string },
    input: ScheduleInput,
  ): Promise<RpcResult<ScheduleRecord>> {
    const deduplicationKey = 'reference' in by ? undefined : by.deduplicationKey
    const now = Date.now()
    // The caller's new id is known when its first call was carried out and the answer was lost.
    const repeated = table.findSchedule(this.sql, id)
    const before =
      repeated ??
      ('reference' in by
        ? table.findSchedule(this.sql, by.reference)
        : deduplicationKey
          ? table.findByKey(this.sql, deduplicationKey)
          : undefined)
    if (before?.type === 'DECLARATIVE') return declarative('update')
    const limit = Number(this.env.SCHEDULE_LIMIT) || limits.schedules
    this.made ??= table.countSchedules(this.sql, 'IMPERATIVE')
    const count = before ? 0 : this.made
    if (count >= limit) {
      const message = `You have created ${count}/${limit} schedules so you'll need to increase your limits or delete some schedules.`
      return refusal('SCHEDULE_LIMIT', message, 422)
    }
    const after = before
      ? changedSchedule(before, input, now)
      : newSchedule({ id, type: 'IMPERATIVE', deduplicationKey }, input, now)
    this.ctx.storage.transactionSync(() => {
      table.putIdentity(this.sql, identity)
      table.putSchedule(this.sql, after)
    })
    if (!before) this.made += 1
    await this.arm()
    return { ok: true, value: recordOf(after) }
  }

  async setActive(reference: string, active: boolean): Promise<RpcResult<ScheduleRecord>> {
    const before = table.findSchedule(this.sql, reference)
    if (!before) return notFound()
    if (before.type === 'DECLARATIVE') return declarative(active ? 'activate' : 'deactivate')
    const after = switchedSchedule(before, active, Date.now())
    table.putSchedule(this.sql, after)
    await this.arm()
    return { ok: true, value: recordOf(after) }
  }

  async delete(reference: string): Promise<RpcResult<{ id: string }>> {
    const found = table.findSchedule(this.sql, reference)
    if (!found) return notFound()
    if (found.type === 'DECLARATIVE') return declarative('delete')
    table.deleteSchedule(this.sql, found.id)
    this.made = undefined
    await this.arm()
    return { ok: true, value: { id: found.id } }
  }

  async deleteAll(): Promise<void> {
    table.deleteSchedules(this.sql)
    this.made = undefined
    await this.arm()
  }

  override async alarm(): Promise<void> {
    this.alarmAt = undefined
    await this.fireDue()
  }

  /** From the minute cron: fires what a lost alarm left. False when there is nothing to wait for. */
  async wake(): Promise<boolean> {
    this.alarmAt = undefined
    await this.fireDue()
    const waits = (await this.ctx.storage.getAlarm()) !== null
    this.noted = waits
    return waits
  }

  private async fireDue(): Promise<void> {
    this.firing ??= this.fireRounds().finally(() => {
      this.firing = undefined
    })
    await this.firing
    await this.arm()
  }

  private async fireRounds(): Promise<void> {
    const identity = table.readIdentity(this.sql)
    const ticksOf = sharedTicks()
    for (let round = 0; identity && round < ROUNDS; round++) {
      const due = table.dueSchedules(this.sql, Date.now(), TICKS_AT_ONCE)
      const calls: Promise<void>[] = []
      for (let from = 0; from < due.length; from += TICKS_PER_CALL)
        calls.push(this.fire(identity, due.slice(from, from + TICKS_PER_CALL), ticksOf))
      await Promise.all(calls)
      if (due.length < TICKS_AT_ONCE) return
    }
  }

  private async fire(identity: EnvironmentIdentity, due: Schedule[], ticksOf: TicksOf): Promise<void> {
    const answers = await this.handOver(identity, due, ticksOf)
    const now = Date.now()
    const settled = due.map((schedule) => ({ schedule, next: afterAnswer(schedule, answers.get(schedule.id), now, ticksOf) }))
    this.ctx.storage.transactionSync(() => {
      for (const { schedule, next } of settled) table.movePending(this.sql, schedule, next)
    })
  }

  /** By schedule; nothing of those that the environment did not answer for. */
  private async handOver(
    identity: EnvironmentIdentity,
    due: Schedule[],
    ticksOf: TicksOf,
  ): Promise<Map<string, RpcResult<TriggerResult>>> {
    const now = Date.now()
    const inputs = new Map<string, TriggerInput>()
    for (const schedule of due) {
      const input = await tickInput(identity, schedule, now, ticksOf).catch(() => undefined)
      if (input) inputs.set(schedule.id, input)
    }
    const id = this.env.ENVIRONMENT.idFromName(objectNames.environment(identity.locator, '0'))
    const environment = this.env.ENVIRONMENT.get(id) as unknown as EnvironmentObject
    // The scheduler holds no key, so no revocation can concern it.
    const caller = { environment: identity, keyEpoch: Number.MAX_SAFE_INTEGER }
    const answers = await environment.triggerMany(caller, [...inputs.values()]).catch(() => [])
    return new Map([...inputs.keys()].flatMap((key, index) => (answers[index] ? [[key, answers[index]]] : [])))
  }

  private async arm(): Promise<void> {
    const due = table.earliestDue(this.sql) ?? null
    // Never for this millisecond or the past: an alarm set inside its own handler for the same time may not fire again.
    const at = due === null ? null : Math.max(Date.now() + 1, due)
    if (at !== this.alarmAt) {
      this.alarmAt = at
      await (at === null ? this.ctx.storage.deleteAlarm() : this.ctx.storage.setAlarm(at))
    }
    if (at !== null) await this.noteTimers()
  }

  /** A coarse hint for the minute cron, once per life of this object. */
  private async noteTimers(): Promise<void> {
    const identity = this.noted ? undefined : table.readIdentity(this.sql)
    if (!identity) return
    const directory = this.env.DIRECTORY.get(this.env.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject
    this.noted = await directory.noteTimers(timerNames.scheduler(identity.locator)).then(
      () => true,
      () => false,
    )
  }
}

async function tickInput(
  identity: EnvironmentIdentity,
  schedule: Schedule,
  now: number,
  ticksOf: TicksOf,
): Promise<TriggerInput> {
  return {
    runId: await tickRunId(schedule.id, schedule.nextAt, identity.locator),
    operationId: `schedule:${schedule.id}:${schedule.nextAt}`,
    task: schedule.task,
    options: {
      payload: tickPayload(schedule, now, ticksOf),
      scheduleId: schedule.id,
      createdAt: schedule.nextAt,
      ...(identity.type === 'DEVELOPMENT' ? { ttl: DEVELOPMENT_TTL } : {}),
    },
  }
}

/** A run id whose random part is a hash of schedule and tick: firing a tick again names the same run. */
async function tickRunId(scheduleId: string, tick: number, locator: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(`${scheduleId}:${tick}`))
  const hash = [...new Uint8Array(digest).slice(0, 10)].map((byte) => idAlphabet[byte & 31]).join('')
  // run_ + 9 characters of time, as mintId makes them.
  const prefix = mintId('run', locator, '0', tick).slice(0, 'run_'.length + 9)
  return `${prefix}${hash}${locator}0`
}

function notFound(): { ok: false; error: { code: string; message: string; status: number } } {
  return refusal('NOT_FOUND', 'Schedule not found', 404)
}

function declarative(verb: string): ReturnType<typeof notFound> {
  return refusal('DECLARATIVE_SCHEDULE', `Cannot ${verb} a declarative schedule`, 422)
}

function refusal(code: string, message: string, status: number): ReturnType<typeof notFound> {
  return { ok: false, error: { code, message, status } }
}
