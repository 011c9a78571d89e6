/**
 * Declared schedules of one environment and their next ticks (engine-behaviour.md §6).
 * What must stay true: a tick makes at most one run however often it fires (the run's id derives from schedule and tick); a
 * stretch of missed ticks makes one late run, never a backlog; a deploy that does not change the timing keeps the pending tick.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import { mintId, randomText } from '../contracts/ids.ts'
import {
  type DirectoryObject,
  type EnvironmentObject,
  objectNames,
  type SchedulerObject,
  timerNames,
} from '../contracts/objects.ts'
import type { EnvironmentIdentity, Packet, TriggerInput } from '../contracts/rpc.ts'
import { nextTick, upcoming, validateCron, validateTimezone } from '../core/schedule/next-tick.ts'

type Row = {
  id: string
  task: string
  cron: string
  timezone: string
  active: number
  /** The pending tick, nominal. */
  next_at: number
  /** Nominal time of the last tick that made a run. */
  last_at: number | null
  created_at: number
  /** Failed deliveries of the pending tick, and when to try again. */
  failures: number
  retry_at: number | null
}

/** Ticks fired at once; the rest follows in the next alarm. Keeps one alarm well under the limit on subrequests. */
const FIRE_AT_ONCE = 50
/** engine-behaviour.md 6.19 */
const UPCOMING = 10
const MAX_RETRY_MS = 60_000
/** engine-behaviour.md 6.26 */
const DEVELOPMENT_TTL = '10m'
const idAlphabet = '0123456789abcdefghijklmnopqrstuv'

export class SchedulerDO extends DurableObject<Env> implements SchedulerObject {
  private sql: SqlStorage
  private noted = false

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    this.sql = ctx.storage.sql
    this.sql.exec(`
      CREATE TABLE IF NOT EXISTS schedules (id TEXT PRIMARY KEY, task TEXT NOT NULL UNIQUE, cron TEXT NOT NULL, timezone TEXT NOT NULL,
        active INTEGER NOT NULL, next_at INTEGER NOT NULL, last_at INTEGER, created_at INTEGER NOT NULL,
        failures INTEGER NOT NULL DEFAULT 0, retry_at INTEGER);
      CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    `)
  }

  /** All or nothing: throws, and changes nothing, when one of the schedules is not valid. */
  async syncDeclared(
    identity: EnvironmentIdentity,
    schedules: { task: string; cron: string; timezone: string }[],
  ): Promise<void> {
    for (const { task, cron, timezone } of schedules) {
      const problem = validateCron(cron) ?? validateTimezone(timezone)
      if (problem) throw new Error(`Schedule of task "${task}": ${problem}`)
    }
    this.ctx.storage.transactionSync(() => {
      const now = Date.now()
      this.sql.exec("INSERT OR REPLACE INTO state (key, value) VALUES ('identity', ?)", JSON.stringify(identity))
      const declared = new Set(schedules.map((schedule) => schedule.task))
      for (const row of this.rows()) {
        if (!declared.has(row.task)) this.sql.exec('DELETE FROM schedules WHERE id = ?', row.id)
      }
      for (const { task, cron, timezone } of schedules) {
        // Only a changed timing plans anew; an unchanged one keeps its pending tick, even when it is overdue.
        this.sql.exec(
          `INSERT INTO schedules (id, task, cron, timezone, active, next_at, created_at) VALUES (?, ?, ?, ?, 1, ?, ?)
           ON CONFLICT (task) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone, next_at = excluded.next_at,
             failures = 0, retry_at = NULL
           WHERE cron <> excluded.cron OR timezone <> excluded.timezone`,
          `sched_${randomText(21)}`,
          task,
          cron,
          timezone,
          nextTick(cron, timezone, now),
          now,
        )
      }
    })
    await this.arm()
  }

  async list(): Promise<{ id: string; task: string; cron: string; timezone: string; active: boolean; nextRun?: number }[]> {
    // A lost alarm heals when somebody looks.
    if ((await this.ctx.storage.getAlarm()) === null) await this.arm()
    return this.rows().map((row) => ({
      id: row.id,
      task: row.task,
      cron: row.cron,
      timezone: row.timezone,
      active: row.active === 1,
      ...(row.active === 1 ? { nextRun: row.next_at } : {}),
    }))
  }

  override async alarm(): Promise<void> {
    await this.fireDue()
  }

  /** From the minute cron: fires what a lost alarm left. False when there is nothing to wait for. */
  async wake(): Promise<boolean> {
    await this.fireDue()
    const waits = (await this.ctx.storage.getAlarm()) !== null
    this.noted = waits
    return waits
  }

  private async fireDue(): Promise<void> {
    const now = Date.now()
    const due = this.sql
      .exec<Row>(
        'SELECT * FROM schedules WHERE active = 1 AND COALESCE(retry_at, next_at) <= ? ORDER BY next_at LIMIT ?',
        now,
        FIRE_AT_ONCE,
      )
      .toArray()
    const state = this.sql.exec<{ value: string }>("SELECT value FROM state WHERE key = 'identity'").toArray()[0]
    if (state) {
      const identity = JSON.parse(state.value) as EnvironmentIdentity
      await Promise.all(due.map((row) => this.fire(identity, row)))
    }
    await this.arm()
  }

  private async fire(identity: EnvironmentIdentity, row: Row): Promise<void> {
    let isTriggered = false
    try {
      const input = await tickInput(identity, row, Date.now())
      const id = this.env.ENVIRONMENT.idFromName(objectNames.environment(identity.locator, '0'))
      const environment = this.env.ENVIRONMENT.get(id) as unknown as EnvironmentObject
      // The scheduler holds no key, so no revocation can concern it.
      const result = await environment.trigger({ environment: identity, keyEpoch: Number.MAX_SAFE_INTEGER }, input)
      if (!result.ok && result.error.retryable && result.error.status >= 500) throw new Error(result.error.message)
      // Any other refusal (a full queue) skips this tick only.
      isTriggered = result.ok
    } catch {
      const failures = row.failures + 1
      const retryAt = Date.now() + Math.min(MAX_RETRY_MS, 500 * 2 ** Math.min(failures, 10))
      this.sql.exec(
        'UPDATE schedules SET failures = ?, retry_at = ? WHERE id = ? AND next_at = ?',
        failures,
        retryAt,
        row.id,
        row.next_at,
      )
      return
    }
    // A deploy may have planned anew meanwhile: then `next_at` is no longer ours to move, but the run did happen.
    if (isTriggered) this.sql.exec('UPDATE schedules SET last_at = ? WHERE id = ?', row.next_at, row.id)
    this.sql.exec(
      'UPDATE schedules SET next_at = ?, failures = 0, retry_at = NULL WHERE id = ? AND next_at = ? AND cron = ? AND timezone = ?',
      nextTick(row.cron, row.timezone, Math.max(Date.now(), row.next_at)),
      row.id,
      row.next_at,
      row.cron,
      row.timezone,
    )
  }

  private async arm(): Promise<void> {
    const { at } = this.sql
      .exec<{ at: number | null }>('SELECT MIN(COALESCE(retry_at, next_at)) AS at FROM schedules WHERE active = 1')
      .one()
    // Never for this millisecond or the past: an alarm set inside its own handler for the same time may not fire again.
    if (at === null) await this.ctx.storage.deleteAlarm()
    else {
      await this.ctx.storage.setAlarm(Math.max(Date.now() + 1, at))
      await this.noteTimers()
    }
  }

  /** A coarse hint for the minute cron, once per life of this object. */
  private async noteTimers(): Promise<void> {
    const state = this.sql.exec<{ value: string }>("SELECT value FROM state WHERE key = 'identity'").toArray()[0]
    if (this.noted || !state) return
    const { locator } = JSON.parse(state.value) as EnvironmentIdentity
    const directory = this.env.DIRECTORY.get(this.env.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject
    this.noted = await directory.noteTimers(timerNames.scheduler(locator)).then(
      () => true,
      () => false,
    )
  }

  private rows(): Row[] {
    return this.sql.exec<Row>('SELECT * FROM schedules ORDER BY created_at, task').toArray()
  }
}

async function tickInput(identity: EnvironmentIdentity, row: Row, now: number): Promise<TriggerInput> {
  return {
    runId: await tickRunId(row.id, row.next_at, identity.locator),
    operationId: `schedule:${row.id}:${row.next_at}`,
    task: row.task,
    options: {
      payload: tickPayload(row, now),
      scheduleId: row.id,
      createdAt: row.next_at,
      ...(identity.type === 'DEVELOPMENT' ? { ttl: DEVELOPMENT_TTL } : {}),
    },
  }
}

/** superjson by hand: dates are the only values JSON does not have. A late run's `upcoming` starts in the future (6.23). */
function tickPayload(row: Row, now: number): Packet {
  const ticks = upcoming(row.cron, row.timezone, Math.max(row.next_at, now), UPCOMING)
  const values: Record<string, ['Date']> = { timestamp: ['Date'] }
  if (row.last_at !== null) values.lastTimestamp = ['Date']
  for (const index of ticks.keys()) values[`upcoming.${index}`] = ['Date']
  const json = {
    scheduleId: row.id,
    type: 'DECLARATIVE',
    timestamp: new Date(row.next_at).toISOString(),
    ...(row.last_at !== null ? { lastTimestamp: new Date(row.last_at).toISOString() } : {}),
    timezone: row.timezone,
    upcoming: ticks.map((tick) => new Date(tick).toISOString()),
  }
  return { data: JSON.stringify({ json, meta: { values } }), dataType: 'application/super+json' }
}

/** A run id whose random part is a hash of schedule and tick: firing a tick again names the same run. */
async function tickRunId(scheduleId: string, tick: number, locator: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(`${scheduleId}:${tick}`))
  const hash = [...new Uint8Array(digest).slice(0, 10)].map((byte) => idAlphabet[byte & 31]).join('')
  // run_ + 9 characters of time, as mintId makes them.
  const prefix = mintId('run', locator, '0', tick).slice(0, 'run_'.length + 9)
  return `${prefix}${hash}${locator}0`
}
