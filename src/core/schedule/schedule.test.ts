import { describe, expect, it } from 'vitest'
import { sharedTicks, upcoming } from './next-tick.ts'
import { tickAfter, timingProblem } from './plan.ts'
import {
  afterAnswer,
  afterFailure,
  afterTick,
  changedSchedule,
  newSchedule,
  recordOf,
  type Schedule,
  switchedSchedule,
} from './schedule.ts'
import { tickPayload } from './tick-payload.ts'
import { phaseOf, validateWindow, windowOffset } from './window.ts'

const minute = 60_000
const hour = 60 * minute
const noon = Date.parse('2026-03-02T12:00:00Z')
const hourly = { task: 'a', cron: '0 * * * *', timezone: 'UTC' }

function made(input: Parameters<typeof newSchedule>[1] = hourly, now = noon): Schedule {
  return newSchedule({ id: 'sched_a', type: 'IMPERATIVE', deduplicationKey: 'k' }, input, now)
}

describe('a schedule', () => {
  it('is planned strictly after now', () => {
    expect(made()).toMatchObject({ nextAt: noon + hour, dueAt: noon + hour, active: true, failures: 0, createdAt: noon })
    expect(recordOf(made())).toEqual({
      ...hourly,
      id: 'sched_a',
      type: 'IMPERATIVE',
      active: true,
      deduplicationKey: 'k',
      nextRun: noon + hour,
      nextRunEffectiveAt: noon + hour,
    })
  })

  it('keeps its pending tick, even an overdue one, over a change that leaves the timing alone', () => {
    const before = { ...made(), dueAt: noon + hour + 5_000, failures: 2, lastAt: noon }
    const after = changedSchedule(before, { ...hourly, externalId: 'user' }, noon + 2 * hour)
    expect(after).toEqual({ ...before, externalId: 'user' })
    expect(changedSchedule(after, hourly, noon)).toEqual(before)
  })

  it.each([{ cron: '30 * * * *' }, { timezone: 'Asia/Kathmandu' }, { window: '10m' }])('plans anew when %o changes', (change) => {
    const now = noon + 2 * hour + 1
    const after = changedSchedule({ ...made(), failures: 3 }, { ...hourly, ...change }, now)
    expect(after.failures).toBe(0)
    expect(after.nextAt).toBeGreaterThan(now)
    expect(after.nextAt).toBeLessThanOrEqual(now + hour)
    expect(after).toMatchObject({ id: 'sched_a', createdAt: noon, ...change })
  })

  it('never changes its task', () => {
    expect(changedSchedule(made(), { ...hourly, task: 'b' }, noon).task).toBe('a')
  })

  it('has no next run while inactive, and loses the ticks of that time', () => {
    const off = switchedSchedule(made(), false, noon)
    expect(recordOf(off)).not.toHaveProperty('nextRun')
    expect(switchedSchedule(off, true, noon + 5 * hour + 1).nextAt).toBe(noon + 6 * hour)
    const overdue = made()
    expect(switchedSchedule(overdue, true, noon + 5 * hour)).toBe(overdue)
  })

  it('tries a failed tick again, later each time, at most a minute apart', () => {
    let schedule = made()
    const waits: number[] = []
    for (let count = 0; count < 9; count++) {
      schedule = { ...schedule, ...afterFailure(schedule, noon) }
      expect(schedule.nextAt).toBe(noon + hour)
      waits.push((schedule.dueAt as number) - noon)
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60].map((seconds) => seconds * 1_000))
  })

  it('skips all that was missed but the tick that was planned', () => {
    const late = noon + 30 * hour + 1
    expect(afterTick(made(), late)).toEqual({ nextAt: noon + 31 * hour, dueAt: noon + 31 * hour, failures: 0 })
    const { json } = JSON.parse(tickPayload({ ...made(), lastAt: noon, externalId: 'user' }, late).data as string)
    expect(json).toMatchObject({
      scheduleId: 'sched_a',
      type: 'IMPERATIVE',
      timestamp: new Date(noon + hour).toISOString(),
      lastTimestamp: new Date(noon).toISOString(),
      externalId: 'user',
      timezone: 'UTC',
    })
    expect(json.upcoming).toEqual(Array.from({ length: 10 }, (_, i) => new Date(noon + (31 + i) * hour).toISOString()))
  })

  it('lays a payload of its own over the tick, dates included', () => {
    const own = { ...made(), payload: { template: 'digest', timestamp: 'mine', upcoming: null } }
    const { json, meta } = JSON.parse(tickPayload(own, noon).data as string)
    expect(json).toMatchObject({ scheduleId: own.id, template: 'digest', timestamp: 'mine', upcoming: null })
    expect(meta.values).toEqual({})
  })

  it('of a first tick knows no last one, and says which values are dates', () => {
    const { json, meta } = JSON.parse(tickPayload(made(), noon + hour + 20).data as string)
    expect(json).not.toHaveProperty('lastTimestamp')
    expect(json).not.toHaveProperty('externalId')
    expect(Object.keys(meta.values).sort()).toEqual(
      ['timestamp', ...Array.from({ length: 10 }, (_, i) => `upcoming.${i}`)].sort(),
    )
  })
})

describe('the answer to a tick', () => {
  const error = { code: 'X', message: 'no' }
  const late = noon + hour + 5_000

  it('that is a run, or a refusal, moves on to the next tick', () => {
    const next = afterTick(made(), late)
    expect(afterAnswer(made(), { ok: true, value: {} }, late)).toEqual({ ...next, lastAt: noon + hour })
    expect(afterAnswer(made(), { ok: false, error: { ...error, status: 422 } }, late)).toEqual(next)
    expect(afterAnswer(made(), { ok: false, error: { ...error, status: 503 } }, late)).toEqual(next)
  })

  it('that is none, or may be another one later, is asked for again', () => {
    const again = afterFailure(made(), late)
    expect(afterAnswer(made(), undefined, late)).toEqual(again)
    expect(afterAnswer(made(), { ok: false, error: { ...error, status: 503, retryable: true } }, late)).toEqual(again)
  })
})

describe('shared ticks', () => {
  it('are those each schedule would have computed, at any moment of the minute', () => {
    const ticksOf = sharedTicks()
    // Around the changes of the clock of 2026 as well.
    for (const cron of ['* * * * *', '*/7 3 * * *', '30 2 * * *', '0 * * * 1'])
      for (const timezone of ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu'])
        for (const start of ['2026-03-08T06:58:00Z', '2026-03-29T00:59:00Z', '2026-10-24T23:00:00Z', '2026-11-01T05:59:00Z'])
          for (const offset of [0, 1, 30_000, 59_999, 60_000, 119_999]) {
            const after = Date.parse(start) + offset
            for (const count of [1, 10, 3])
              expect(ticksOf(cron, timezone, after, count)).toEqual(upcoming(cron, timezone, after, count))
          }
  })
})

describe('a window', () => {
  it.each(['0m', '30m', '1440m', '24h', '0%', '100%'])('may be %s', (window) => expect(validateWindow(window)).toBeUndefined())
  it.each(['', '30', '1441m', '25h', '101%', '01m', '-1m', '1.5h', '1d', ' 1m', '10000m'])('may not be "%s"', (window) => {
    expect(validateWindow(window)).toContain(`"${window}"`)
    expect(timingProblem({ ...hourly, window })).toContain('window')
  })

  it('is at least a minute long and ends before the next tick', () => {
    expect(windowOffset(undefined, 0.99, hour)).toBe(0)
    expect(windowOffset('0m', 0.5, hour)).toBe(30_000)
    expect(windowOffset('30m', 0.5, hour)).toBe(15 * minute)
    expect(windowOffset('50%', 0.5, hour)).toBe(15 * minute)
    expect(windowOffset('24h', 1 - 2 ** -32, hour)).toBeLessThan(hour)
  })

  it('spreads schedules evenly', () => {
    const tenths = new Array(10).fill(0)
    for (let index = 0; index < 5_000; index++) tenths[Math.floor(phaseOf(`sched_${index}`) * 10)]++
    for (const count of tenths) expect(Math.abs(count - 500)).toBeLessThan(100)
  })

  it('puts every tick off by the same time, and leaves it its name', () => {
    const schedule = made({ ...hourly, window: '30m' })
    const offset = windowOffset('30m', phaseOf('sched_a'), hour)
    expect(offset).toBeGreaterThan(0)
    expect(schedule).toMatchObject({ nextAt: noon + hour, dueAt: noon + hour + offset })
    expect(recordOf(schedule)).toMatchObject({ nextRun: noon + hour, nextRunEffectiveAt: noon + hour + offset })
    const after = afterTick(schedule, noon + hour + offset)
    expect(after).toEqual({ nextAt: noon + 2 * hour, dueAt: noon + 2 * hour + offset, failures: 0 })
  })

  it('keeps the latest missed tick whose time is still to come', () => {
    const timing = { cron: '0 * * * *', timezone: 'UTC', window: '100%' }
    const offset = windowOffset('100%', phaseOf('sched_a'), hour)
    for (const missed of [5, 24 * 40]) {
      const nominal = noon + missed * hour
      expect(tickAfter('sched_a', timing, noon, nominal + offset - 1)?.nominal).toBe(nominal)
      expect(tickAfter('sched_a', timing, noon, nominal + offset + 1)?.nominal).toBe(nominal + hour)
    }
    // Longer than a day, where a day has no tick.
    const monthly = { cron: '0 0 1 * *', timezone: 'UTC', window: '100%' }
    const first = Date.parse('2026-02-01')
    const third = tickAfter('sched_a', monthly, first, Date.parse('2026-04-01T00:00Z') + 1)
    expect(third?.nominal).toBe(Date.parse('2026-04-01'))
  })
})
