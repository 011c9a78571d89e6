/**
 * A plan: a chain of jobs as one JSON expression. Anything that is not one of the marked objects below means itself; a plain
 * object that would be taken for one (its only key begins with `$`) is wrapped in `$value`.
 */
import type { Sentence } from './sentence.ts'

export type Expression = unknown

/** The result of a stage before, or the element of a fan-out: variable `$var`, then property names and indexes. */
export interface VariableExpression {
  $var: number
  path?: (string | number)[]
}
/** A job: understood when the plan is taken in; its value is the run's output. */
export interface SentenceExpression {
  $run: Sentence
}
/** A job whose task is named; what sentences become. */
export interface TaskExpression {
  $task: { id: string; payload: Expression; options?: PlanRunOptions }
}
/** `of` first; then `do`, in which variable `as` is the value of `of`. */
export interface ThenExpression {
  $then: { of: Expression; as: number; do: Expression }
}
/** `do` once for each element of the array `over`; the value is the array of results in the same order. Null stays null. */
export interface MapExpression {
  $map: { over: Expression; as: number; do: Expression }
}
/** Names the result of `of`. */
export interface CheckpointExpression {
  $checkpoint: { name: string; of: Expression }
}
export interface ValueExpression {
  $value: unknown
}

export interface PlanRunOptions {
  tags?: string[]
  queue?: string
  concurrencyKey?: string
  machine?: string
}

/** The task of the run that carries a plan out; a name no project can give to a task of its own. */
export const planTask = 'trigger.do/plan'

export const planLimits = {
  /** Nested stages and fan-outs. */
  depth: 50,
  /** Elements of one fan-out, and jobs written in one plan. */
  width: 1_000,
  /** Of the plan as JSON. */
  bytes: 262_144,
  checkpointNameChars: 128,
} as const

/** What the run of a plan is started with. */
export interface PlanPayload {
  plan: Expression
}
