import { planTask } from '../../contracts/plan.ts'
import type { WorkerVersion } from '../../contracts/rpc.ts'

/** A run in a queue its version does not declare waits for one that does (2.42). */
export function declaresQueue(version: WorkerVersion, queue: string): boolean {
  return (
    queue === `task/${planTask}` ||
    version.queues.some((declared) => declared.name === queue) ||
    version.tasks.some((task) => queue === `task/${task.id}` || queue === task.queue?.name)
  )
}
