/**
 * Where task code lives: one dynamic isolate per environment, bundle, platform version, settings and shard (design D4).
 * The loader's `env` is always empty. Two environments can never share an id, so they never share an isolate.
 */
import type { Env } from '../contracts/bindings.ts'
import type { IsolateBundle, TaskIsolate } from '../contracts/isolate.ts'
import type { EnvironmentIdentity, LinkedBundle } from '../contracts/rpc.ts'
import { allowsPrivate } from './egress.ts'
import isolateHash from './generated/isolate-hash.txt'
import isolateMain from './generated/isolate-main.txt'

/** CPU of one hot run is one invocation: 5 minutes, the most Cloudflare allows. */
const isolateLimits = { cpuMs: 300_000, subRequests: 10_000 }
const compatibilityDate = '2026-11-01'
const compatibilityFlags = ['nodejs_compat']

/** `ctx.exports` of the Worker: the loopback entrypoints of worker.ts. */
export interface LoopbackExports {
  Egress(options: { props: { allowPrivate: boolean } }): Fetcher
  PlatformApi(options: { props: unknown }): Fetcher
}

export const bundleKeys = {
  linked: (hash: string): string => `linked/${hash}/linked.json`,
  maps: (hash: string): string => `linked/${hash}/maps.json`,
}

export interface IsolateAddress {
  environment: Pick<EnvironmentIdentity, 'id' | 'slug'>
  bundleHash: string
  shard: number | 'index'
  /** Grows when a shard was retired: after a kill, a failed ping or a clone-version error. */
  recovery: number
}

export function isolateId(address: IsolateAddress, allowPrivate: boolean): string {
  const settings = `${compatibilityDate}.${isolateLimits.cpuMs}.${allowPrivate ? 'private' : 'public'}`
  const suffix = address.recovery > 0 ? `:r${address.recovery}` : ''
  return `${address.environment.id}:${address.bundleHash}:${isolateHash.trim()}:${settings}:${address.shard}${suffix}`
}

export function openIsolate(env: Env, exports: LoopbackExports, address: IsolateAddress): TaskIsolate {
  const allowPrivate = allowsPrivate(env.ALLOW_PRIVATE_EGRESS, address.environment.slug)
  const worker = env.LOADER.get(isolateId(address, allowPrivate), async () => {
    const linked = await readLinked(env, address.bundleHash)
    const modules: Record<string, string | { js: string } | { json: unknown }> = {
      'main.js': { js: isolateMain },
      'layer.js': { js: linked.fresh },
      'bundle.js': { js: bundleModule(linked) },
    }
    for (const [path, source] of Object.entries(linked.shared)) modules[path] = { js: source }
    return {
      compatibilityDate,
      compatibilityFlags,
      mainModule: 'main.js',
      modules,
      env: {},
      globalOutbound: exports.Egress({ props: { allowPrivate } }),
      limits: isolateLimits,
    } as WorkerLoaderWorkerCode
  })
  return worker.getEntrypoint() as unknown as TaskIsolate
}

function bundleModule({ core, files, configPath, initPath }: LinkedBundle): string {
  const bundle: IsolateBundle = { core, files, configPath, initPath }
  return `export const bundle = JSON.parse(${JSON.stringify(JSON.stringify(bundle))})`
}

async function readLinked(env: Env, hash: string): Promise<LinkedBundle> {
  const object = await env.BUCKET.get(bundleKeys.linked(hash))
  if (!object) throw new Error(`The bundle ${hash} is missing from the bucket; deploy the project again.`)
  return (await object.json()) as LinkedBundle
}
