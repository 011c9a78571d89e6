/**
 * The API in memory, for tests of the client: every request is kept, plans are read and carried out by the code the platform uses, and
 * a job's work is a function of its words and values.
 */
import type { Expression } from '../contracts/plan.ts'
import { checkPlan, PlanRefusal, withTasks } from '../core/plan/expression.ts'
import { type JobResult, step } from '../core/plan/step.ts'
import type { Run } from './run.ts'
import { createTrigger, type Trigger } from './trigger.ts'

export interface Sent {
  method: string
  path: string
  // biome-ignore lint/suspicious/noExplicitAny: bodies of every route
  body: any
  headers: Headers
}
type Work = (words: string, values: unknown[]) => unknown

export class MemoryApi {
  readonly sent: Sent[] = []
  /** Work that came to its end, the earliest first. */
  readonly done: { words: string; values: unknown[] }[] = []
  /** An answer that comes in the place of the next one. */
  readonly instead: (Response | Error)[] = []
  readonly runs = new Map<string, { revision: number; run: Run }>()
  readonly trigger: Trigger
  /** Runs end at once, or when `finish` is called. */
  isSlow = false
  #work: Work
  #counter = 0
  #waiting: (() => void)[] = []

  constructor(work: Work = (words, values) => ({ words, values })) {
    this.#work = work
    this.trigger = createTrigger({ baseURL: 'https://api.test/', accessToken: 'tr_prod_key', fetch: this.fetch })
  }

  posts(): Sent[] {
    return this.sent.filter(({ method }) => method === 'POST')
  }

  change(id: string, change: Partial<Run>): void {
    const entry = this.runs.get(id) as { revision: number; run: Run }
    entry.revision += 1
    entry.run = { ...entry.run, ...change }
    for (const wake of this.#waiting.splice(0)) wake()
  }

  readonly fetch: typeof fetch = async (input, init = {}) => {
    const url = new URL(String(input))
    const body = init.body ? JSON.parse(String(init.body)) : undefined
    this.sent.push({ method: init.method ?? 'GET', path: url.pathname + url.search, body, headers: new Headers(init.headers) })
    init.signal?.throwIfAborted()
    const instead = this.instead.shift()
    if (instead instanceof Error) throw instead
    if (instead) return instead
    return this.#answer(`${init.method} ${url.pathname}`, url, body, init.signal ?? undefined)
  }

  async #answer(route: string, url: URL, body: Record<string, never>, signal: AbortSignal | undefined): Promise<Response> {
    if (route === 'POST /api/v1/sentences') {
      const words = wordsOf(body.strings)
      if (words.startsWith('every ')) return json({ kind: 'schedule', id: 'sched_1', understood: schedule })
      if (words.startsWith('when ')) return json({ kind: 'event', id: 'subscription_1', understood: event })
      const run = this.#run(() => this.#do(words, body.values))
      return json({ kind: 'run', id: run.id, understood: understood(words), ...(body.wait && !this.isSlow ? { run } : {}) })
    }
    if (route === 'POST /api/v1/plans') {
      const stages: unknown[] = []
      try {
        checkPlan(body.plan, JSON.stringify(body.plan).length)
        const plan = withTasks(body.plan, ({ strings, values }) => {
          stages.push(understood(wordsOf(strings)))
          return { $task: { id: wordsOf(strings), payload: values } }
        })
        const run = this.#run(() => this.#carryOut(plan))
        return json({ kind: 'plan', id: run.id, stages, ...(body.wait && !this.isSlow ? { run } : {}) })
      } catch (error) {
        if (error instanceof PlanRefusal) return json({ error: error.message, code: error.code }, 422)
        throw error
      }
    }
    const task = /^POST \/api\/v1\/tasks\/(.+)\/trigger$/.exec(route)?.[1]
    if (task) return json({ id: this.#run(() => this.#do(task, [body.payload])).id })
    const changes = /^GET \/api\/v1\/runs\/(.+)\/changes$/.exec(route)?.[1]
    if (changes) {
      const after = Number(url.searchParams.get('after') ?? -1)
      while (this.runs.get(changes)?.revision === after) {
        await new Promise<void>((done, fail) => {
          this.#waiting.push(done)
          signal?.addEventListener('abort', () => fail(signal.reason))
        })
      }
      return json(this.runs.get(changes))
    }
    const read = /^GET \/api\/v3\/runs\/(.+)$/.exec(route)?.[1]
    if (read) return json(this.runs.get(read)?.run)
    const cancelled = /^POST \/api\/v2\/runs\/(.+)\/cancel$/.exec(route)?.[1]
    if (cancelled) {
      this.change(cancelled, { status: 'CANCELED' })
      return json({ id: cancelled })
    }
    return json({ error: `No route ${route}` }, 404)
  }

  #run(work: () => unknown): Run {
    const id = `run_${++this.#counter}`
    const at = '2026-11-24T00:00:00.000Z'
    const run: Run = { id, status: 'EXECUTING', taskIdentifier: 't', createdAt: at, updatedAt: at }
    if (!this.isSlow) {
      try {
        Object.assign(run, { status: 'COMPLETED', output: work() })
      } catch (error) {
        const { name, message, stack } = error as Error
        Object.assign(run, { status: 'FAILED', error: { name, message, stackTrace: stack } })
      }
    }
    this.runs.set(id, { revision: 1, run })
    return run
  }

  #do(words: string, values: unknown[]): unknown {
    const value = this.#work(words, values)
    this.done.push({ words, values })
    // As it comes back over the wire.
    return value === undefined ? undefined : JSON.parse(JSON.stringify(value))
  }

  #carryOut(plan: Expression): unknown {
    const results = new Map<string, JobResult>()
    for (;;) {
      const next = step(plan, results)
      if (next.kind === 'done') return next.value
      if (next.kind !== 'start') throw new Error('message' in next ? next.message : `Job ${next.key} failed`)
      for (const { key, task, payload } of next.jobs)
        results.set(key, { ok: true, value: this.#do(task, Array.isArray(payload) ? payload : [payload]) })
    }
  }
}

function wordsOf(strings: string[]): string {
  return strings
    .map((text) => text.trim())
    .join(' _ ')
    .trim()
}

function understood(task: string): Record<string, unknown> {
  return { understood: true, kind: 'run', task, payload: {}, confidence: 1, candidates: [] }
}
const both = { understood: true, payload: {}, confidence: 1, candidates: [] }
const schedule = { ...both, kind: 'schedule', task: 'cleanup', cron: '0 3 * * *', cronInWords: 'at 03:00', timezone: 'UTC' }
const event = { ...both, kind: 'event', task: 'notify', event: 'payment.failed', filter: {} }

function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } })
}
