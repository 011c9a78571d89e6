/**
 * Who runs next. One sub-queue per (queue, concurrency key), each with the queue's full limit; keys are served in passes,
 * one run per key and pass, oldest head first, so a long backlog of one key never holds up another. Who comes during a pass is
 * in the next one: a pass ends, whatever arrives. Who was held by a pause or a limit joins the pass that is on, and has saved up none.
 * Invariants: no limit is exceeded; no runnable run is left while a slot is free; order is kept within a key; while a key could
 * start a run, no other is served three times before it.
 */
export interface Waiting {
  id: string
  queue: string
  key: string
  /** Lower first: time of queueing less the priority. */
  score: number
}
interface SubQueue {
  queue: string
  key: string
  running: number
  /** The pass it is served in next; one that is over means the pass that is on. */
  pass: number
  waiting: Waiting[]
}
export interface AdmissionState {
  /** Concurrent runs one queue may reach. */
  base: number
  /** Concurrent runs of the environment: floor(base × burst factor). */
  burst: number
  running: number
  /** The pass that is on: that of the run admitted last. */
  pass: number
  limits: Map<string, number>
  paused: Set<string>
  environmentPaused: boolean
  subQueues: Map<string, SubQueue>
}

export function newAdmission(base: number, burstFactor: number): AdmissionState {
  return {
    base,
    burst: Math.floor(base * burstFactor),
    running: 0,
    pass: 0,
    limits: new Map(),
    paused: new Set(),
    environmentPaused: false,
    subQueues: new Map(),
  }
}

function subQueue(state: AdmissionState, queue: string, key: string): SubQueue {
  const name = `${queue}\n${key}`
  let found = state.subQueues.get(name)
  if (!found) {
    found = { queue, key, running: 0, pass: 0, waiting: [] }
    state.subQueues.set(name, found)
  }
  return found
}

export function enqueue(state: AdmissionState, item: Waiting): void {
  const sub = subQueue(state, item.queue, item.key)
  if (sub.waiting.length === 0) sub.pass = state.pass + 1
  let low = 0
  let high = sub.waiting.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sub.waiting[middle] as Waiting).score <= item.score) low = middle + 1
    else high = middle
  }
  sub.waiting.splice(low, 0, item)
}

export function withdraw(state: AdmissionState, item: Pick<Waiting, 'id' | 'queue' | 'key'>): void {
  const sub = state.subQueues.get(`${item.queue}\n${item.key}`)
  if (!sub) return
  const at = sub.waiting.findIndex((waiting) => waiting.id === item.id)
  if (at >= 0) sub.waiting.splice(at, 1)
  forget(state, sub)
}

export function occupy(state: AdmissionState, queue: string, key: string): void {
  state.running += 1
  subQueue(state, queue, key).running += 1
}

export function release(state: AdmissionState, queue: string, key: string): void {
  state.running -= 1
  const sub = subQueue(state, queue, key)
  sub.running -= 1
  forget(state, sub)
}

function forget(state: AdmissionState, sub: SubQueue): void {
  if (sub.running === 0 && sub.waiting.length === 0) state.subQueues.delete(`${sub.queue}\n${sub.key}`)
}

function queueLimit(state: AdmissionState, queue: string): number {
  return Math.min(state.limits.get(queue) ?? Number.POSITIVE_INFINITY, state.base)
}

export type Hold = 'environment-paused' | 'queue-paused' | 'queue-limit' | 'environment-limit'

function queueHold(state: AdmissionState, queue: string, running: number): Hold | undefined {
  if (state.paused.has(queue)) return 'queue-paused'
  return running >= queueLimit(state, queue) ? 'queue-limit' : undefined
}

function environmentHold(state: AdmissionState): Hold | undefined {
  if (state.environmentPaused) return 'environment-paused'
  return state.running >= state.burst ? 'environment-limit' : undefined
}

/** What keeps the first run of a queue and key from starting; the rule `admitNext` goes by. After it, every waiting run has one. */
export function holdOf(
  state: AdmissionState,
  queue: string,
  key: string,
): { hold: Hold; running: number; limit: number } | undefined {
  const running = state.subQueues.get(`${queue}\n${key}`)?.running ?? 0
  const environment = environmentHold(state)
  const own = environment === 'environment-paused' ? environment : queueHold(state, queue, running)
  if (own) return { hold: own, running, limit: queueLimit(state, queue) }
  return environment && { hold: environment, running: state.running, limit: state.burst }
}

/** Takes the next run out of its queue and occupies its slot; undefined when nothing may start. */
export function admitNext(state: AdmissionState): Waiting | undefined {
  if (environmentHold(state)) return undefined
  let best: { sub: SubQueue; pass: number; score: number } | undefined
  for (const sub of state.subQueues.values()) {
    const head = sub.waiting[0]
    if (!head || queueHold(state, sub.queue, sub.running)) continue
    const pass = Math.max(sub.pass, state.pass)
    if (!best || pass < best.pass || (pass === best.pass && head.score < best.score)) best = { sub, pass, score: head.score }
  }
  const admitted = best?.sub.waiting.shift()
  if (!best || !admitted) return undefined
  state.pass = best.pass
  best.sub.pass = best.pass + 1
  best.sub.running += 1
  state.running += 1
  return admitted
}

export function countQueue(state: AdmissionState, queue: string): { running: number; queued: number } {
  let running = 0
  let queued = 0
  for (const sub of state.subQueues.values()) {
    if (sub.queue !== queue) continue
    running += sub.running
    queued += sub.waiting.length
  }
  return { running, queued }
}
