/** A chain of jobs is understood as a whole, or refused as a whole; then it is one run. */
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { type Expression, planTask } from '../contracts/plan.ts'
import type { Caller } from '../contracts/rpc.ts'
import type { Sentence, Understanding } from '../contracts/sentence.ts'
import type { TriggerBody } from '../contracts/trigger.schema.ts'
import { understand } from '../core/nl/understand.ts'
import { checkPlan, dataOf, isOpen, literal, PlanRefusal, tasksOf, withTasks, wordsOf } from '../core/plan/expression.ts'
import { byteLength } from './packets.ts'
import { notUnderstood } from './sentences.ts'
import { currentTasks, type KnownTasks } from './tasks.ts'
import { type TriggerContext, triggerTask } from './trigger.ts'

export interface StartedPlan {
  id: string
  /** What was understood, sentence by sentence, the first job first. */
  stages: Understanding[]
}

export async function startPlan(
  env: Env,
  caller: Caller,
  input: { plan: Expression; timezone?: string | undefined },
  options: TriggerBody['options'],
  context: TriggerContext,
  /** Throws when the caller may not start this task. */
  allow: (task: string) => void,
): Promise<StartedPlan> {
  try {
    checkPlan(input.plan, byteLength(JSON.stringify(input.plan) ?? ''))
  } catch (error) {
    if (error instanceof PlanRefusal) throw new OperationError('UNPROCESSABLE', error.message, { body: { code: error.code } })
    throw error
  }
  const tasks = await currentTasks(env, caller)
  const stages: Understanding[] = []
  const plan = withTasks(input.plan, (sentence) => {
    const { meaning, task } = readStage(sentence, tasks, input.timezone ?? 'UTC')
    stages.push(meaning)
    return task
  })
  for (const task of tasksOf(plan)) {
    allow(task)
    if (!tasks.tasks.some(({ id }) => id === task))
      throw new OperationError('UNPROCESSABLE', `The plan names task ${task}, which the current version does not have.`, {
        body: { code: 'NO_MATCH', candidates: [] },
      })
  }
  const body = { payload: { plan }, options: { ...options, ...(tasks.version ? { lockToVersion: tasks.version } : {}) } }
  const { id } = await triggerTask(env, caller, planTask, body, { ...context, isPlan: true })
  return { id, stages }
}

function readStage(
  { strings, values }: Sentence,
  { index }: KnownTasks,
  timezone: string,
): { meaning: Understanding; task: { $task: { id: string; payload: Expression } } } {
  const open = new Set<unknown>()
  const read = values.map((value) => {
    if (!isOpen(value)) return dataOf(value)
    open.add(value)
    return value
  })
  const place = `In the stage "${wordsOf(strings)}": `
  const isPlaceholder = (value: unknown): boolean => open.has(value)
  const meaning = understand({ strings, values: read }, index, { now: Date.now(), timezone, isPlaceholder })
  if (!meaning.understood) throw notUnderstood(meaning, place)
  if (meaning.kind !== 'run' || meaning.at)
    throw notUnderstood(
      {
        understood: false,
        code: 'NOT_UNDERSTOOD',
        message: 'a stage of a plan runs when the one before has ended; it cannot wait for a time or an event.',
        candidates: meaning.candidates,
      },
      place,
    )
  return { meaning, task: { $task: { id: meaning.task, payload: expressionOf(meaning.payload, open) } } }
}

/** What the grammar put into the payload: placeholders stay, everything else stands for itself. */
function expressionOf(value: unknown, open: Set<unknown>): Expression {
  if (open.has(value)) return value
  if (Array.isArray(value)) return value.map((each) => expressionOf(each, open))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  const hasOpen = (each: unknown): boolean =>
    open.has(each) || (typeof each === 'object' && each !== null && Object.values(each).some(hasOpen))
  return hasOpen(value) ? Object.fromEntries(entries.map(([key, each]) => [key, expressionOf(each, open)])) : literal(value)
}
