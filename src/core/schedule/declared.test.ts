import { describe, expect, it } from 'vitest'
import type { TaskDefinition } from '../../contracts/rpc.ts'
import { declaredFor, scheduleProblem } from './declared.ts'

function task(id: string, schedule?: TaskDefinition['schedule']): TaskDefinition {
  return { id, filePath: 'a.ts', entryPoint: 'a.mjs', host: 'isolate', ...(schedule ? { schedule } : {}) }
}

describe('declared schedules', () => {
  it('go to the environments they name, or to all', () => {
    const tasks = [
      task('everywhere', { cron: '0 0 * * *', timezone: 'UTC' }),
      task('prod', { cron: '0 1 * * *', timezone: 'UTC', environments: ['PRODUCTION'] }),
      task('none'),
    ]
    expect(declaredFor(tasks, 'PRODUCTION').map((one) => one.task)).toEqual(['everywhere', 'prod'])
    expect(declaredFor(tasks, 'STAGING').map((one) => one.task)).toEqual(['everywhere'])
  })

  it('that are wrong are named with their task and cron', () => {
    expect(scheduleProblem([task('a', { cron: '*/5 * * * *', timezone: 'Europe/London' }), task('b')])).toBeUndefined()
    const seconds = scheduleProblem([task('a', { cron: '0 * * * * *', timezone: 'UTC' })])
    expect(seconds).toMatch(/task "a".*"0 \* \* \* \* \*".*seconds are not allowed/)
    const both = scheduleProblem([
      task('a', { cron: '61 * * * *', timezone: 'UTC' }),
      task('b', { cron: '* * * * *', timezone: 'Mars/Olympus', environments: ['STAGING'] }),
    ])
    expect(both).toMatch(/task "a"[\s\S]*task "b".*Mars\/Olympus/)
  })
})
