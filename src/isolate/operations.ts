/**
 * Every asynchronous input of a run passes here: requests, timers, waitpoints. Each gets a number in issue order and a
 * signature, which is where a journal attaches (in-worker-execution.md §5). Without one, results are delivered at once,
 * in the context of the issuer. Must stay true: after `close()` no input reaches the task any more.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

type Timeout = ReturnType<typeof setTimeout>

/** The isolate's own timers, taken before globals are patched. */
export const real = {
  setTimeout: globalThis.setTimeout.bind(globalThis),
  clearTimeout: globalThis.clearTimeout.bind(globalThis),
  setInterval: globalThis.setInterval.bind(globalThis),
  clearInterval: globalThis.clearInterval.bind(globalThis),
  setImmediate: globalThis.setImmediate.bind(globalThis),
  clearImmediate: globalThis.clearImmediate.bind(globalThis),
  queueMicrotask: globalThis.queueMicrotask.bind(globalThis),
  fetch: globalThis.fetch.bind(globalThis),
  console: globalThis.console,
}

export class RunClosedError extends Error {
  constructor() {
    super('The run has ended; its code can start nothing more.')
    this.name = 'RunClosedError'
  }
}

export class Operations {
  /** Number of the next operation, counted in issue order. */
  next = 0
  closed = false
  readonly #onThrow: (error: unknown) => void
  readonly #timers = new Set<unknown>()
  readonly #pending = new Set<(error: Error) => void>()
  readonly #controller = new AbortController()

  constructor(onThrow: (error: unknown) => void) {
    this.#onThrow = onThrow
  }

  /** Aborted when the run closes; cancels requests still in flight. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Issues one input. `signature` names it in a journal, e.g. `fetch:POST https://…` or `wp:waitpoint_…`. */
  issue<T>(_signature: string, perform: (operation: number) => Promise<T>): Promise<T> {
    if (this.closed) return Promise.reject(new RunClosedError())
    const operation = this.next++
    return new Promise<T>((resolve, reject) => {
      this.#pending.add(reject)
      const settle = (): boolean => this.#pending.delete(reject) && !this.closed
      perform(operation).then(
        (value) => settle() && resolve(value),
        (error) => settle() && reject(error),
      )
    })
  }

  timeout(callback: (...args: unknown[]) => unknown, ms = 0, args: unknown[] = []): Timeout | undefined {
    if (this.closed) return undefined
    this.next++
    const deliver = this.#deliverer(callback, args)
    const handle = real.setTimeout(() => {
      this.#timers.delete(handle)
      deliver()
    }, ms)
    this.#timers.add(handle)
    return handle
  }

  interval(callback: (...args: unknown[]) => unknown, ms = 0, args: unknown[] = []): Timeout | undefined {
    if (this.closed) return undefined
    const deliver = this.#deliverer(callback, args)
    const handle = real.setInterval(() => {
      this.next++
      deliver()
    }, ms) as unknown as Timeout
    this.#timers.add(handle)
    return handle
  }

  immediate(callback: (...args: unknown[]) => unknown, args: unknown[] = []): unknown {
    if (this.closed) return undefined
    this.next++
    return real.setImmediate(this.#deliverer(callback, args))
  }

  clear(handle: unknown): void {
    if (handle === undefined || handle === null) return
    this.#timers.delete(handle)
    real.clearTimeout(handle as Timeout)
  }

  /** Stops everything: timers are gone, what is pending rejects, new inputs are refused. */
  close(): void {
    if (this.closed) return
    this.closed = true
    for (const handle of this.#timers) real.clearTimeout(handle as Timeout)
    this.#timers.clear()
    for (const reject of this.#pending) reject(new RunClosedError())
    this.#pending.clear()
    this.#controller.abort(new RunClosedError())
  }

  #deliverer(callback: (...args: unknown[]) => unknown, args: unknown[]): () => void {
    if (typeof callback !== 'function') throw new TypeError('The "callback" argument must be of type function')
    const enter = AsyncLocalStorage.snapshot()
    return () => {
      if (this.closed) return
      enter(() => {
        try {
          callback(...args)
        } catch (error) {
          this.#onThrow(error)
        }
      })
    }
  }
}
