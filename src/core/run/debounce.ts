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

interface Debounced {
  id: string
  task: string
  engine: { debounce?: { key: string } }
}

/** Task and debounce key → the delayed run that further triggers become. */
export class DebouncedRuns {
  private readonly ids = new Map<string, string>()

  add(run: Debounced): void {
    if (run.engine.debounce) this.ids.set(nameOf(run.task, run.engine.debounce.key), run.id)
  }
  /** It is not delayed any more, or another run has its key. */
  remove(run: Debounced): void {
    if (!run.engine.debounce) return
    const name = nameOf(run.task, run.engine.debounce.key)
    if (this.ids.get(name) === run.id) this.ids.delete(name)
  }
  find(task: string, key: string): string | undefined {
    return this.ids.get(nameOf(task, key))
  }
  clear(): void {
    this.ids.clear()
  }
}

function nameOf(task: string, key: string): string {
  return JSON.stringify([task, key])
}
