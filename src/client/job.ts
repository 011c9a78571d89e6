/**
 * A job: a thenable handle of what a sentence starts. It is sent once the expression it is written in is complete, so that a
 * chain is one request; it is sent whether anybody awaits it or not.
 */
import type { Understanding } from '../contracts/sentence.ts'
import { type Chain, carryOut, type Stage } from './chain.ts'
import { RunError } from './errors.ts'
import { request } from './http.ts'
import { type Callback, checkpointName, record, refuseRecording } from './recording.ts'
import { type LogLine, logsOf, type ProgressUpdate, progressOf, type Run } from './run.ts'
import { isFinal } from './run-feed.ts'
import { type Context, outcome, type Source, type Started } from './sending.ts'

/** What comes of a callback: jobs and promises in it are awaited, in arrays and objects too. */
export type Settled<U> = 0 extends 1 & U
  ? U
  : U extends PromiseLike<infer V>
    ? Settled<V>
    : U extends readonly unknown[]
      ? { -readonly [K in keyof U]: Settled<U[K]> }
      : U extends Date | ((...input: never[]) => unknown)
        ? U
        : U extends object
          ? { [K in keyof U]: Settled<U[K]> }
          : U

/** How long an answer may be held back for the end of a run somebody awaits. A cancel has to wait as long, so not longer. */
const holdSeconds = 5

/** What the branches of a chain share. */
interface Root {
  context: Context
  /** The instance it was written with. */
  owner: unknown
  numbers: { next: number }
  /** The words of its sentence, for messages. */
  words: string
}
type Origin = { source: Source } | { parent: Job<unknown>; stage: Stage }

export class Job<T> implements PromiseLike<T> {
  readonly #root: Root
  readonly #origin: Origin
  readonly #answer: Promise<Started | { value: unknown }>
  readonly #runs = new Series<Started>()
  #children = 0
  /** Somebody wants this job itself, not only what is chained to it. */
  #isWanted = false
  #isAwaited = false
  #isPart = false
  #isSent = false
  #cancellation: Error | undefined
  #result: Promise<T> | undefined

  constructor(root: Root, origin: Origin) {
    this.#root = root
    this.#origin = origin
    this.#answer = afterExpression().then(() => this.#send())
    this.#answer.then(
      () => this.#runs.close(),
      (error) => {
        this.#runs.close(error)
        if (this.#children > 0 || this.#isWanted) return
        console.error(`trigger.do: "${root.words}" was not started: ${error instanceof Error ? error.message : String(error)}`)
      },
    )
  }

  /** Promise of the id of the run; of a chain with stages carried out here, of its first one. Rejects when the sentence made a schedule or an event subscription. */
  get id(): Promise<string> {
    return this.#firstRun().then(({ id }) => id)
  }

  /** What the server understood; of a chain, its first sentence. Settled as soon as the job is taken in: `ctx.waitUntil(job.understood)`. */
  get understood(): Promise<Understanding | undefined> {
    return this.#first().then(({ understood, stages }) => understood ?? stages?.[0])
  }

  /** The current status of the run. */
  async status(): Promise<string> {
    const { connection, id } = await this.#currentRun()
    return (await request<Run>(connection, 'GET', `/api/v3/runs/${encodeURIComponent(id)}`, this.#signal)).status
  }

  /** Cancels the run, or the sending; later stages of the chain do not start. */
  async cancel(): Promise<void> {
    const cancellation = new Error(`"${this.#root.words}" was cancelled.`)
    this.#isWanted = true
    this.#cancellation ??= cancellation
    // Not sent yet: it will not be.
    if (!this.#isSent && !this.#isPart) return
    let run: Started
    try {
      run = await this.#currentRun()
    } catch (error) {
      if (error === this.#cancellation) return
      throw error
    }
    const { connection, id } = run
    await request(connection, 'POST', `/api/v2/runs/${encodeURIComponent(id)}/cancel`)
  }

  /** Log lines of the run so far, the oldest first. */
  async logs(options: { tail?: number } = {}): Promise<LogLine[]> {
    const { connection, id } = await this.#currentRun()
    return logsOf(connection, id, { ...options, ...this.#signal })
  }

  /**
   * Progress of the run, each time it changes, the last update with its final status. Throws what the task threw when the run failed.
   *
   * @example
   * for await (const { stage, percent } of trigger`encode ${videoId}`.progress()) console.log(`${stage}: ${percent}%`)
   */
  async *progress(): AsyncGenerator<ProgressUpdate, void> {
    await this.#firstRun()
    const { signal } = this.#root.context.options
    let before = ''
    for await (const { feed } of this.#runs) {
      if (!feed) continue
      for await (const run of feed.changes(signal)) {
        const update = progressOf(run)
        const text = JSON.stringify(update)
        if (text !== before) yield update
        before = text
        if (isFinal(run) && run.status !== 'COMPLETED') throw new RunError(run.id, run.status, run.error)
      }
    }
  }

  /**
   * Chains a stage. The callback is called at once with a placeholder and recorded, and the chain is one request. One that is `async`,
   * branches, computes or calls other functions is called here instead, with the real value, when the stage before has ended.
   *
   * @example
   * await trigger`download ${url}`.map((file) => trigger`process ${file}`)
   */
  map<U>(callback: (value: T) => U): Job<Settled<U>> {
    refuseRecording()
    if (typeof callback !== 'function') throw new TypeError('.map takes a function.')
    this.#children += 1
    const recorded = record(callback as Callback, this.#root.owner, this.#root.numbers)
    return new Job<Settled<U>>(this.#root, { parent: this as Job<unknown>, stage: { callback: callback as Callback, recorded } })
  }

  /** Names the result so far: a chain that is interrupted goes on from it, and progress tells the name. */
  checkpoint(name: string): Job<T> {
    refuseRecording()
    const stage = { checkpoint: checkpointName(name) }
    this.#children += 1
    return new Job<T>(this.#root, { parent: this as Job<unknown>, stage })
  }

  // biome-ignore lint/suspicious/noThenProperty: a job is awaited
  then<A = T, B = never>(
    done?: ((value: T) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    refuseRecording()
    this.#isWanted = true
    this.#isAwaited = true
    this.#result ??= this.#answer.then(
      (answer) => ('value' in answer ? answer.value : outcome(answer, this.#root.context.options.signal)) as T,
    )
    return this.#result.then(done, failed)
  }

  catch<B = never>(failed?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.then(undefined, failed)
  }

  finally(callback?: (() => void) | null): Promise<T> {
    return this.then().finally(callback)
  }

  get [Symbol.toStringTag](): string {
    return 'Job'
  }

  get #signal(): { signal?: AbortSignal } {
    const { signal } = this.#root.context.options
    return signal ? { signal } : {}
  }

  #first(): Promise<Started> {
    refuseRecording()
    this.#isWanted = true
    return this.#runs.first()
  }

  async #firstRun(): Promise<Started> {
    const started = await this.#first()
    if (!started.feed)
      throw new TypeError(
        `"${this.#root.words}" made ${started.kind === 'event' ? 'an event subscription' : 'a schedule'}, not a run.`,
      )
    return started
  }

  async #currentRun(): Promise<Started> {
    await this.#firstRun()
    return this.#runs.last as Started
  }

  async #send(): Promise<Started | { value: unknown }> {
    if (this.#isPart || (this.#children === 1 && !this.#isWanted)) {
      this.#isPart = true
      throw new Error(
        `"${this.#root.words}" was sent as a part of the chain that .map made of it: await the chain, or await the job before .map.`,
      )
    }
    this.#isSent = true
    const { base, stages } = this.#chain()
    const chain: Chain = {
      context: this.#root.context,
      base: 'then' in base ? { value: await base } : base,
      stages,
      holdSeconds: (isFollowed) => {
        if (this.#cancellation) throw this.#cancellation
        return isFollowed || this.#isAwaited ? holdSeconds : 0
      },
      onStarted: (started) => this.#runs.add(started),
    }
    return carryOut(chain)
  }

  /** Back to the sentence, or to a job that was sent for itself: its result is where this one goes on from. */
  #chain(): { base: { source: Source } | Job<unknown>; stages: Stage[] } {
    const stages: Stage[] = []
    let at: Job<unknown> = this as Job<unknown>
    for (;;) {
      const origin = at.#origin
      if ('source' in origin) return { base: origin, stages }
      stages.unshift(origin.stage)
      at = origin.parent
      if (at.#isSent || at.#isWanted || at.#children > 1) {
        at.#isWanted = true
        return { base: at, stages }
      }
      at.#isPart = true
    }
  }
}

/** `await job` reaches the job a microtask after the expression; the second one comes after that. */
async function afterExpression(): Promise<void> {
  await undefined
  await undefined
}

/** Things that come one after another, for any number of readers, from the first on. */
class Series<V> {
  readonly #items: V[] = []
  #end: { error?: unknown } | undefined
  #wake: (() => void)[] = []

  get last(): V | undefined {
    return this.#items.at(-1)
  }

  add(item: V): void {
    this.#items.push(item)
    this.#notify()
  }

  close(error?: unknown): void {
    this.#end = { error }
    this.#notify()
  }

  async first(): Promise<V> {
    for await (const item of this) return item
    throw this.#end?.error ?? new Error('Nothing was sent for this job: its value was known here.')
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<V> {
    for (let index = 0; ; index++) {
      while (index >= this.#items.length) {
        if (this.#end?.error !== undefined) throw this.#end.error
        if (this.#end) return
        await new Promise<void>((done) => this.#wake.push(done))
      }
      yield this.#items[index] as V
    }
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
