/**
 * Who runs next. One sub-queue per (queue, concurrency key), each with the queue's full limit; keys are served in passes,
 * one run per key and pass, oldest head first, so a long backlog of one key never holds up another. Who comes during a pass is
 * in the next one: a pass ends, whatever arrives. Who was held by a pause or a limit joins the pass that is on, and has saved up none.
 * A run under a rate limit also takes a token when it starts; runs without one are passed by the others of their key.
 * Invariants: no limit is exceeded; no runnable run is left while a slot and a token are free; order is kept within a key, but
 * for tokens; while a key could start a run, no other is served three times before it. A step costs the logarithm of the number
 * of keys.
 */
import { Heap } from '../heap.ts'
import { Lanes } from './lanes.ts'
import type { Waiting } from './line.ts'
import type { RateLimit } from './token-bucket.ts'
import { Tokens } from './tokens.ts'

export type { Waiting } from './line.ts'

interface SubQueue {
  queue: string
  key: string
  running: number
  /** The pass it is served in next; one that is over means the pass that is on. */
  pass: number
  waiting: Lanes
  /** Where it stands in the order; absent while it has nothing to start, or was found held. */
  place?: Place
}
/** A place that is no longer its sub-queue's own is passed over. */
interface Place {
  sub: SubQueue
  pass: number
  score: number
}
interface Counts {
  running: number
  queued: number
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
  order: Heap<Place>
  /** By queue, all its keys together. */
  counts: Map<string, Counts>
  tokens: Tokens
  /** Is there an executor for it? Its sub-queue is held while there is none. */
  mayStart: (item: Waiting) => boolean
  /** The clock when lanes were last asked whether their bucket has a token again. */
  askedAt: number
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
    order: new Heap(isBefore),
    counts: new Map(),
    tokens: new Tokens(),
    mayStart: () => true,
    askedAt: 0,
  }
}

function isBefore(left: Place, right: Place): boolean {
  return left.pass < right.pass || (left.pass === right.pass && left.score < right.score)
}

function place(state: AdmissionState, sub: SubQueue): void {
  const first = sub.waiting.first()
  sub.place = first && { sub, pass: Math.max(sub.pass, state.pass), score: first.score }
  if (sub.place) state.order.add(sub.place)
}

/** After a pause or a limit was changed: who was held by it may start. */
export function reconsider(state: AdmissionState, all = false): void {
  for (const sub of state.subQueues.values()) if (all || !sub.place) place(state, sub)
}

function count(state: AdmissionState, queue: string, running: number, queued: number): void {
  const known = state.counts.get(queue) ?? { running: 0, queued: 0 }
  known.running += running
  known.queued += queued
  if (known.running === 0 && known.queued === 0) state.counts.delete(queue)
  else state.counts.set(queue, known)
}

function subQueue(state: AdmissionState, queue: string, key: string): SubQueue {
  const name = `${queue}\n${key}`
  let found = state.subQueues.get(name)
  if (!found) {
    found = { queue, key, running: 0, pass: 0, waiting: new Lanes(queue, key) }
    state.subQueues.set(name, found)
  }
  return found
}

export function enqueue(state: AdmissionState, item: Waiting): void {
  const sub = subQueue(state, item.queue, item.key)
  if (sub.waiting.length === 0) sub.pass = state.pass + 1
  const isFirst = sub.waiting.add(item)
  count(state, sub.queue, 0, 1)
  if (isFirst) place(state, sub)
}

/** Answers whether it waited. */
export function withdraw(state: AdmissionState, item: Waiting): boolean {
  const sub = state.subQueues.get(`${item.queue}\n${item.key}`)
  if (!sub) return false
  const lane = item.bucket === undefined ? undefined : sub.waiting.lane(item.bucket)
  const wasFirst = sub.waiting.remove(item)
  if (lane?.isAside && lane.line.length === 0) state.tokens.leave(lane)
  if (wasFirst !== undefined) count(state, sub.queue, 0, -1)
  if (wasFirst) place(state, sub)
  forget(state, sub)
  return wasFirst !== undefined
}

export function occupy(state: AdmissionState, queue: string, key: string): void {
  state.running += 1
  subQueue(state, queue, key).running += 1
  count(state, queue, 1, 0)
}

export function release(state: AdmissionState, queue: string, key: string): void {
  state.running -= 1
  const sub = subQueue(state, queue, key)
  sub.running -= 1
  count(state, queue, -1, 0)
  if (!sub.place) place(state, sub)
  forget(state, sub)
}

function forget(state: AdmissionState, sub: SubQueue): void {
  if (sub.running === 0 && sub.waiting.length === 0) state.subQueues.delete(`${sub.queue}\n${sub.key}`)
}

function queueLimit(state: AdmissionState, queue: string): number {
  return Math.min(state.limits.get(queue) ?? Number.POSITIVE_INFINITY, state.base)
}

export type Hold = 'environment-paused' | 'queue-paused' | 'queue-limit' | 'environment-limit' | 'no-executor'

function queueHold(state: AdmissionState, queue: string, running: number): Hold | undefined {
  if (state.paused.has(queue)) return 'queue-paused'
  return running >= queueLimit(state, queue) ? 'queue-limit' : undefined
}

function environmentHold(state: AdmissionState): Hold | undefined {
  if (state.environmentPaused) return 'environment-paused'
  return state.running >= state.burst ? 'environment-limit' : undefined
}

function executorHold(state: AdmissionState, sub: SubQueue | undefined): Hold | undefined {
  const first = sub?.waiting.first()
  return first && !state.mayStart(first) ? 'no-executor' : undefined
}

export type Held = { hold: Hold; running: number; limit: number } | { hold: 'rate-limit'; rate: RateLimit; nextAt: number }

/**
 * What keeps the first run of a queue and key (and of a bucket) from starting; the rule `admitNext` goes by. After it, every
 * waiting run has one.
 */
export function holdOf(state: AdmissionState, queue: string, key: string, bucket?: string): Held | undefined {
  const sub = state.subQueues.get(`${queue}\n${key}`)
  const running = sub?.running ?? 0
  const environment = environmentHold(state)
  const own = environment === 'environment-paused' ? environment : queueHold(state, queue, running)
  if (own) return { hold: own, running, limit: queueLimit(state, queue) }
  const rate = bucket === undefined ? undefined : state.tokens.rateOf(bucket)
  if (bucket !== undefined && rate && sub?.waiting.lane(bucket)?.isAside)
    return { hold: 'rate-limit', rate, nextAt: state.tokens.nextAt(bucket) }
  const held = environment ?? executorHold(state, sub)
  return held && { hold: held, running: state.running, limit: state.burst }
}

/** Takes the next run out of its queue and occupies its slot; undefined when nothing may start. */
export function admitNext(state: AdmissionState, now: number): Waiting | undefined {
  if (environmentHold(state)) return undefined
  if (now !== state.askedAt) comeBack(state, now)
  for (let first = state.order.take(); first; first = state.order.take()) {
    const { sub, pass } = first
    if (sub.place !== first) continue
    sub.place = undefined
    // Held: it gets a place again when one of its runs ends, or with `reconsider`.
    if (queueHold(state, sub.queue, sub.running)) continue
    const lane = sub.waiting.firstLane()
    if (lane && state.tokens.count(lane.bucket, now) < 1) {
      state.tokens.standAside(lane)
      place(state, sub)
      continue
    }
    // Held until `reconsider`: somebody asks for runs.
    if (!state.mayStart(sub.waiting.first() as Waiting)) continue
    if (lane) state.tokens.take(lane.bucket, now)
    const admitted = sub.waiting.take() as Waiting
    state.pass = pass
    sub.pass = pass + 1
    sub.running += 1
    state.running += 1
    count(state, sub.queue, 1, -1)
    place(state, sub)
    return admitted
  }
  return undefined
}

function comeBack(state: AdmissionState, now: number): void {
  state.askedAt = now
  for (const { lanes } of state.tokens.comeBack(now)) {
    const sub = state.subQueues.get(`${lanes.queue}\n${lanes.key}`)
    if (sub) place(state, sub)
  }
}

export function setRates(state: AdmissionState, rates: Map<string, RateLimit>, now: number): void {
  state.tokens.setRates(rates, now)
  reconsider(state, true)
}

/** When a run that waits for nothing but a token may start. */
export function nextTokenAt(state: AdmissionState): number | undefined {
  return environmentHold(state) ? undefined : state.tokens.earliest()
}

export function countQueue(state: AdmissionState, queue: string): Readonly<Counts> {
  return state.counts.get(queue) ?? { running: 0, queued: 0 }
}
