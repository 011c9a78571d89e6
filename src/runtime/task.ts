/** `task()` and `schedules.task()`: the SDK's, with options in our words. */
import type { schedules as SdkSchedules, Task, TaskOptions } from '@trigger.dev/sdk'
import { keyOf, type OwnOptions, sdkOptions } from './options.ts'
import { sdkFor, sdkIfAny } from './sdk.ts'

type Without<Options> = Omit<Options, keyof OwnOptions>
type Concurrency<Options> = Options extends { concurrency?: infer C } ? C : never

/** The SDK's options of a task, and ours. */
export type OwnTaskOptions<Id extends string, Payload, Output> = Without<TaskOptions<Id, Payload, Output>> &
  Omit<OwnOptions, 'concurrency'> & {
    concurrency?: OwnOptions['concurrency'] | Concurrency<TaskOptions<Id, Payload, Output>>
  }

// biome-ignore lint/suspicious/noExplicitAny: what init returns, as the SDK types it
type ScheduleOptions<Id extends string, Output> = Parameters<typeof SdkSchedules.task<Id, Output, any>>[0]
type ScheduledPayload = Parameters<ScheduleOptions<string, unknown>['run']>[0]
export type OwnScheduleOptions<Id extends string, Output> = Without<ScheduleOptions<Id, Output>> & OwnOptions

/**
 * A task: a Trigger.dev task with options in words. Deploy it with the `trigger.dev` CLI; needs the package `@trigger.dev/sdk`.
 *
 * @example
 * export const processVideo = task({
 *   id: 'process-video',
 *   retry: { maxAttempts: 3, backoff: 'exponential', initialDelay: '1s', maxDelay: '1h', factor: 2, jitter: true },
 *   concurrency: { limit: 10, key: 'payload.userId' },
 *   rateLimit: { limit: 100, period: '1m' },
 *   run: async (payload: { videoId: string; userId: string }) => ({ url: `https://cdn.example.com/${payload.videoId}` }),
 * })
 */
export function task<Id extends string, Payload = void, Output = unknown>(
  options: OwnTaskOptions<Id, Payload, Output>,
): Task<Id, Payload, Output> {
  const made = sdkFor('task()').task(sdkOptions(options) as never) as unknown as Task<Id, Payload, Output>
  return withKey(made, options.concurrency)
}

/**
 * Schedules: `task` declares one with the code it runs, the rest is the SDK's (`create`, `list`, …).
 *
 * @example
 * export const dailyCleanup = schedules.task({ id: 'daily-cleanup', cron: '0 3 * * *', run: async () => {} })
 */
export const schedules: Omit<typeof SdkSchedules, 'task'> & {
  task<Id extends string, Output>(options: OwnScheduleOptions<Id, Output>): Task<Id, ScheduledPayload, Output>
} = /* @__PURE__ */ makeSchedules()

function makeSchedules(): typeof schedules {
  const own = {
    task: (options: object & { concurrency?: unknown }) =>
      withKey(sdkFor('schedules.task()').schedules.task(sdkOptions(options) as never) as object, options.concurrency),
  }
  const sdk = sdkIfAny()
  if (sdk) return { ...sdk.schedules, ...own } as never
  return new Proxy(own, {
    get: (target, name) =>
      typeof name === 'symbol' || name in target ? Reflect.get(target, name) : sdkFor(`schedules.${name}()`),
  }) as never
}

interface TriggerOptions {
  concurrencyKey?: string
}
type Method = (first: unknown, ...rest: unknown[]) => unknown

/** The key of `concurrency.key` goes with each trigger that does not bring one. */
function withKey<T extends object>(made: T, concurrency: unknown): T {
  const path = (concurrency as { key?: string } | undefined)?.key
  if (path === undefined) return made
  const methods = made as Record<string, Method>
  const keyed = (payload: unknown, options: TriggerOptions = {}): TriggerOptions => {
    const concurrencyKey = options.concurrencyKey ?? keyOf(path, payload)
    return concurrencyKey === undefined ? options : { ...options, concurrencyKey }
  }
  for (const name of ['trigger', 'triggerAndWait', 'triggerAndSubscribe']) {
    const before = methods[name]
    if (!before) continue
    methods[name] = (payload, options, ...rest) => before(payload, keyed(payload, options as TriggerOptions), ...rest)
  }
  for (const name of ['batchTrigger', 'batchTriggerAndWait']) {
    const before = methods[name]
    if (!before) continue
    methods[name] = (items, ...rest) => {
      if (!Array.isArray(items)) return before(items, ...rest)
      return before(
        items.map((item) => ({ ...item, options: keyed(item.payload, item.options) })),
        ...rest,
      )
    }
  }
  return made
}
