/** Schedules that tasks declare in code: which of them an environment gets, and what is wrong with them. */
import type { EnvironmentType, TaskDefinition } from '../../contracts/rpc.ts'
import { timingProblem } from './plan.ts'

export interface DeclaredSchedule {
  task: string
  cron: string
  timezone: string
  window?: string
}

export function declaredFor(tasks: TaskDefinition[], environment: EnvironmentType): DeclaredSchedule[] {
  return tasks.flatMap(({ id, schedule }) =>
    schedule && (!schedule.environments?.length || schedule.environments.includes(environment))
      ? [{ task: id, cron: schedule.cron, timezone: schedule.timezone, ...(schedule.window ? { window: schedule.window } : {}) }]
      : [],
  )
}

/** Names every schedule that is not valid, also those of other environments: the code is wrong wherever it is deployed. */
export function scheduleProblem(tasks: TaskDefinition[]): string | undefined {
  const problems = tasks.flatMap(({ id, schedule }) => {
    const problem = schedule && timingProblem(schedule)
    return problem
      ? [`The schedule of task "${id}" (cron "${schedule.cron}", timezone "${schedule.timezone}") is not valid. ${problem}`]
      : []
  })
  return problems.length > 0 ? problems.join('\n') : undefined
}
