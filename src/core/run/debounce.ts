/**
 * Debounce (engine-behaviour 2.G): while the run of a key is delayed, further triggers with the key become that run and push it
 * back. It is never pulled forward; a push beyond `maxDelay` is none, and the trigger begins a new run.
 */
export interface Debounce {
  key: string
  delayMs: number
  /** Whose payload is used: the first trigger's or the last's. */
  mode: 'leading' | 'trailing'
  maxDelayMs?: number
}

/** Whole seconds: a burst of triggers moves (and writes) the run once a second. It may start up to a second earlier (2.65). */
const quantumMs = 1_000

/** When the run is due after one more trigger; undefined when it has waited as long as it may. */
export function pushBack(run: { since: number; delayUntil: number }, debounce: Debounce, now: number): number | undefined {
  const target = Math.floor((now + debounce.delayMs) / quantumMs) * quantumMs
  if (debounce.maxDelayMs !== undefined && target > run.since + debounce.maxDelayMs) return undefined
  return Math.max(target, run.delayUntil)
}
