/** Stacks name the user's TypeScript: mapped with the version's source maps when an attempt fails, never on the way of a success. */
import type { Env } from '../contracts/bindings.ts'
import type { TaskRunError } from '../contracts/rpc.ts'
import { mapStack, type StackMaps } from './bundle/source-map.ts'
import { bundleKeys } from './isolate-loader.ts'

/** Maps are megabytes: one version's stay in memory, the newest asked for. */
let cached: { hash: string; maps: Promise<StackMaps | null> } | undefined

export async function mapErrorStack(env: Env, bundleHash: string, error: TaskRunError): Promise<TaskRunError> {
  if (!('stackTrace' in error) || !error.stackTrace) return error
  if (cached?.hash !== bundleHash) {
    const maps = env.BUCKET.get(bundleKeys.maps(bundleHash)).then(async (object) =>
      object ? ((await object.json()) as StackMaps) : null,
    )
    cached = { hash: bundleHash, maps }
    maps.catch(() => {
      cached = undefined
    })
  }
  const maps = await cached.maps
  return maps ? { ...error, stackTrace: mapStack(error.stackTrace, maps) } : error
}
