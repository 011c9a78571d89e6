/**
 * Windows: how far after its nominal time a tick may run (engine-behaviour.md 6.22). Each schedule has a fixed place in its
 * window, so that many schedules with one cron spread out and each keeps its own rhythm.
 */
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
/** Shorter windows are taken for a minute. */
const MIN_RANGE_MS = MINUTE_MS
const pattern = /^(0|[1-9]\d{0,3})([mh%])$/
const largest = { m: 1_440, h: 24, '%': 100 }

type Unit = keyof typeof largest

function parseWindow(window: string): { value: number; unit: Unit } | undefined {
  const [, digits, unit] = pattern.exec(window) ?? []
  if (digits === undefined || unit === undefined) return undefined
  const value = Number(digits)
  return value <= largest[unit as Unit] ? { value, unit: unit as Unit } : undefined
}

/** What is wrong with a window, in words; undefined when nothing is. */
export function validateWindow(window: string): string | undefined {
  if (parseWindow(window)) return undefined
  return `Invalid schedule window: "${window}" is not 0m to 1440m, 0h to 24h or 0% to 100%`
}

/** How long after its nominal time a tick runs; always before the next one. `phase` is the schedule's place, in [0, 1). */
export function windowOffset(window: string | undefined, phase: number, intervalMs: number): number {
  const parsed = window === undefined ? undefined : parseWindow(window)
  if (!parsed) return 0
  const { value, unit } = parsed
  const asked = unit === '%' ? (intervalMs * value) / 100 : value * (unit === 'h' ? HOUR_MS : MINUTE_MS)
  return Math.floor(phase * Math.min(intervalMs, Math.max(MIN_RANGE_MS, asked)))
}

/** The place of a schedule in its window: a hash of its id (FNV-1a, finished so that near ids lie far apart). */
export function phaseOf(id: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < id.length; index++) hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}
