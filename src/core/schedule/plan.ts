/**
 * Which tick of a schedule is pending and when it runs (engine-behaviour.md 6.4, 6.22–6.24). What must stay true: a stretch of
 * missed ticks makes one late run and never a backlog; a tick is planned once, in the order of time.
 */
import type { ScheduleTiming } from '../../contracts/objects.ts'
import { latestTick, nextTick, type TicksOf, upcoming, validateCron, validateTimezone } from './next-tick.ts'
import { phaseOf, validateWindow, windowOffset } from './window.ts'

const DAY_MS = 86_400_000

export type Timing = ScheduleTiming

export interface Tick {
  /** What the cron expression says. */
  nominal: number
  /** When the run is made: the nominal time, or later within the window. */
  effective: number
}

/** What is wrong with the first wrong one of the three, in words that name it. */
export function timingProblem({ cron, timezone, window }: Timing): string | undefined {
  return validateCron(cron) ?? validateTimezone(timezone) ?? (window === undefined ? undefined : validateWindow(window))
}

export function isSameTiming(one: Timing, other: Timing): boolean {
  return one.cron === other.cron && one.timezone === other.timezone && one.window === other.window
}

/** The pending tick of a schedule that was made, changed or activated now; nothing when it never ticks again. */
export function firstTick(id: string, timing: Timing, now: number, ticksOf: TicksOf = upcoming): Tick | undefined {
  const [nominal] = ticksOf(timing.cron, timing.timezone, now, 1)
  return nominal === undefined ? undefined : tickAt(id, timing, nominal)
}

/**
 * The pending tick after `previous` was done with. Ticks missed meanwhile are skipped, but the latest of them is kept while its
 * time within the window is still to come.
 */
export function tickAfter(
  id: string,
  timing: Timing,
  previous: number,
  now: number,
  ticksOf: TicksOf = upcoming,
): Tick | undefined {
  if (timing.window !== undefined && now > previous) {
    const missedSince = (from: number): number | undefined => latestTick(timing.cron, timing.timezone, from, now)
    // Not all that a long stretch has, where a day has some.
    const latest = missedSince(Math.max(previous, now - DAY_MS)) ?? missedSince(previous)
    const tick = latest === undefined ? undefined : tickAt(id, timing, latest)
    if (tick && tick.effective > now) return tick
  }
  return firstTick(id, timing, Math.max(previous, now), ticksOf)
}

export function tickAt(id: string, timing: Timing, nominal: number): Tick {
  if (timing.window === undefined) return { nominal, effective: nominal }
  const following = nextTick(timing.cron, timing.timezone, nominal) ?? nominal
  return { nominal, effective: nominal + windowOffset(timing.window, phaseOf(id), following - nominal) }
}
