import { describe, expect, it } from 'vitest'
import type { Expression } from '../../contracts/plan.ts'
import { checkPlan, dataOf, isOpen, literal, PlanRefusal, withTasks } from './expression.ts'
import { type JobResult, step } from './step.ts'

const task = (id: string, payload: unknown = {}): Expression => ({ $task: { id, payload } })
const then = (of: Expression, as: number, next: Expression): Expression => ({ $then: { of, as, do: next } })
const map = (over: Expression, as: number, each: Expression): Expression => ({ $map: { over, as, do: each } })
const ref = (variable: number, ...path: (string | number)[]): Expression => ({ $var: variable, path })

/** Carries a plan out with `run`; also says how many rounds it took, and which jobs were asked for. */
function carryOut(plan: Expression, run: (id: string, payload: never) => unknown) {
  const results = new Map<string, JobResult>()
  const asked: string[] = []
  for (let rounds = 0; ; rounds++) {
    const next = step(plan, results)
    if (next.kind !== 'start') return { ...next, rounds, asked }
    if (next.jobs.length === 0) throw new Error('stuck')
    for (const job of next.jobs) {
      asked.push(`${job.key} ${job.task}`)
      results.set(job.key, { ok: true, value: run(job.task, job.payload as never) })
    }
  }
}

describe('carrying out', () => {
  const chain = then(
    then(task('download', { url: 'u' }), 1, task('process', { file: ref(1, 'path') })),
    2,
    task('upload', { result: ref(2) }),
  )

  it('gives each stage the result of the one before', () => {
    const end = carryOut(chain, (id, payload) => (id === 'download' ? { path: '/tmp/u' } : { id, payload }))
    expect(end).toMatchObject({
      kind: 'done',
      rounds: 3,
      value: { id: 'upload', payload: { result: { id: 'process', payload: { file: '/tmp/u' } } } },
    })
  })

  it('fans out over an array and collects in order', () => {
    const plan = then(
      then(task('fetch'), 1, map(ref(1, 'uploads'), 2, task('thumbnail', { of: ref(2) }))),
      3,
      task('gallery', { thumbnails: ref(3) }),
    )
    const end = carryOut(plan, (id, payload: { of?: string; thumbnails?: string[] }) =>
      id === 'fetch' ? { uploads: ['a', 'b', 'c'] } : id === 'thumbnail' ? `t-${payload.of}` : payload.thumbnails,
    )
    expect(end).toMatchObject({ kind: 'done', rounds: 3, value: ['t-a', 't-b', 't-c'] })
  })

  it('an empty fan-out and one over null start nothing', () => {
    for (const [uploads, value] of [
      [[], []],
      [null, null],
    ])
      expect(carryOut(then(task('fetch'), 1, map(ref(1), 2, task('x'))), () => uploads)).toMatchObject({
        kind: 'done',
        value,
        rounds: 1,
      })
  })

  it('jobs inside arrays, objects and payloads run side by side', () => {
    const plan = { a: task('a'), list: [task('b'), 7], sum: task('sum', { of: task('c') }) }
    expect(carryOut(plan, (id, payload) => ({ id, payload }))).toMatchObject({
      kind: 'done',
      rounds: 2,
      value: { a: { id: 'a' }, list: [{ id: 'b' }, 7], sum: { id: 'sum', payload: { of: { id: 'c' } } } },
    })
  })

  it('asks for the same jobs under the same keys when it begins again', () => {
    const first = carryOut(chain, () => ({ path: 'x' }))
    expect(carryOut(chain, () => ({ path: 'x' })).asked).toEqual(first.asked)
    expect(new Set(first.asked).size).toBe(3)
  })

  it('fails with the job that failed, after its round', () => {
    const plan = then(task('fetch'), 1, map(ref(1), 2, task('x', { of: ref(2) })))
    const results = new Map<string, JobResult>([['o', { ok: true, value: [1, 2] }]])
    const jobs = step(plan, results)
    if (jobs.kind !== 'start') throw new Error(jobs.kind)
    results.set(jobs.jobs[0]?.key as string, { ok: false, task: 'x' })
    results.set(jobs.jobs[1]?.key as string, { ok: true, value: 1 })
    expect(step(plan, results)).toMatchObject({ kind: 'failed', key: jobs.jobs[0]?.key })
  })

  it('says how far it is, and which checkpoints it passed', () => {
    const plan = then({ $checkpoint: { name: 'downloaded', of: task('download') } }, 1, task('upload', { it: ref(1) }))
    expect(step(plan, new Map())).toMatchObject({ of: 2, done: 0, checkpoints: [] })
    expect(step(plan, new Map([['oc', { ok: true, value: 1 } as JobResult]]))).toMatchObject({
      of: 2,
      done: 1,
      checkpoints: ['downloaded'],
    })
  })

  it.each([
    [
      'a part of nothing',
      then(task('a'), 1, task('b', { x: ref(1, 'x', 'y') })),
      {},
      /Cannot read "y" of undefined: the result of a/,
    ],
    [
      'no array',
      then(task('a'), 1, map(ref(1), 2, task('b'))),
      { length: 1 },
      /Expected an array of the stage before, got an object/,
    ],
    ['too wide', then(task('a'), 1, map(ref(1), 2, task('b'))), Array(1_001).fill(0), /1001 elements .* at most 1000/],
  ])('is impossible: %s', (_name, plan, output, message) => {
    expect(carryOut(plan, () => output)).toMatchObject({ kind: 'impossible', message: expect.stringMatching(message) })
  })

  it('never reads what an object inherits', () => {
    expect(carryOut(then(task('a'), 1, [ref(1, 'constructor'), ref(1, '__proto__')]), () => ({ a: 1 }))).toMatchObject({
      value: [undefined, undefined],
    })
  })

  it('a fan-out of 1,000 takes a moment', () => {
    const plan = then(then(task('a'), 1, map(ref(1), 2, task('b', { n: ref(2) }))), 3, task('c', { all: ref(3) }))
    const startedAt = performance.now()
    expect(carryOut(plan, (id) => (id === 'a' ? Array.from({ length: 1_000 }, (_, n) => n) : 1))).toMatchObject({ kind: 'done' })
    expect(performance.now() - startedAt).toBeLessThan(500)
  })
})

describe('refusing', () => {
  const refuse = (plan: unknown, bytes: number): string => {
    try {
      checkPlan(plan, bytes)
      return 'accepted'
    } catch (error) {
      if (error instanceof PlanRefusal) return error.code
      throw error
    }
  }
  const deep = (levels: number): Expression => (levels === 0 ? task('a') : then(deep(levels - 1), levels, task('b')))

  it.each([
    ['a chain of 50', deep(50), 'accepted'],
    ['a chain of 51', deep(51), 'PLAN_TOO_DEEP'],
    ['1,000 jobs', Array(1_000).fill(task('a')), 'accepted'],
    ['1,001 jobs', Array(1_001).fill(task('a')), 'PLAN_TOO_WIDE'],
    ['256 KiB and more', task('a'), 'PLAN_TOO_LARGE'],
    ['data nested 5,000 deep', JSON.parse(`${'['.repeat(5_000)}${']'.repeat(5_000)}`), 'PLAN_TOO_DEEP'],
    ['no job', { a: 1 }, 'PLAN_INVALID'],
    ['nothing', null, 'PLAN_INVALID'],
    ['an unknown variable', task('a', ref(3)), 'PLAN_INVALID'],
    ['a variable outside of its stage', [then(task('a'), 1, task('b')), ref(1)], 'PLAN_INVALID'],
    ['a variable used by two stages', [then(task('a'), 1, task('b')), then(task('a'), 1, task('b'))], 'PLAN_INVALID'],
    ['a sentence with too many values', { $run: { strings: ['a'], values: [1] } }, 'PLAN_INVALID'],
    ['a sentence that is none', { $run: null }, 'PLAN_INVALID'],
    ['a task without id', { $task: {} }, 'PLAN_INVALID'],
    ['a checkpoint without name', { $checkpoint: { of: task('a') } }, 'PLAN_INVALID'],
    ['a checkpoint that is none', { $checkpoint: null }, 'PLAN_INVALID'],
    ['a stage that is none', { $then: null }, 'PLAN_INVALID'],
    ['a path with an object in it', then(task('a'), 1, task('b', { $var: 1, path: [{}] })), 'PLAN_INVALID'],
  ])('%s', (_name, plan, code) => {
    expect(refuse(plan, code === 'PLAN_TOO_LARGE' ? 262_145 : 1_000)).toBe(code)
  })
})

describe('expressions', () => {
  it('data that look like an expression are wrapped and come back', () => {
    const data = { a: { $run: 1 }, b: [{ $value: 2 }], c: { $var: 1, path: 2, other: 3 } }
    const expression = literal(data)
    expect(isOpen(expression)).toBe(false)
    expect(dataOf(expression)).toEqual(data)
    expect(carryOut(task('a', expression), (_id, payload) => payload)).toMatchObject({ value: data })
  })

  it('each sentence becomes a task, the first job first', () => {
    const sentence = (text: string, ...values: unknown[]): Expression => ({
      $run: { strings: [text, ...values.map(() => '')], values },
    })
    const seen: string[] = []
    const plan = withTasks(then(sentence('a', 1), 1, map(ref(1), 2, sentence('b', ref(2)))), ({ strings, values }) => {
      seen.push(strings[0] as string)
      return { $task: { id: strings[0] as string, payload: { values } } }
    })
    expect(seen).toEqual(['a', 'b'])
    expect(plan).toEqual(then(task('a', { values: [1] }), 1, map(ref(1), 2, task('b', { values: [ref(2)] }))))
  })
})
