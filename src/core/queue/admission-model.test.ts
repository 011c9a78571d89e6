/** Admission held against a model that counts everything anew: limits, waste, order, fairness. */
import { describe, expect, it } from 'vitest'
import {
  type AdmissionState,
  admitNext,
  countQueue,
  enqueue,
  holdOf,
  newAdmission,
  nextTokenAt,
  reconsider,
  release,
  setRates,
  type Waiting,
  withdraw,
} from './admission.ts'
import type { RateLimit } from './token-bucket.ts'

function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return (state >>> 0) / 4294967296
  }
}
const item = (id: string, queue: string, key: string, score: number, bucket?: string): Waiting => ({
  id,
  queue,
  key,
  score,
  ...(bucket === undefined ? {} : { bucket }),
})
const lineOf = ({ queue, key }: Waiting): string => `${queue}/${key}`

/** Lists, in order of arrival, and nothing cached. */
class Model {
  running: Waiting[] = []
  waiting: Waiting[] = []
  now = 1_000_000
  rates = new Map<string, RateLimit>()
  /** When tokens were taken, since the limit is what it is. */
  taken: { bucket: string; at: number }[] = []
  readonly state: AdmissionState
  constructor(state: AdmissionState) {
    this.state = state
  }

  runningIn(run: Waiting): number {
    return this.running.filter((other) => lineOf(other) === lineOf(run)).length
  }
  /** The rules of engine-behaviour 3.1, 3.2, 3.11 and 3.13, in words of their own. */
  mayStart(run: Waiting): boolean {
    const { environmentPaused, burst, base, limits, paused } = this.state
    if (environmentPaused || paused.has(run.queue) || this.running.length >= burst) return false
    if (this.tokens(run.bucket) < 1) return false
    const ofQueue = limits.get(run.queue)
    return this.runningIn(run) < (ofQueue === undefined ? base : Math.min(ofQueue, base))
  }
  /** Poured in and taken out one after the other. */
  level(bucket: string | undefined): number {
    const rate = this.rates.get(bucket?.split('\n')[0] ?? '')
    if (!rate) return Number.POSITIVE_INFINITY
    let [level, since] = [rate.limit, 0]
    const pour = (at: number): void => {
      level = Math.min(rate.limit, level + ((at - since) * rate.limit) / rate.periodMs)
      since = at
    }
    for (const { at } of this.taken.filter((one) => one.bucket === bucket)) {
      pour(at)
      level -= 1
    }
    pour(this.now)
    return level
  }
  tokens(bucket: string | undefined): number {
    return Math.floor(this.level(bucket) + 1e-6)
  }
  tokenAt(bucket: string | undefined): number {
    const rate = this.rates.get(bucket?.split('\n')[0] ?? '') as RateLimit
    return this.now + Math.ceil(((1 - this.level(bucket)) * rate.periodMs) / rate.limit - 1e-3)
  }
  /** Of those that need no token or have one: lowest score, and of the same bucket then first come. */
  isHead(run: Waiting): boolean {
    const line = this.waiting.filter((other) => lineOf(other) === lineOf(run) && this.tokens(other.bucket) >= 1)
    const [first] = line.filter((other) => other.bucket === run.bucket).sort((a, b) => a.score - b.score)
    return first?.id === run.id && line.every((other) => other.score >= run.score)
  }
  start(run: Waiting): void {
    this.waiting = this.waiting.filter(({ id }) => id !== run.id)
    this.running.push(run)
    if (run.bucket) this.taken.push({ bucket: run.bucket, at: this.now })
  }
  /** In no window more than the bucket holds and what is poured into it meanwhile. */
  keepsRates(): boolean {
    return this.taken.every(({ bucket, at }) => {
      const rate = this.rates.get(bucket.split('\n')[0] as string)
      const since = this.taken.filter((one) => one.bucket === bucket && one.at >= at).map((one) => one.at)
      return !rate || since.every((end, index) => index + 1 <= rate.limit + ((end - at) * rate.limit) / rate.periodMs + 0.01)
    })
  }
}

function walk(seed: number, steps: number): { admitted: number; overtaken: number; heldByRate: number } {
  const random = seeded(seed)
  const pick = (count: number): number => Math.floor(random() * count)
  const state = newAdmission(2 + pick(3), 1 + random())
  const model = new Model(state)
  /** Line → how often each other line was served while this one could have been. */
  const passedOver = new Map<string, Map<string, number>>()
  model.rates = new Map([
    ['a', { limit: 2, periodMs: 30_000 }],
    ['b', { limit: 1, periodMs: 20_000 }],
  ])
  setRates(state, model.rates, model.now)
  let [admitted, overtaken, heldByRate] = [0, 0, 0]

  /** Thousands of times: `expect` would take seconds. */
  const check = (holds: boolean, step: number, broken: string): void => {
    if (!holds) throw new Error(`seed ${seed}, step ${step}: ${broken}`)
  }
  const rate = (): RateLimit => ({ limit: 1 + pick(4), periodMs: 1_000 * (1 + pick(60)) })
  const change = (step: number): void => {
    const roll = random()
    if (random() < 0.5) model.now += pick(2_000)
    const queue = `q${pick(3)}`
    if (roll < 0.5) {
      const bucket = [undefined, undefined, 'a', `b\nk${pick(3)}`][pick(4)]
      const arrived = item(`${step}`, queue, `k${pick(4)}`, step - pick(20), bucket)
      enqueue(state, arrived)
      model.waiting.push(arrived)
    } else if (roll < 0.8) {
      const [done] = model.running.splice(pick(model.running.length), 1)
      if (done) release(state, done.queue, done.key)
    } else if (roll < 0.86) {
      if (!state.paused.delete(queue)) state.paused.add(queue)
      reconsider(state)
    } else if (roll < 0.88) state.environmentPaused = !state.environmentPaused
    else if (roll < 0.885) {
      model.rates = new Map([['a', 'b'].filter(() => random() < 0.8)].flat().map((task) => [task, rate()]))
      // Known again as full: what a change of the limit makes of what was taken has a test of its own.
      model.taken = []
      state.tokens.fullAt.clear()
      setRates(state, model.rates, model.now)
    } else if (roll < 0.95) {
      if (roll < 0.92) state.limits.set(queue, pick(5))
      else if (roll < 0.94) state.limits.delete(queue)
      else {
        state.base = 1 + pick(4)
        state.burst = state.base + pick(3)
      }
      reconsider(state)
    } else {
      const [gone] = model.waiting.splice(pick(model.waiting.length), 1)
      if (gone) withdraw(state, gone)
    }
  }

  for (let step = 0; step < steps; step++) {
    change(step)
    for (;;) {
      const able = new Set(model.waiting.filter((run) => model.mayStart(run)).map(lineOf))
      for (const line of passedOver.keys()) if (!able.has(line)) passedOver.delete(line)
      const next = admitNext(state, model.now)
      if (!next) {
        check(able.size === 0, step, 'a run could start and did not')
        break
      }
      admitted += 1
      check(model.mayStart(next), step, `${next.id} was over a limit`)
      check(model.isHead(next), step, `the order in ${lineOf(next)}`)
      model.start(next)
      passedOver.delete(lineOf(next))
      for (const line of able) {
        if (line === lineOf(next)) continue
        const counts = passedOver.get(line) ?? new Map<string, number>()
        passedOver.set(line, counts)
        counts.set(lineOf(next), (counts.get(lineOf(next)) ?? 0) + 1)
        overtaken = Math.max(overtaken, counts.get(lineOf(next)) as number)
      }
    }
    check(state.running === model.running.length, step, 'runs are counted wrongly')
    for (const queue of ['q0', 'q1', 'q2']) {
      const { running, queued } = countQueue(state, queue)
      const count = (runs: Waiting[]): number => runs.filter((run) => run.queue === queue).length
      check(running === count(model.running) && queued === count(model.waiting), step, `${queue} is counted wrongly`)
    }
    for (const run of model.waiting) {
      check(holdOf(state, run.queue, run.key, run.bucket) !== undefined, step, `${run.id} waits for no reason`)
    }
    const next = nextTokenAt(state)
    if (next !== undefined) {
      check(next > model.now, step, 'it would be asked again at once, for ever')
      for (const run of model.waiting) {
        const lacksToken = model.tokens(run.bucket) < 1 && state.subQueues.get(`${run.queue}\n${run.key}`)
        if (lacksToken && holdOf(state, run.queue, run.key, run.bucket)?.hold === 'rate-limit') {
          heldByRate += 1
          check(next <= model.tokenAt(run.bucket), step, `${run.id} would be woken late`)
        }
      }
    }
    check(model.keepsRates(), step, 'a rate limit was exceeded')
  }
  for (const run of model.waiting) withdraw(state, run)
  for (const run of model.running) release(state, run.queue, run.key)
  expect(state.subQueues.size, 'nothing is remembered of lines that are empty').toBe(0)
  return { admitted, overtaken, heldByRate }
}

/** Serves one at a time: `serve(count)` finishes what runs and admits the next. */
function oneSlot(base = 1): { state: AdmissionState; serve(count: number, after?: (run: Waiting) => void): Waiting[] } {
  const state = newAdmission(base, 1)
  const running: Waiting[] = []
  return {
    state,
    serve(count, after) {
      const served: Waiting[] = []
      while (served.length < count) {
        if (running.length === base) {
          const done = running.shift() as Waiting
          release(state, done.queue, done.key)
          after?.(done)
        }
        const next = admitNext(state, 0)
        if (!next) break
        running.push(next)
        served.push(next)
      }
      return served
    },
  }
}
const of = (served: Waiting[], key: string): number => served.filter((run) => run.key === key).length

describe('admission beside a naive model', () => {
  it('keeps every limit, leaves no slot empty, keeps the order in a line, and passes over nobody three times', () => {
    let [admitted, overtaken, heldByRate] = [0, 0, 0]
    for (let seed = 1; seed <= 60; seed++) {
      const result = walk(seed, 250)
      heldByRate += result.heldByRate
      admitted += result.admitted
      overtaken = Math.max(overtaken, result.overtaken)
    }
    expect(admitted, 'the walks do something').toBeGreaterThan(2_000)
    expect(heldByRate, 'and rate limits hold some back').toBeGreaterThan(500)
    expect(overtaken).toBeLessThanOrEqual(2)
  })
})

describe('fairness', () => {
  it.each([1, 5])('fifty keys of one run beside a key of a thousand, %d at once: none starves', (base) => {
    const { state, serve } = oneSlot(base)
    for (let i = 0; i < 1_000; i++) enqueue(state, item(`big${i}`, 'q', 'big', i))
    expect(of(serve(base), 'big')).toBe(base)
    for (let i = 0; i < 50; i++) enqueue(state, item(`small${i}`, 'q', `k${i}`, 10_000 + i))
    const served = serve(53)
    expect(served.filter((run) => run.key !== 'big')).toHaveLength(50)
    expect(of(served, 'big'), 'and the large one goes on').toBe(3)
    expect(of(serve(1_000), 'big')).toBe(1_000 - base - 3)
  })

  it('an endless stream of new keys does not starve an old one', () => {
    const { state, serve } = oneSlot()
    for (let i = 0; i < 10; i++) enqueue(state, item(`old${i}`, 'q', 'old', i))
    for (let i = 0; i < 20; i++) enqueue(state, item(`new${i}`, 'q', `new${i}`, 100 + i))
    let arrived = 20
    const served = serve(400, () => {
      enqueue(state, item(`new${arrived}`, 'q', `new${arrived}`, 100 + arrived))
      arrived += 1
    })
    expect(of(served, 'old')).toBe(10)
  })

  it('a key that comes back each time it is empty gets one turn in two beside another', () => {
    const { state, serve } = oneSlot()
    for (let i = 0; i < 200; i++) enqueue(state, item(`steady${i}`, 'q', 'steady', i))
    enqueue(state, item('back', 'q', 'back', 0))
    let round = 0
    const served = serve(100, (done) => {
      if (done.key === 'back') enqueue(state, item(`back${round++}`, 'q', 'back', 0))
    })
    expect(Math.abs(of(served, 'steady') - 50)).toBeLessThanOrEqual(1)
  })

  it('a queue saves up no turns while it is paused, and lends none to who comes meanwhile', () => {
    const { state, serve } = oneSlot()
    for (let i = 0; i < 500; i++) enqueue(state, item(`a${i}`, 'paused', 'a', i))
    for (let i = 0; i < 500; i++) enqueue(state, item(`b${i}`, 'open', 'b', 1_000 + i))
    state.paused.add('paused')
    expect(of(serve(200), 'b')).toBe(200)
    for (let i = 0; i < 500; i++) enqueue(state, item(`c${i}`, 'open', 'c', 2_000 + i))
    const beside = serve(20)
    expect([of(beside, 'b'), of(beside, 'c')]).toEqual([10, 10])
    state.paused.delete('paused')
    reconsider(state)
    const after = serve(30)
    // The pass that was on counts as well.
    for (const key of ['a', 'b', 'c']) expect(Math.abs(of(after, key) - 10), key).toBeLessThanOrEqual(1)
  })
})

describe('many keys', () => {
  it('cost little more than one: 100,000 runs, each with a key of its own', { timeout: 30_000 }, () => {
    const time = (keyOf: (index: number) => string): number => {
      const state = newAdmission(50, 2)
      const startedAt = performance.now()
      for (let i = 0; i < 100_000; i++) enqueue(state, item(`r${i}`, 'q', keyOf(i), i))
      for (let next = admitNext(state, 0); next; next = admitNext(state, 0)) release(state, next.queue, next.key)
      expect(countQueue(state, 'q')).toEqual({ running: 0, queued: 0 })
      return performance.now() - startedAt
    }
    time(() => '')
    expect(time((index) => `k${index}`)).toBeLessThan(
      20 *
        Math.max(
          50,
          time(() => ''),
        ),
    )
  })
})
