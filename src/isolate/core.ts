/**
 * The SDK core of the project's own version: shared modules, loaded once per isolate, found by the names the project's
 * run worker imports them under.
 */
import type { IsolateBundle } from '../contracts/isolate.ts'
import type { QueueDefinition } from '../contracts/rpc.ts'
import type { LayerModule } from '../execution/bundle/layer-contract.ts'
import type { ActiveRun } from './active-run.ts'
import { runs } from './active-run.ts'
import { type LoadedModules, loadModules } from './instantiate.ts'
import { RunStreams } from './run-streams.ts'
import type { WaitHooks } from './waits.ts'

type Constructor = new (...args: never[]) => Record<string, unknown>

/** A task as the resource catalog knows it. */
export interface RegisteredTask {
  id: string
  filePath: string
  entryPoint: string
  [field: string]: unknown
}

export interface ResourceCatalog {
  setCurrentFileContext(filePath: string, entryPoint: string): void
  clearCurrentFileContext(): void
  getTask(id: string): RegisteredTask | undefined
  getTaskSchema(id: string): unknown
  listTaskManifests(): RegisteredTask[]
  listQueueManifests(): QueueDefinition[]
  listTaskIdCollisions?(): { id: string; filePaths: string[] }[]
}

export interface LifecycleHooks extends WaitHooks {
  callOnCancelHookListeners(): Promise<void>
  [registerHook: `registerGlobal${string}`]: (hook: { id: string; fn: unknown }) => void
}

/** The names of bundle.core this harness needs. Absent ones (older SDKs) are undefined. */
export interface Core {
  // The SDK has no types for these at this seam: the version is the project's.
  // biome-ignore lint/suspicious/noExplicitAny: values of an unknown SDK version
  get(name: string): any
  make<T = Record<string, unknown>>(name: string, ...args: unknown[]): T | undefined
}

let core: Core | undefined
let bundle: IsolateBundle | undefined
let modules: { layer: LayerModule; loaded: LoadedModules } | undefined

/** All modules the isolate shares between runs. Loaded outside of any run: what they keep must not belong to the first one. */
export async function loadedModules(): Promise<{ layer: LayerModule; loaded: LoadedModules }> {
  if (modules) return modules
  return runs.exit(async () => {
    // Written by the linker; there is no such file here.
    const specifier = './layer.js'
    const layer = (await import(specifier)) as LayerModule
    modules = { layer, loaded: await loadModules(layer) }
    return modules
  })
}

export async function loadBundle(): Promise<IsolateBundle> {
  if (bundle) return bundle
  // Written by the loader.
  const specifier = './bundle.js'
  bundle = ((await import(specifier)) as { bundle: IsolateBundle }).bundle
  return bundle
}

export async function loadCore(): Promise<Core> {
  if (core) return core
  const { core: names } = await loadBundle()
  const { loaded } = await loadedModules()
  const get = (name: string): unknown => {
    const entry = names[name]
    return entry && loaded.shared[entry.module]?.[entry.export]
  }
  core = {
    get: get as Core['get'],
    make: <T>(name: string, ...args: unknown[]) => {
      const found = get(name) as Constructor | undefined
      return found && (new found(...(args as never[])) as T)
    },
  }
  return core
}

/** Managers every use of the SDK needs, also while indexing. To be called inside `runs.run(run, …)`. */
export function registerCatalog(core: Core): ResourceCatalog {
  const catalog = core.make<ResourceCatalog>('StandardResourceCatalog')
  if (!catalog) throw new Error('The bundle has no StandardResourceCatalog; its SDK version is not supported.')
  core.get('resourceCatalog').setGlobalResourceCatalog(catalog)
  core.get('lifecycleHooks').setGlobalLifecycleHooksManager(core.make('StandardLifecycleHooksManager'))
  core.get('localsAPI')?.setGlobalLocalsManager(core.make('StandardLocalsManager'))
  return catalog
}

/** The managers of one run, as upstream's run worker sets them. To be called inside `runs.run(run, …)`. */
export function registerManagers(core: Core, run: ActiveRun): { metadata: MetadataManager; streams: StreamsManager | undefined } {
  const client = core.get('apiClientManager').clientOrThrow()
  const streamUrl = run.env.TRIGGER_STREAM_URL ?? run.env.TRIGGER_API_URL ?? ''
  const metadata = core.make<MetadataManager>('StandardMetadataManager', client)
  if (!metadata) throw new Error('The bundle has no StandardMetadataManager; its SDK version is not supported.')
  core.get('runMetadata').setGlobalManager(metadata)
  core.get('runTimelineMetrics')?.setGlobalManager(core.make('StandardRunTimelineMetricsManager'))
  core.get('traceContext')?.setGlobalManager(core.make('StandardTraceContextManager'))
  core.get('waitUntil')?.setGlobalManager(core.make('StandardWaitUntilManager', 60_000))
  // Yields only: RunDO knows by itself that the run lives, so the heartbeat loop is not started.
  core.get('heartbeats')?.setGlobalManager(core.make('StandardHeartbeatsManager', 30_000))
  const streams = core.get('realtimeStreams') && new RunStreams(streamUrl, () => core.get('taskContext').ctx?.run)
  core.get('realtimeStreams')?.setGlobalManager(streams)
  const inputs = core.make<{ setRunId?(id: string, version?: unknown): void }>(
    'StandardInputStreamManager',
    client,
    streamUrl,
    false,
  )
  if (inputs) core.get('inputStreams')?.setGlobalManager(inputs)
  inputs?.setRunId?.(run.id, 'v1')
  const sessions = core.make('StandardSessionStreamManager', client, streamUrl, false)
  if (sessions) core.get('sessionStreams')?.setGlobalManager(sessions)
  return { metadata, streams }
}

export interface MetadataManager {
  runId?: string
  runIdIsRoot: boolean
  startPeriodicFlush(intervalMs?: number): void
  flush(...options: unknown[]): Promise<void>
  stopAndReturnLastFlush(): Promise<{ data?: string; dataType: string }>
}

export interface StreamsManager {
  hasActiveStreams(): boolean
  waitForAllStreams(timeoutMs?: number): Promise<void>
}
