/** Reading a plan: which objects are marked, what is refused, and the sentences in it become tasks. */
import {
  type CheckpointExpression,
  type Expression,
  type MapExpression,
  planLimits,
  type SentenceExpression,
  type TaskExpression,
  type ThenExpression,
  type ValueExpression,
  type VariableExpression,
} from '../../contracts/plan.ts'
import type { Sentence } from '../../contracts/sentence.ts'

export type PlanRefusalCode = 'PLAN_INVALID' | 'PLAN_TOO_DEEP' | 'PLAN_TOO_WIDE' | 'PLAN_TOO_LARGE'

export class PlanRefusal extends Error {
  readonly code: PlanRefusalCode

  constructor(code: PlanRefusalCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Data inside data, beside the nested stages: deeper than this nobody writes it by hand. */
const nesting = 100
const markers = ['$var', '$run', '$task', '$then', '$map', '$checkpoint', '$value'] as const
export type Marked =
  | VariableExpression
  | SentenceExpression
  | TaskExpression
  | ThenExpression
  | MapExpression
  | CheckpointExpression
  | ValueExpression

type Plain = Record<string, unknown>

export function isObject(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A plain object whose only key is a marker; `$var` may have a path beside it. */
export function markedOf(value: unknown): Marked | undefined {
  if (!isObject(value)) return undefined
  const keys = Object.keys(value)
  const isOne =
    keys.length === 1
      ? markers.includes(keys[0] as (typeof markers)[number])
      : keys.length === 2 && '$var' in value && 'path' in value
  return isOne ? (value as unknown as Marked) : undefined
}

/** Data that stands for itself wherever a plan may hold an expression. */
export function literal(value: unknown): Expression {
  if (Array.isArray(value)) return value.map(literal)
  if (!isObject(value)) return value
  if (markedOf(value)) return { $value: value }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, literal(each)]))
}

interface Walk {
  jobs: number
  variables: Set<number>
}

/** Throws a PlanRefusal. What it lets through can be carried out as far as its data allow. */
export function checkPlan(plan: Expression, bytes: number): { jobs: number } {
  if (bytes > planLimits.bytes)
    throw new PlanRefusal('PLAN_TOO_LARGE', `The plan has ${bytes} bytes, at most ${planLimits.bytes} are allowed.`)
  const walk: Walk = { jobs: 0, variables: new Set() }
  check(walk, plan, 'plan', [], { stages: 0, data: 0 })
  if (walk.jobs === 0) throw invalid('plan', 'has no job in it')
  if (walk.jobs > planLimits.width)
    throw new PlanRefusal('PLAN_TOO_WIDE', `The plan has ${walk.jobs} jobs, at most ${planLimits.width} are allowed.`)
  return { jobs: walk.jobs }
}

interface Depth {
  stages: number
  data: number
}

function check(walk: Walk, value: Expression, at: string, scope: number[], depth: Depth): void {
  if (depth.stages > planLimits.depth)
    throw new PlanRefusal('PLAN_TOO_DEEP', `The plan is more than ${planLimits.depth} stages deep.`)
  if (depth.data > nesting) throw new PlanRefusal('PLAN_TOO_DEEP', `The data at ${at.slice(0, 100)} are nested too deeply.`)
  const inner = { ...depth, data: depth.data + 1 }
  if (Array.isArray(value)) {
    value.forEach((each, index) => {
      check(walk, each, `${at}[${index}]`, scope, inner)
    })
    return
  }
  const marked = markedOf(value)
  if (marked) checkMarked(walk, marked, at, scope, depth)
  else if (isObject(value)) for (const [key, each] of Object.entries(value)) check(walk, each, `${at}.${key}`, scope, inner)
}

function checkMarked(walk: Walk, marked: Marked, at: string, scope: number[], depth: Depth): void {
  const inner = { ...depth, data: depth.data + 1 }
  const next = { stages: depth.stages + 1, data: 0 }
  if ('$var' in marked) checkVariable(marked, at, scope)
  else if ('$run' in marked) {
    walk.jobs += 1
    const { strings, values } = sentenceAt(marked.$run, at)
    values.forEach((each, index) => {
      check(walk, each, `${at} "${wordsOf(strings)}", value ${index + 1}`, scope, inner)
    })
  } else if ('$task' in marked) {
    walk.jobs += 1
    if (!isObject(marked.$task) || typeof marked.$task.id !== 'string') throw invalid(at, '$task needs an id')
    check(walk, marked.$task.payload, `${at} ${marked.$task.id}`, scope, inner)
  } else if ('$checkpoint' in marked) {
    if (!isObject(marked.$checkpoint)) throw invalid(at, '$checkpoint needs a name and what it names')
    const { name, of } = marked.$checkpoint
    if (typeof name !== 'string' || name === '' || name.length > planLimits.checkpointNameChars)
      throw invalid(at, `the name of a checkpoint has 1 to ${planLimits.checkpointNameChars} characters`)
    check(walk, of, at, scope, inner)
  } else if (!('$value' in marked)) {
    const stage = '$then' in marked ? marked.$then : marked.$map
    if (!isObject(stage)) throw invalid(at, 'a stage needs what comes first, and what is done with it')
    const { as } = stage
    if (!Number.isInteger(as) || walk.variables.has(as)) throw invalid(at, 'each stage needs a variable number of its own')
    walk.variables.add(as)
    check(walk, 'of' in stage ? stage.of : stage.over, at, scope, next)
    check(walk, stage.do, at, [...scope, as], next)
  }
}

function checkVariable({ $var, path }: VariableExpression, at: string, scope: number[]): void {
  if (!scope.includes($var)) throw invalid(at, `variable ${JSON.stringify($var)} is not known there`)
  const isStep = (step: unknown): boolean => typeof step === 'string' || (Number.isInteger(step) && (step as number) >= 0)
  if (path !== undefined && !(Array.isArray(path) && path.length <= nesting && path.every(isStep)))
    throw invalid(at, 'a path is made of names and indexes')
}

function sentenceAt(run: unknown, at: string): Sentence {
  const { strings, values } = (isObject(run) ? run : {}) as Partial<Sentence>
  const fits =
    Array.isArray(strings) &&
    Array.isArray(values) &&
    strings.length === values.length + 1 &&
    strings.every((text) => typeof text === 'string')
  if (!fits) throw invalid(at, 'a sentence needs strings, and one value less than strings')
  return { strings, values }
}

export function wordsOf(strings: string[]): string {
  return strings.join('…').trim().slice(0, 80)
}

function invalid(at: string, what: string): PlanRefusal {
  return new PlanRefusal('PLAN_INVALID', `The plan is not valid at ${at.slice(0, 200)}: ${what}.`)
}

/** Replaces each sentence by what `understand` makes of it, the first job first. */
export function withTasks(plan: Expression, understand: (sentence: Sentence) => TaskExpression): Expression {
  const walk = (value: Expression): Expression => {
    if (Array.isArray(value)) return value.map(walk)
    if (!isObject(value)) return value
    const marked = markedOf(value)
    if (!marked) return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, walk(each)]))
    if ('$var' in marked || '$value' in marked) return marked
    if ('$run' in marked) return understand({ strings: marked.$run.strings, values: marked.$run.values.map(walk) })
    if ('$task' in marked) return { $task: { ...marked.$task, payload: walk(marked.$task.payload) } }
    if ('$checkpoint' in marked) return { $checkpoint: { ...marked.$checkpoint, of: walk(marked.$checkpoint.of) } }
    if ('$then' in marked) return { $then: { of: walk(marked.$then.of), as: marked.$then.as, do: walk(marked.$then.do) } }
    return { $map: { over: walk(marked.$map.over), as: marked.$map.as, do: walk(marked.$map.do) } }
  }
  return walk(plan)
}

/** Ids of the tasks it starts, each as often as it stands there. */
export function tasksOf(plan: Expression): string[] {
  const found: string[] = []
  const walk = (value: Expression): void => {
    if (Array.isArray(value)) value.forEach(walk)
    else if (isObject(value)) {
      const marked = markedOf(value)
      if (marked && '$value' in marked) return
      if (marked && '$task' in marked) found.push(marked.$task.id)
      Object.values(value).forEach(walk)
    }
  }
  walk(plan)
  return found
}

/** Whether anything in it is known only when the plan is carried out. */
export function isOpen(value: Expression): boolean {
  if (Array.isArray(value)) return value.some(isOpen)
  if (!isObject(value)) return false
  const marked = markedOf(value)
  if (marked) return !('$value' in marked)
  return Object.values(value).some(isOpen)
}

/** A value without marks in it, as plain data. */
export function dataOf(value: Expression): unknown {
  if (Array.isArray(value)) return value.map(dataOf)
  if (!isObject(value)) return value
  const marked = markedOf(value)
  if (marked && '$value' in marked) return marked.$value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, dataOf(each)]))
}
