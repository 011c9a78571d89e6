/** Stacks name the user's TypeScript: mapped with the version's source maps when an attempt fails, never on the way of a success. */
import type { Env } from '../contracts/bindings.ts'
import type { TaskRunError } from '../contracts/rpc.ts'
import { mapStack, type StackMaps } from './bundle/source-map.ts'
import { bundleKeys } from './isolate-loader.ts'

/**
 * Maps are megabytes: one version's stay in memory, the newest asked for. Kept once they are there: a promise of one object's
 * call may never resolve for another's.
 */
let cached: { hash: string; maps: StackMaps | null } | undefined

export async function mapErrorStack(env: Env, bundleHash: string, error: TaskRunError): Promise<TaskRunError> {
  if (!('stackTrace' in error) || !error.stackTrace) return error
  let maps = cached?.hash === bundleHash ? cached.maps : undefined
  if (maps === undefined) {
    const object = await env.BUCKET.get(bundleKeys.maps(bundleHash))
    maps = object ? ((await object.json()) as StackMaps) : null
    cached = { hash: bundleHash, maps }
  }
  return maps ? { ...error, stackTrace: mapStack(error.stackTrace, maps) } : error
}
