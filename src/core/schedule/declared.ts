/** Schedules that tasks declare in code: which of them an environment gets, and what is wrong with them. */
import type { EnvironmentType, TaskDefinition } from '../../contracts/rpc.ts'
import { validateCron, validateTimezone } from './next-tick.ts'

export interface DeclaredSchedule {
  task: string
  cron: string
  timezone: string
}

export function declaredFor(tasks: TaskDefinition[], environment: EnvironmentType): DeclaredSchedule[] {
  return tasks.flatMap(({ id, schedule }) =>
    schedule && (!schedule.environments?.length || schedule.environments.includes(environment))
      ? [{ task: id, cron: schedule.cron, timezone: schedule.timezone }]
      : [],
  )
}

/** Names every schedule that is not valid, also those of other environments: the code is wrong wherever it is deployed. */
export function scheduleProblem(tasks: TaskDefinition[]): string | undefined {
  const problems = tasks.flatMap(({ id, schedule }) => {
    const problem = schedule && (validateCron(schedule.cron) ?? validateTimezone(schedule.timezone))
    return problem
      ? [`The schedule of task "${id}" (cron "${schedule.cron}", timezone "${schedule.timezone}") is not valid. ${problem}`]
      : []
  })
  return problems.length > 0 ? problems.join('\n') : undefined
}
