/** Evaluates a whole project once, at deploy, and lists what it registered. Failures name the file. */
import type { IsolateBundle, TaskIsolate } from '../contracts/isolate.ts'
import type { BundleIndex, QueueDefinition, RetrySettings, TaskDefinition } from '../contracts/rpc.ts'
import { type ActiveRun, runs } from './active-run.ts'
import { type Core, loadBundle, loadCore, type RegisteredTask, type ResourceCatalog, registerCatalog } from './core.ts'
import { makeInstance } from './instance.ts'
import { Operations } from './operations.ts'
import { payloadFields } from './payload-fields.ts'
import { loadConfig, type ProjectConfig } from './project.ts'
import { makeScope } from './scope.ts'
import { platformTarget } from './scoped-fetch.ts'

type IndexInput = Parameters<TaskIsolate['index']>[0]

export async function indexBundle({ variables, onFile }: IndexInput): Promise<BundleIndex> {
  const bundle = await loadBundle()
  const core = await loadCore()
  let stop: (error: Error) => void = () => {}
  const stopped = new Promise<never>((_, reject) => {
    stop = reject
  })
  stopped.catch(() => {})
  const run: ActiveRun = {
    id: 'index',
    api: {},
    env: { TRIGGER_MACHINE_ID: 'isolate', ...variables },
    operations: new Operations((error) => stop(asError(error))),
    scope: {},
    fail: (error) => stop(new Error('message' in error ? (error.message ?? error.type) : error.type)),
  }
  run.scope = makeScope(run, platformTarget(variables.TRIGGER_API_URL, undefined), { capture: false })
  try {
    return await Promise.race([runs.run(run, () => evaluate(core, run, bundle, onFile)), stopped])
  } finally {
    run.operations.close()
  }
}

async function evaluate(core: Core, run: ActiveRun, bundle: IsolateBundle, onFile: IndexInput['onFile']): Promise<BundleIndex> {
  const catalog = registerCatalog(core)
  const instance = await makeInstance(run)
  await onFile(bundle.configPath)
  const config = await attributed(bundle.configPath, () => loadConfig(core, instance, bundle))
  const failures: string[] = []
  const exported = new Map<string, { filePath: string; entryPoint: string; exportName: string }[]>()
  for (const file of bundle.files) {
    if (file.out === bundle.configPath) continue
    await onFile(file.entry)
    catalog.setCurrentFileContext(file.entry, file.out)
    try {
      const module = await instance.import(file.out)
      noteExports(module, file, exported)
    } catch (error) {
      failures.push(`${file.entry}: ${describe(error)}`)
    }
    catalog.clearCurrentFileContext()
  }
  if (failures.length > 0) {
    throw new Error(`${failures.length === 1 ? 'A task file' : 'Task files'} failed to load.\n${failures.join('\n')}`)
  }
  refuseDuplicates(catalog)
  const warnings: string[] = []
  const manifests = catalog.listTaskManifests()
  if (manifests.length === 0) warnings.push('No tasks were found.')
  const queues = new Map<string, QueueDefinition>()
  for (const queue of catalog.listQueueManifests()) {
    const { name, concurrencyLimit, combinedConcurrencyLimit } = queue
    queues.set(name, { name, concurrencyLimit, ...(combinedConcurrencyLimit == null ? {} : { combinedConcurrencyLimit }) })
  }
  return {
    tasks: manifests.map((task) => definition({ ...task, ...homeOf(task, exported.get(task.id)) }, config, catalog)),
    queues: [...queues.values()],
    warnings,
    retriesDefault: config.retries?.default as RetrySettings | undefined,
  }
}

type Home = { filePath: string; entryPoint: string; exportName: string }

function noteExports(module: Record<string, unknown>, file: { entry: string; out: string }, exported: Map<string, Home[]>): void {
  for (const [exportName, value] of Object.entries(module)) {
    const id = (value as { id?: unknown } | null | undefined)?.id
    if (typeof id !== 'string') continue
    const home = { filePath: file.entry, entryPoint: file.out, exportName }
    exported.set(id, [...(exported.get(id) ?? []), home])
  }
}

/**
 * The catalog names the file that was being loaded, which for an imported task is the importer. The file that exports it
 * is the better home: a run then evaluates no more than it needs.
 */
function homeOf(task: RegisteredTask, homes: Home[] = []): Home | undefined {
  return homes.find((home) => home.entryPoint === task.entryPoint) ?? homes[0]
}

function refuseDuplicates(catalog: ResourceCatalog): void {
  const collisions = catalog.listTaskIdCollisions?.() ?? []
  if (collisions.length === 0) return
  const lines = collisions.map(({ id, filePaths }) => `"${id}" in ${[...new Set(filePaths)].join(' and ')}`)
  throw new Error(`Task ids must be unique. Defined more than once:\n${lines.join('\n')}`)
}

function definition(task: RegisteredTask, config: ProjectConfig, catalog: ResourceCatalog): TaskDefinition {
  const given = task as unknown as Partial<TaskDefinition>
  const preset = typeof given.machine === 'string' ? given.machine : given.machine?.preset
  const fields: TaskDefinition = {
    id: task.id,
    filePath: task.filePath,
    entryPoint: task.entryPoint,
    exportName: given.exportName,
    description: given.description,
    queue: given.queue,
    retry: given.retry ?? (config.retries?.default as RetrySettings | undefined),
    rateLimit: given.rateLimit,
    keywords: given.keywords,
    concurrency: given.concurrency,
    concurrencyKeyPath: given.concurrencyKeyPath,
    machine: preset ? { preset } : config.machine ? { preset: config.machine } : undefined,
    maxDuration: given.maxDuration ?? config.maxDuration,
    ttl: given.ttl ?? config.ttl,
    triggerSource: given.triggerSource,
    schedule: given.schedule,
    payloadSchema: given.payloadSchema ?? jsonSchema(catalog.getTaskSchema(task.id)),
    host: 'isolate',
  }
  if (!fields.payloadSchema) {
    const code = catalog.getTask(task.id)?.fns as { run?: unknown } | undefined
    const names = payloadFields(code?.run)
    if (names.length > 0) fields.payloadFields = names
  }
  // A copy by JSON: RPC refuses functions, and nothing here may hold one.
  return JSON.parse(JSON.stringify(fields)) as TaskDefinition
}

/** Schemas that offer Standard JSON Schema (zod from 4.2, arktype) describe themselves; others stay without. */
function jsonSchema(schema: unknown): unknown {
  const standard = (schema as { '~standard'?: { jsonSchema?: { input?(options: object): unknown } } })?.['~standard']
  try {
    return standard?.jsonSchema?.input?.({ target: 'draft-07' })
  } catch {
    return undefined
  }
}

async function attributed<T>(file: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (error) {
    throw new Error(`${file} failed to load: ${describe(error)}`)
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`) : String(error)
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
