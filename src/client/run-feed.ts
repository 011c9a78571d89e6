/** Follows one run: a long poll, one request at a time however many listen, none when nobody does. */
import { download, pause, request } from './http.ts'
import type { Run } from './run.ts'
import type { Connection } from './settings.ts'

const waitSeconds = 30
/** With the pauses between them a platform that starts again is waited for, about a minute. */
const tries = 12
/** A proxy that answers for the platform must not make this a busy loop. */
const shortestMs = 500

interface Change {
  revision: number
  run: Run
}

export class RunFeed {
  readonly id: string
  readonly #connection: Connection
  #latest: Change | undefined
  #listeners = 0
  #poll: { answer: Promise<Change>; stop: AbortController } | undefined

  /** `ended`: the run, when it is known to be over. */
  constructor(connection: Connection, id: string, ended?: Run) {
    this.#connection = connection
    this.id = id
    if (ended) this.#latest = { revision: Number.POSITIVE_INFINITY, run: ended }
  }

  /** The run as it is and each change of it, the last one final. */
  async *changes(signal?: AbortSignal): AsyncGenerator<Run> {
    let seen = -1
    this.#listeners += 1
    try {
      for (;;) {
        const { revision, run } =
          this.#latest && this.#latest.revision > seen ? this.#latest : await orAborted(this.#next(), signal)
        // Two changes of one millisecond have one revision; the last must not be missed.
        if (revision > seen || isFinal(run)) yield run
        seen = Math.max(seen, revision)
        if (isFinal(run)) return
      }
    } finally {
      this.#listeners -= 1
      if (this.#listeners === 0) this.#poll?.stop.abort()
    }
  }

  /** Final, or PENDING_VERSION. */
  async end(signal?: AbortSignal): Promise<Run> {
    let last: Run | undefined
    for await (const run of this.changes(signal)) {
      last = run
      // Nothing that is deployed can execute it: whoever waits should know, and the run is there when a version comes.
      if (run.status === 'PENDING_VERSION') break
    }
    return last as Run
  }

  #next(): Promise<Change> {
    if (!this.#poll) {
      const stop = new AbortController()
      const answer = this.#ask(stop.signal)
      const poll = { answer, stop }
      this.#poll = poll
      const over = (): void => {
        if (this.#poll === poll) this.#poll = undefined
      }
      answer.then(over, over)
    }
    return this.#poll.answer
  }

  async #ask(signal: AbortSignal): Promise<Change> {
    const before = this.#latest?.revision ?? -1
    const startedAt = Date.now()
    const query = this.#latest ? `?after=${before}&wait=${waitSeconds}` : ''
    const path = `/api/v1/runs/${encodeURIComponent(this.id)}/changes${query}`
    const change = await request<Change>(this.#connection, 'GET', path, { signal, tries })
    if (change.revision <= before && Date.now() - startedAt < shortestMs) await pause(shortestMs, signal)
    if (change.revision >= before) this.#latest = change
    return change
  }
}

const finals = ['COMPLETED', 'FAILED', 'CANCELED', 'CRASHED', 'EXPIRED', 'TIMED_OUT', 'SYSTEM_FAILURE', 'INTERRUPTED']
export function isFinal(run: Run): boolean {
  return finals.includes(run.status)
}

/** The output, fetched when it is stored apart. */
export async function outputOf(connection: Connection, run: Run, signal?: AbortSignal): Promise<unknown> {
  return run.outputPresignedUrl ? download(connection, run.outputPresignedUrl, signal) : run.output
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  return new Promise((done, fail) => {
    const stop = (): void => fail(signal.reason)
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    promise.then(done, fail).finally(() => signal.removeEventListener('abort', stop))
  })
}
