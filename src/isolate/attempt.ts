/**
 * One attempt of one run: builds the managers its SDK needs, loads the task, and lets the bundle's own TaskExecutor run
 * it. Must stay true: a failure of the task, its import or its process ends as a completion, never as an exception.
 */
import { settingsAt } from '../contracts/backoff.ts'
import type { IsolateRun } from '../contracts/isolate.ts'
import type { CompletedWaitpoint, Completion, SpanRecord, TaskRunError } from '../contracts/rpc.ts'
import { type ActiveRun, ProcessExit, runs, uncaught } from './active-run.ts'
import type { RunPlatform } from './attachment.ts'
import {
  type Core,
  type LifecycleHooks,
  loadBundle,
  loadCore,
  type MetadataManager,
  registerCatalog,
  registerManagers,
} from './core.ts'
import { makeInstance } from './instance.ts'
import { Operations, real } from './operations.ts'
import { loadConfig, type ProjectConfig } from './project.ts'
import { makeScope } from './scope.ts'
import { platformTarget } from './scoped-fetch.ts'
import { RunTelemetry } from './telemetry.ts'
import { Waits } from './waits.ts'

const telemetryIntervalMs = 1000
const metadataIntervalMs = 1000
const cancelHooksMs = 10_000
const lastFlushMs = 10_000
/** OpenTelemetry attributes a log line may have, when the SDK names no limit. */
const attributeLimit = 256

type Execution = {
  run: { id: string; rootTaskRunId?: string; maxDuration?: number; durationMs?: number; costInCents?: number }
  task: { id: string; filePath?: string }
  attempt: { number: number }
}

export class Attempt {
  readonly #input: IsolateRun
  readonly #platform: RunPlatform
  readonly #execution: Execution
  readonly #telemetry: RunTelemetry
  readonly #run: ActiveRun
  readonly #console = { capture: true }
  readonly #cancellation = new AbortController()
  readonly #forced: Promise<TaskRunError>
  #core: Core | undefined
  #waits: Waits | undefined
  #metadata: MetadataManager | undefined
  #flushesEnded: () => Promise<unknown> = async () => {}
  /** Waitpoints and a cancel that came before the managers existed. */
  #earlyWaitpoints: CompletedWaitpoint[] = []
  #isCancelled = false
  #isOver = false
  #flushTimer: unknown
  /** Time the task was busy; waits don't count. */
  #measuredMs: () => number = () => 0

  constructor(input: IsolateRun, platform: RunPlatform) {
    this.#input = input
    this.#platform = platform
    this.#execution = input.start.execution as Execution
    this.#telemetry = new RunTelemetry(input.start.traceparent, input.start.attempt)
    this.#telemetry.onRecord = () => this.#scheduleFlush()
    let fail: (error: TaskRunError) => void = () => {}
    this.#forced = new Promise((resolve) => {
      fail = resolve
    })
    const env: Record<string, string | undefined> = { TRIGGER_MACHINE_ID: 'isolate', ...input.start.variables }
    const run: ActiveRun = {
      id: input.start.runId,
      api: {},
      env,
      operations: new Operations((error) => {
        if (!(error instanceof ProcessExit)) run.fail(uncaught(error))
      }),
      telemetry: this.#telemetry,
      scope: {},
      fail,
    }
    run.scope = makeScope(run, platformTarget(env.TRIGGER_API_URL, platform), this.#console)
    this.#run = run
  }

  async execute(): Promise<{ completion: Completion; spans: SpanRecord[] }> {
    let completion: Completion
    try {
      completion = await runs.run(this.#run, () => this.#complete())
    } catch (error) {
      completion = this.#failure(internalError('CONFIGURED_INCORRECTLY', error))
    }
    this.#isOver = true
    if (!completion.ok) this.#telemetry.endAll(describe(completion.error))
    this.#run.operations.close()
    real.clearTimeout(this.#flushTimer as never)
    return { completion, spans: this.#telemetry.take() }
  }

  resolveWaitpoints(waitpoints: CompletedWaitpoint[]): void {
    runs.run(this.#run, () => {
      if (this.#waits) this.#waits.resolve(waitpoints)
      else this.#earlyWaitpoints.push(...waitpoints)
    })
  }

  /** Aborts the task's signal, runs its onCancel hooks, then ends the attempt whatever the task does. */
  async cancel(reason: string): Promise<void> {
    if (this.#isCancelled || this.#isOver) return
    this.#isCancelled = true
    await runs.run(this.#run, async () => {
      this.#cancellation.abort('run cancelled')
      const hooks: LifecycleHooks | undefined = this.#core?.get('lifecycleHooks')
      try {
        if (hooks) await Promise.race([hooks.callOnCancelHookListeners(), pause(cancelHooksMs)])
      } catch {
        // A failing hook doesn't stop a cancellation.
      }
      this.#run.fail({ type: 'INTERNAL_ERROR', code: 'TASK_RUN_CANCELLED', message: reason })
    })
  }

  async #complete(): Promise<Completion> {
    const forced = this.#forced.then((error) => this.#failure(error))
    const completion = await Promise.race([this.#runTask(), forced])
    // A task that returns because of its aborted signal was still cancelled.
    const result = this.#isCancelled ? await forced : completion
    try {
      await Promise.race([this.#flushesEnded(), pause(lastFlushMs)])
      result.flushedMetadata = await this.#metadata?.stopAndReturnLastFlush()
    } catch (error) {
      this.#telemetry.log('WARN', `The last metadata changes were lost: ${String(error)}`)
    }
    return result
  }

  async #runTask(): Promise<Completion> {
    const { start, taskFile } = this.#input
    const run = this.#run
    const execution = this.#execution
    const bundle = await loadBundle()
    const core = await loadCore()
    this.#core = core
    core.get('clock').setGlobalClock({ preciseNow: () => this.#telemetry.now(), reset: () => {} })
    const catalog = registerCatalog(core)
    const managers = registerManagers(core, run)
    const { metadata } = managers
    this.#metadata = metadata
    this.#waits = new Waits(run.operations, core.get('lifecycleHooks'))
    core.get('runtime').setGlobalRuntimeManager(this.#waits)
    this.#waits.resolve(this.#earlyWaitpoints.splice(0))
    const { streams } = managers
    if (streams) {
      core.get('waitUntil')?.register({
        requiresResolving: () => streams.hasActiveStreams(),
        promise: (timeoutMs: number) => streams.waitForAllStreams(timeoutMs),
      })
    }
    const traceContext = run.api['trace-context'] as { traceContext?: unknown } | undefined
    if (traceContext) traceContext.traceContext = { traceparent: start.traceparent }
    const usage = core.make<UsageManager>('DevUsageManager')
    usage?.setInitialState?.({ cpuTime: execution.run.durationMs ?? 0, costInCents: execution.run.costInCents ?? 0 })
    core.get('usage').setGlobalUsageManager(usage)
    const ctx = core.get('TaskRunContext').parse(execution)
    core.get('taskContext').setGlobalTaskContext({
      ctx,
      worker: { id: start.bundle.workerId, version: start.bundle.version, contentHash: start.bundle.hash },
      isWarmStart: true,
    })
    const instance = await makeInstance(run)
    const config = await loadConfig(core, instance, bundle)
    this.#console.capture = config.disableConsoleInterceptor !== true
    const tracer = this.#setLogger(core, config)
    const filePath = taskFile.entry
    try {
      catalog.setCurrentFileContext(filePath, taskFile.out)
      if (bundle.initPath) await instance.import(bundle.initPath)
      await instance.import(taskFile.out)
      catalog.clearCurrentFileContext()
    } catch (error) {
      if (error instanceof ProcessExit) return await new Promise<never>(() => {})
      return this.#failure(internalError('COULD_NOT_IMPORT_TASK', error))
    }
    const task = catalog.getTask(execution.task.id)
    if (!task) {
      return this.#failure({
        type: 'INTERNAL_ERROR',
        code: 'COULD_NOT_FIND_EXECUTOR',
        message: `Could not find task ${execution.task.id}. Make sure the task is exported and the ID is correct.`,
      })
    }
    metadata.runId = execution.run.id
    metadata.runIdIsRoot = execution.run.rootTaskRunId === undefined
    flushOnFirstChange(metadata)
    this.#flushesEnded = trackFlushes(metadata)
    // The SDK computes the delay in here, so our kinds of backoff are put into its words, for this attempt.
    const inWords = <T>(retry: T): T => (retry ? (settingsAt(retry, execution.attempt.number) as T) : retry)
    const retries = config.retries && { ...config.retries, default: inWords(config.retries.default) }
    const executor = core.make<Executor>(
      'TaskExecutor',
      { ...task, retry: inWords(task.retry) },
      {
        tracer,
        consoleInterceptor: { intercept: (_console: unknown, callback: () => unknown) => callback() },
        retries,
        isWarmStart: true,
        executionCount: 1,
      },
    )
    if (!executor) throw new Error('The bundle has no TaskExecutor.')
    const measurement = usage?.start()
    if (usage && measurement) this.#measuredMs = () => usage.stop(measurement).cpuTime
    const signal = AbortSignal.any([this.#cancellation.signal, this.#limitDuration(core, usage)])
    const noFile = core.get('NO_FILE_CONTEXT') ?? '<no-context>'
    catalog.setCurrentFileContext(noFile, noFile)
    const { result } = await executor.execute(execution, ctx, signal)
    return { ...result, usage: { durationMs: this.#measuredMs() } }
  }

  #setLogger(core: Core, config: ProjectConfig): unknown {
    const tracer = core.make('TriggerTracer', { tracer: this.#telemetry.tracer, logger: this.#telemetry.logger })
    if (!tracer) throw new Error('The bundle has no TriggerTracer; its SDK version is not supported.')
    const levels: string[] = core.get('logLevels') ?? ['none', 'error', 'warn', 'info', 'debug']
    const wanted = this.#run.env.TRIGGER_LOG_LEVEL ?? config.logLevel ?? 'info'
    const logger = core.make('OtelTaskLogger', {
      logger: this.#telemetry.logger,
      tracer,
      level: levels.includes(wanted) ? wanted : 'info',
      maxAttributeCount: core.get('OTEL_LOG_ATTRIBUTE_COUNT_LIMIT') ?? attributeLimit,
    })
    core.get('logger').setGlobalTaskLogger(logger)
    return tracer
  }

  /** The SDK's own measure, which stands still in waits. RunDO keeps a limit of its own for code that never yields. */
  #limitDuration(core: Core, usage: UsageManager | undefined): AbortSignal {
    const maxDuration = this.#execution.run.maxDuration ?? this.#input.start.maxDuration
    const timeouts = core.make<object>('UsageTimeoutManager', usage)
    const api = core.get('timeout')
    api.setGlobalManager(timeouts)
    api.registerListener?.((limitInSeconds: number) => {
      // After the abort that follows this call, so that listeners of the signal see it.
      real.setTimeout(() => {
        this.#run.fail({
          type: 'INTERNAL_ERROR',
          code: 'MAX_DURATION_EXCEEDED',
          message: `Run exceeded maximum compute time (maxDuration) of ${limitInSeconds} seconds`,
        })
      }, 0)
    })
    return api.abortAfterTimeout(maxDuration).signal
  }

  #failure(error: TaskRunError): Completion {
    return { ok: false, id: this.#execution.run.id, error, usage: { durationMs: this.#measuredMs() } }
  }

  #scheduleFlush(): void {
    if (this.#flushTimer !== undefined || this.#isOver) return
    this.#flushTimer = real.setTimeout(() => {
      this.#flushTimer = undefined
      const spans = this.#telemetry.take()
      if (spans.length > 0 && !this.#isOver) this.#platform.telemetry(spans).catch(() => {})
    }, telemetryIntervalMs)
  }
}

interface UsageManager {
  setInitialState?(state: { cpuTime: number; costInCents: number }): void
  start(): unknown
  stop(measurement: unknown): { cpuTime: number }
}

interface Executor {
  execute(execution: unknown, ctx: unknown, signal: AbortSignal): Promise<{ result: Completion }>
}

/**
 * Ends with the flushes that are under way. The SDK holds their changes no more, and a call that comes after the end of the
 * run is refused.
 */
function trackFlushes(metadata: MetadataManager): () => Promise<unknown> {
  const open = new Set<Promise<void>>()
  const { flush } = metadata
  metadata.flush = (...options) => {
    const promise = flush.apply(metadata, options)
    open.add(promise)
    const end = (): boolean => open.delete(promise)
    promise.then(end, end)
    return promise
  }
  return () => Promise.allSettled(open)
}

/** Starts the SDK's flush timer with the first change instead of with the run: most runs change nothing. */
function flushOnFirstChange(metadata: MetadataManager): void {
  let isStarted = false
  const start = (): void => {
    if (isStarted) return
    isStarted = true
    metadata.startPeriodicFlush(metadataIntervalMs)
  }
  const queues = ['queuedOperations', 'queuedParentOperations', 'queuedRootOperations']
  const fields = metadata as unknown as Record<string, unknown>
  if (!queues.every((name) => fields[name] instanceof Set)) {
    start()
    return
  }
  for (const name of queues) {
    const queue = fields[name] as Set<unknown>
    queue.add = (operation) => {
      start()
      return Set.prototype.add.call(queue, operation)
    }
  }
}

function internalError(code: string, error: unknown): TaskRunError {
  const isError = error instanceof Error
  return {
    type: 'INTERNAL_ERROR',
    code,
    message: isError ? error.message : String(error),
    stackTrace: isError ? error.stack : undefined,
  }
}

function describe(error: TaskRunError | undefined): string {
  if (!error) return 'The attempt failed'
  if ('raw' in error) return error.raw
  return error.message ?? ('code' in error ? error.code : error.name)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => real.setTimeout(resolve, ms))
}
