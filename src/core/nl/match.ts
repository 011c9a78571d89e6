export type TaskIndex = unknown
export function prepareTasks(tasks: unknown[]): TaskIndex {
  return tasks
}
