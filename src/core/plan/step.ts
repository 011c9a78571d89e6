/**
 * Carrying a plan out: given the results so far, which jobs start next, or what came of it. Deterministic: a plan that begins
 * again from the top asks for the same jobs under the same keys, so results that exist are found and nothing runs twice.
 */
import { type Expression, type PlanRunOptions, planLimits, type VariableExpression } from '../../contracts/plan.ts'
import { isObject, markedOf } from './expression.ts'

/** What one plan may start in all. */
const jobLimit = 10_000

export interface Job {
  /** Where it stands in the plan: the same whenever the plan is looked at. */
  key: string
  task: string
  payload: unknown
  options?: PlanRunOptions
}
export type JobResult = { ok: true; value: unknown } | { ok: false; task: string }

export interface Progress {
  /** Jobs written in the plan, and how many of them have nothing left to do. */
  of: number
  done: number
  /** Names of the checkpoints that were reached. */
  checkpoints: string[]
}
export type Step = Progress &
  (
    | { kind: 'start'; jobs: Job[] }
    | { kind: 'done'; value: unknown }
    /** A job failed: `key` names it. */
    | { kind: 'failed'; key: string }
    /** The data do not fit the plan. */
    | { kind: 'impossible'; message: string }
  )

interface Walk {
  results: Map<string, JobResult>
  jobs: Job[]
  started: number
  failed?: string
  checkpoints: Set<string>
  /** Place in the written plan → how many of its jobs there are, and have ended. */
  places: Map<string, { all: number; ended: number }>
}
type Scope = Map<number, { value: unknown; from: string }>

const pending = Symbol('pending')
class Impossible extends Error {}

export function step(plan: Expression, results: Map<string, JobResult>): Step {
  const walk: Walk = { results, jobs: [], started: 0, checkpoints: new Set(), places: new Map() }
  const progress = (): Progress => ({
    of: countJobs(plan),
    done: [...walk.places.values()].filter(({ all, ended }) => all === ended).length,
    checkpoints: [...walk.checkpoints],
  })
  try {
    const value = evaluate(walk, plan, new Map(), '', '')
    if (walk.failed !== undefined) return { kind: 'failed', key: walk.failed, ...progress() }
    if (value === pending) return { kind: 'start', jobs: walk.jobs, ...progress() }
    return { kind: 'done', value, ...progress() }
  } catch (error) {
    if (error instanceof Impossible) return { kind: 'impossible', message: error.message, ...progress() }
    throw error
  }
}

/** `key` counts the elements of fan-outs, `place` does not. */
function evaluate(walk: Walk, value: Expression, scope: Scope, key: string, place: string): unknown {
  if (Array.isArray(value))
    return all(value.map((each, index) => evaluate(walk, each, scope, `${key}/${index}`, `${place}/${index}`)))
  if (!isObject(value)) return value
  const marked = markedOf(value)
  if (!marked) {
    const names = Object.keys(value)
    const values = all(names.map((name) => evaluate(walk, value[name], scope, `${key}/${name}`, `${place}/${name}`)))
    return values === pending ? pending : Object.fromEntries(names.map((name, index) => [name, (values as unknown[])[index]]))
  }
  if ('$value' in marked) return marked.$value
  if ('$var' in marked) return read(marked, scope)
  if ('$run' in marked) throw new Impossible('A sentence of the plan was not understood before it was started.')
  if ('$task' in marked) {
    const payload = evaluate(walk, marked.$task.payload, scope, `${key}p`, `${place}p`)
    if (payload === pending) return pending
    return job(
      walk,
      { key, task: marked.$task.id, payload, ...(marked.$task.options ? { options: marked.$task.options } : {}) },
      place,
    )
  }
  if ('$checkpoint' in marked) {
    const result = evaluate(walk, marked.$checkpoint.of, scope, `${key}c`, `${place}c`)
    if (result !== pending) walk.checkpoints.add(marked.$checkpoint.name)
    return result
  }
  if ('$then' in marked) {
    const { of, as, do: then } = marked.$then
    const result = evaluate(walk, of, scope, `${key}o`, `${place}o`)
    if (result === pending) return pending
    return evaluate(walk, then, new Map(scope).set(as, { value: result, from: nameOf(of) }), `${key}d`, `${place}d`)
  }
  const { over, as, do: each } = marked.$map
  const elements = evaluate(walk, over, scope, `${key}o`, `${place}o`)
  if (elements === pending) return pending
  if (elements === null || elements === undefined) return null
  if (!Array.isArray(elements)) throw new Impossible(`Expected an array of ${nameOf(over)}, got ${kindOf(elements)}.`)
  if (elements.length > planLimits.width)
    throw new Impossible(
      `${elements.length} elements of ${nameOf(over)} are too many: one fan-out has at most ${planLimits.width}.`,
    )
  return all(
    elements.map((element, index) =>
      evaluate(
        walk,
        each,
        new Map(scope).set(as, { value: element, from: `element ${index} of ${nameOf(over)}` }),
        `${key}[${index}]`,
        `${place}d`,
      ),
    ),
  )
}

function all(values: unknown[]): unknown {
  return values.includes(pending) ? pending : values
}

function job(walk: Walk, wanted: Job, place: string): unknown {
  walk.started += 1
  if (walk.started > jobLimit) throw new Impossible(`The plan starts more than ${jobLimit} jobs.`)
  const counts = walk.places.get(place) ?? { all: 0, ended: 0 }
  counts.all += 1
  walk.places.set(place, counts)
  const result = walk.results.get(wanted.key)
  if (!result) {
    walk.jobs.push(wanted)
    return pending
  }
  counts.ended += 1
  if (result.ok) return result.value
  walk.failed ??= wanted.key
  return pending
}

/** As JavaScript reads it: nothing of nothing is an error, a missing property is undefined. Never what an object inherits. */
function read({ $var, path = [] }: VariableExpression, scope: Scope): unknown {
  const bound = scope.get($var)
  let value = bound?.value
  for (const name of path) {
    if (value === null || value === undefined)
      throw new Impossible(`Cannot read ${JSON.stringify(name)} of ${String(value)}: ${bound?.from} has no such part.`)
    value = Object.hasOwn(Object(value), name) ? (value as Record<string, unknown>)[name] : undefined
  }
  return value
}

export function countJobs(value: Expression): number {
  if (Array.isArray(value)) return value.reduce((sum: number, each) => sum + countJobs(each), 0)
  if (!isObject(value)) return 0
  const marked = markedOf(value)
  if (!marked) return countJobs(Object.values(value))
  if ('$value' in marked || '$var' in marked) return 0
  if ('$run' in marked) return 1 + countJobs(marked.$run.values)
  if ('$task' in marked) return 1 + countJobs(marked.$task.payload)
  if ('$checkpoint' in marked) return countJobs(marked.$checkpoint.of)
  if ('$then' in marked) return countJobs(marked.$then.of) + countJobs(marked.$then.do)
  return countJobs(marked.$map.over) + countJobs(marked.$map.do)
}

function nameOf(value: Expression): string {
  const marked = markedOf(value)
  if (!marked) return 'the stage before'
  if ('$task' in marked) return `the result of ${marked.$task.id}`
  if ('$checkpoint' in marked) return nameOf(marked.$checkpoint.of)
  if ('$then' in marked) return nameOf(marked.$then.do)
  if ('$map' in marked) return 'a fan-out'
  return '$var' in marked && marked.path?.length ? `"${marked.path.join('.')}"` : 'the stage before'
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'an array' : value === null ? 'null' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}
