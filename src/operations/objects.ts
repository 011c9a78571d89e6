/** Stubs of the objects and the rule for repeating a call (design §3.2.5). A stub is never kept across a failure. */
import type { Env } from '../contracts/bindings.ts'
import { OperationError, RpcRefusal } from '../contracts/errors.ts'
import { partitionOf } from '../contracts/ids.ts'
import {
  type DirectoryObject,
  type EnvironmentObject,
  type HistoryObject,
  objectNames,
  type ProjectObject,
  type SchedulerObject,
  type TaskObject,
} from '../contracts/objects.ts'
import type { RpcResult } from '../contracts/rpc.ts'
import { historyDay } from '../core/run/retention.ts'

/** A method that answers RpcResult through a stub loses the generic; this is the shape callers rely on. */
type Call<O, T> = (object: O) => Promise<T>

export function callDirectory<T>(env: Env, call: Call<DirectoryObject, T>): Promise<T> {
  return repeated(() => call(env.DIRECTORY.get(env.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject))
}

export function callProject<T>(env: Env, projectId: string, call: Call<ProjectObject, T>): Promise<T> {
  return repeated(() => call(env.PROJECT.get(env.PROJECT.idFromName(projectId)) as unknown as ProjectObject))
}

export function callTask<T>(env: Env, locator: string, call: Call<TaskObject, T>): Promise<T> {
  return repeated(() => call(env.TASK.get(env.TASK.idFromName(objectNames.task(locator))) as unknown as TaskObject))
}

export function callScheduler<T>(env: Env, locator: string, call: Call<SchedulerObject, T>): Promise<T> {
  return repeated(() =>
    call(env.SCHEDULER.get(env.SCHEDULER.idFromName(objectNames.scheduler(locator))) as unknown as SchedulerObject),
  )
}

/** Any run of the day names its object. */
export function callHistory<T>(env: Env, locator: string, runId: string, call: Call<HistoryObject, T>): Promise<T> {
  const name = objectNames.history(locator, partitionOf(runId) ?? '0', historyDay(runId))
  return repeated(() => call(env.HISTORY.get(env.HISTORY.idFromName(name)) as unknown as HistoryObject))
}

/** Unwraps the result: a refusal is thrown as RpcRefusal. */
export async function callEnvironment<T>(
  env: Env,
  locator: string,
  partition: string,
  call: Call<EnvironmentObject, RpcResult<T>>,
): Promise<T> {
  return unwrap(
    await repeated(() => {
      const id = env.ENVIRONMENT.idFromName(objectNames.environment(locator, partition))
      return call(env.ENVIRONMENT.get(id) as unknown as EnvironmentObject)
    }),
  )
}

export function unwrap<T>(result: RpcResult<T>): T {
  if (result.ok) return result.value
  throw new RpcRefusal(result.error)
}

const attempts = 3

export async function repeated<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      const flags = error as { overloaded?: boolean; retryable?: boolean; remote?: boolean }
      if (error instanceof OperationError || error instanceof RpcRefusal) throw error
      if (flags.overloaded)
        throw new OperationError('OVERLOADED', 'The environment is overloaded, try again.', { headers: { 'retry-after': '1' } })
      // An exception of the object's own code would only be thrown again.
      if (attempt === attempts || (flags.remote && !flags.retryable)) throw error
      await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt * (0.5 + Math.random())))
    }
  }
}
