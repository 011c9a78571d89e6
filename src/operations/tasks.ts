/** The tasks of an environment's current version, and the index sentences are read with: built once per version. */
import type { Env } from '../contracts/bindings.ts'
import type { CurrentTasks } from '../contracts/objects.ts'
import type { Caller } from '../contracts/rpc.ts'
import { fieldsOfSchema, isClosedSchema } from '../core/nl/schema-fields.ts'
import type { TaskEntry } from '../core/nl/sentence.ts'
import { prepareTasks, type TaskIndex } from '../core/nl/task-index.ts'
import { callEnvironment } from './objects.ts'

export interface KnownTasks {
  version?: string
  tasks: NonNullable<CurrentTasks['tasks']>
  index: TaskIndex
  entries: TaskEntry[]
}

const environmentsKept = 50
const known = new Map<string, KnownTasks>()

/** One hop, which carries the tasks only when the version is a new one. */
export async function currentTasks(env: Env, caller: Caller): Promise<KnownTasks> {
  const { id, locator } = caller.environment
  const before = known.get(id)
  const current = await callEnvironment(env, locator, '0', (environment) => environment.currentTasks(caller, before?.version))
  if (before && current.version !== undefined && current.version === before.version && !current.tasks) return before
  const tasks = current.tasks ?? []
  const entries = tasks.map(entryOf)
  const made = { ...(current.version ? { version: current.version } : {}), tasks, entries, index: prepareTasks(entries) }
  if (known.size >= environmentsKept) known.clear()
  known.set(id, made)
  return made
}

function entryOf(task: KnownTasks['tasks'][number]): TaskEntry {
  // What the code reads is a hint: nothing of it is required, and other fields are welcome.
  const hints = task.payloadFields?.map((name) => ({ name, required: false }))
  const fields = fieldsOfSchema(task.payloadSchema) ?? hints
  return {
    id: task.id,
    ...(task.description ? { description: task.description } : {}),
    ...(task.keywords ? { keywords: task.keywords } : {}),
    ...(fields ? { fields } : {}),
    ...(task.payloadSchema && isClosedSchema(task.payloadSchema) ? { isClosed: true } : {}),
  }
}
