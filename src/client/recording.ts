/**
 * Recording a `.map` callback: it is called once, at once, with a placeholder in the place of the result, and what it does
 * with it becomes an expression of the plan. Whatever a placeholder cannot stand for ends the recording, and the stage is
 * then carried out here, with the real value.
 */
import type { Expression } from '../contracts/plan.ts'
import type { Sentence } from '../contracts/sentence.ts'
import { markedOf } from '../core/plan/expression.ts'
import { isRecordable } from './scan.ts'
import { toJson, ValueError } from './values.ts'

export type Callback = (value: never) => unknown

export interface Recorded {
  as: number
  do: Expression
  /** Without a job in it, a stage is a mere change of data. */
  jobs: number
}

class Unrecordable extends Error {}

interface Recorder {
  /** Instances with other settings speak to another API. */
  owner: unknown
  numbers: { next: number }
  /** Jobs written by the callback, each of which must end up in what it returns. */
  jobs: number
  used: number
}
interface RecordedJob {
  expression: Expression
  isUsed: boolean
}
let recorder: Recorder | undefined

/** Placeholders, and arrays made of them. */
const expressions = new WeakMap<object, object>()
const jobs = new WeakMap<object, RecordedJob>()

/** Undefined = the stage must be carried out here. */
export function record(callback: Callback, owner: unknown, numbers: { next: number }): Recorded | undefined {
  if (!isRecordable(callback)) return undefined
  const mine: Recorder = { owner, numbers, jobs: 0, used: 0 }
  const before = recorder
  recorder = mine
  try {
    const stage = call(callback)
    // A job that is not part of the result would be lost.
    return mine.used === mine.jobs ? { ...stage, jobs: mine.jobs } : undefined
  } catch (error) {
    if (error instanceof Unrecordable) return undefined
    throw error
  } finally {
    recorder = before
  }
}

/** Inside a recording: the job as a part of the plan. */
export function recordJob(owner: unknown, make: () => Expression): object | undefined {
  if (!recorder) return undefined
  if (recorder.owner !== owner) throw new Unrecordable()
  return recordedJob(make())
}

/** For what asks the API at once. */
export function refuseRecording(): void {
  if (recorder) throw new Unrecordable()
}

export function sentenceExpression(strings: string[], values: readonly unknown[]): { $run: Sentence } {
  return { $run: { strings, values: values.map((value, index) => valueExpression(value, `value ${index + 1} of the sentence`)) } }
}

export function valueExpression(value: unknown, place: string, undefinedProperty: 'refuse' | 'omit' = 'refuse'): Expression {
  return toJson(value, place, { replace: replaceData, object: asLiteral, undefinedProperty })
}

function call(callback: Callback): { as: number; do: Expression } {
  const { numbers } = recorder as Recorder
  const as = numbers.next++
  const result = callback(placeholder(as, []) as never)
  return { as, do: resultExpression(result) }
}

/** What the callback returns is data of the program, not yet of a sentence: anything but plain JSON is left to the program. */
function resultExpression(result: unknown): Expression {
  try {
    return toJson(result, 'the result of the callback', {
      replace: (value) => {
        const found = replace(value)
        if (!found && typeof (value as { toJSON?: unknown } | null | undefined)?.toJSON === 'function') throw new Unrecordable()
        return found
      },
      object: asLiteral,
      undefinedProperty: 'refuse',
    })
  } catch (error) {
    if (error instanceof ValueError) throw new Unrecordable()
    throw error
  }
}

function replace(value: unknown): { with: unknown } | undefined {
  const job = jobs.get(value as object)
  return job ? { with: use(job) } : replaceData(value)
}

/** A job is no value of a sentence, recorded or not. */
function replaceData(value: unknown): { with: unknown } | undefined {
  const expression = expressions.get(value as object)
  return expression ? { with: expression } : undefined
}

function use(job: RecordedJob): Expression {
  if (job.isUsed || !recorder) throw new Unrecordable()
  job.isUsed = true
  recorder.used += 1
  return job.expression
}

/** A plain object that looks like a mark of the plan means itself. */
function asLiteral(value: Record<string, unknown>): unknown {
  if (!markedOf(value)) return value
  if (hasMark(Object.values(value))) throw new Unrecordable()
  return { $value: value }
}

function hasMark(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return markedOf(value) !== undefined || Object.values(value).some(hasMark)
}

function placeholder($var: number, path: (string | number)[]): object {
  const unrecordable = (): never => {
    throw new Unrecordable()
  }
  const part = (key: string | number): object => placeholder($var, [...path, key])
  const proxy = new Proxy(() => {}, {
    get(_, key) {
      if (key === Symbol.iterator) return () => elements(part)
      if (typeof key === 'symbol' || unreadable.has(key)) throw new Unrecordable()
      if (key === 'map') return fanOut(proxy)
      return part(/^(0|[1-9][0-9]{0,14})$/.test(key) ? Number(key) : key)
    },
    apply: unrecordable,
    construct: unrecordable,
    defineProperty: unrecordable,
    deleteProperty: unrecordable,
    getOwnPropertyDescriptor: unrecordable,
    getPrototypeOf: unrecordable,
    has: unrecordable,
    isExtensible: unrecordable,
    ownKeys: unrecordable,
    preventExtensions: unrecordable,
    set: unrecordable,
    setPrototypeOf: unrecordable,
  })
  expressions.set(proxy, { $var, ...(path.length > 0 ? { path } : {}) })
  return proxy
}

/** Reading these, the language or a library looks at the value itself. */
const unreadable = new Set(
  'then toJSON toString toLocaleString valueOf constructor prototype __proto__ apply call bind hasOwnProperty'.split(' '),
)

/** Destructuring takes as many as it names and closes the iterator; a spread would go on for ever. */
function* elements(part: (index: number) => object): Generator<object> {
  for (let index = 0; index < 100; index++) yield part(index)
  throw new Unrecordable()
}

function fanOut(over: object): (callback: Callback) => object {
  return (callback) => {
    // An index, or the whole array, is not known to a plan.
    if (!recorder || callback.length > 1 || !isRecordable(callback)) throw new Unrecordable()
    const before = recorder.jobs
    const expression = { $map: { over: expressions.get(over), ...call(callback) } }
    const value = opaque({})
    if (recorder.jobs === before) expressions.set(value, expression)
    else add(value, { expression, isUsed: false })
    return value
  }
}

function recordedJob(expression: Expression): object {
  const job: RecordedJob = { expression, isUsed: false }
  const value: object = opaque({
    map: (callback: Callback) => {
      if (!isRecordable(callback)) throw new Unrecordable()
      const of = use(job)
      return recordedJob({ $then: { of, ...call(callback) } })
    },
    checkpoint: (name: string) => recordedJob({ $checkpoint: { name: checkpointName(name), of: use(job) } }),
  })
  add(value, job)
  return value
}

function add(value: object, job: RecordedJob): void {
  jobs.set(value, job)
  ;(recorder as Recorder).jobs += 1
}

function opaque(methods: Record<string, unknown>): object {
  return new Proxy(methods, {
    get(target, key) {
      if (typeof key === 'string' && Object.hasOwn(target, key)) return target[key]
      throw new Unrecordable()
    },
    ownKeys() {
      throw new Unrecordable()
    },
  })
}

export function checkpointName(name: unknown): string {
  if (typeof name === 'string' && name.length > 0 && name.length <= 128) return name
  throw new TypeError('The name of a checkpoint is a string of 1 to 128 characters.')
}
