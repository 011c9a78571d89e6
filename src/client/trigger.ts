/** The template tag, and what hangs on it. */
import type { Understanding } from '../contracts/sentence.ts'
import { taskExpression } from './chain.ts'
import { type Events, eventsOf } from './events.ts'
import { request } from './http.ts'
import { Job } from './job.ts'
import { recordJob, refuseRecording, sentenceExpression } from './recording.ts'
import { type Runs, runsOf } from './runs.ts'
import type { Context, JobOptions } from './sending.ts'
import { checkSettings, connect, type Settings, timezoneOf } from './settings.ts'
import { toJson } from './values.ts'

/** A task of the current version. */
export interface TaskInfo {
  id: string
  description?: string
  keywords?: string[]
  payloadSchema?: unknown
  [field: string]: unknown
}

export interface Tasks {
  /** The tasks of the environment's current version. */
  list(): Promise<{ data: TaskInfo[]; version?: string }>
  /**
   * Starts a task by its id; awaiting the job gives the run's output.
   *
   * @example
   * const job = trigger.tasks.trigger('process-video', { videoId: 'abc123' }, { tags: ['import'] })
   * console.log(await job.id, await job)
   */
  // biome-ignore lint/suspicious/noExplicitAny: the caller knows what the task returns
  trigger<T = any>(id: string, payload?: unknown, options?: JobOptions): Job<T>
}

export interface Trigger {
  /**
   * A job as a sentence. The values stay typed; the server finds the task and fills its payload, or refuses with the nearest ones.
   * The statement alone starts the job; awaiting it gives the run's output.
   *
   * @example
   * const result = await trigger`send welcome email to ${user.email}`
   */
  // biome-ignore lint/suspicious/noExplicitAny: the caller knows what the task returns
  <T = any>(strings: TemplateStringsArray, ...values: unknown[]): Job<T>
  /**
   * The same tag with options for its jobs.
   *
   * @example
   * trigger.with({ idempotencyKey: order.id, tags: ['orders'] })`ship order ${order.id}`
   */
  with(options: JobOptions): Trigger
  /** What a sentence would do; nothing runs. */
  explain(strings: TemplateStringsArray, ...values: unknown[]): Promise<Understanding>
  readonly tasks: Tasks
  readonly runs: Runs
  readonly events: Events
}

const optionNames = new Set(
  (
    'signal timezone idempotencyKey idempotencyKeyTTL tags queue concurrencyKey priority maxAttempts maxDuration machine ttl ' +
    'delay metadata'
  ).split(' '),
)

/**
 * A `trigger` of its own, for another API, key or time zone.
 *
 * @example
 * const staging = createTrigger({ baseURL: 'https://jobs.example.com', accessToken: stagingKey })
 * await staging`run cleanup`
 */
export function createTrigger(settings: Settings = {}): Trigger {
  const own = { ...checkSettings(settings) }
  return withOptions({ settings: own, options: {} })
}

/** One owner per instance, whatever options it is given: its jobs may stand in one chain. */
function withOptions(context: Context): Trigger {
  const owner = context.settings
  const job = <T>(source: ConstructorParameters<typeof Job>[1], words: string, options: JobOptions): Job<T> =>
    new Job<T>({ context: { settings: context.settings, options }, owner, numbers: { next: 0 }, words }, source)

  const tag = <T>(template: TemplateStringsArray, ...values: unknown[]): Job<T> => {
    const sentence = sentenceOf(template, values)
    const recorded = recordJob(hasOptions(context) ? undefined : owner, () => sentenceExpression(sentence, values))
    if (recorded) return recorded as Job<T>
    const plain = values.map((value, index) => plainValue(value, `value ${index + 1} of the sentence`))
    const words = sentence.join('…').trim().slice(0, 80)
    return job<T>({ source: { sentence: { strings: sentence, values: plain } } }, words, context.options)
  }

  const tasks: Tasks = {
    list: async () => {
      refuseRecording()
      return request(connect(context.settings), 'GET', '/api/v1/tasks')
    },
    trigger: <T>(id: string, payload: unknown = {}, options: JobOptions = {}): Job<T> => {
      if (typeof id !== 'string' || id === '') throw new TypeError('The id of a task must be a string.')
      const all = { ...context.options, ...checkOptions(options) }
      const recorded = recordJob(owner, () => taskExpression(id, payload, all))
      if (recorded) return recorded as Job<T>
      const plain = toJson(payload, `the payload of ${id}`, { undefinedProperty: 'omit' })
      return job<T>({ source: { task: { id, payload: plain, options: {} } } }, id, all)
    },
  }

  return Object.assign(tag, {
    with: (options: JobOptions) =>
      withOptions({ settings: context.settings, options: { ...context.options, ...checkOptions(options) } }),
    explain: async (template: TemplateStringsArray, ...values: unknown[]): Promise<Understanding> => {
      refuseRecording()
      const strings = sentenceOf(template, values)
      const plain = values.map((value, index) => plainValue(value, `value ${index + 1} of the sentence`))
      const timezone = context.options.timezone ?? timezoneOf(context.settings)
      const body = { strings, values: plain, ...(timezone ? { timezone } : {}) }
      const { signal } = context.options
      return request(connect(context.settings), 'POST', '/api/v1/sentences/explain', { body, signal })
    },
    tasks,
    runs: runsOf(context.settings),
    events: eventsOf(context.settings),
  })
}

function sentenceOf(template: TemplateStringsArray, values: unknown[]): string[] {
  if (!Array.isArray(template) || !Array.isArray(template.raw) || template.length !== values.length + 1)
    throw new TypeError('trigger is a template tag: write trigger`process video`, without parentheses.')
  return template.map((text, index) => text ?? template.raw[index])
}

function plainValue(value: unknown, place: string): unknown {
  return toJson(value, place, { undefinedProperty: 'refuse' })
}

function hasOptions({ options }: Context): boolean {
  return Object.keys(options).length > 0
}

function checkOptions(options: JobOptions): JobOptions {
  for (const name of Object.keys(options)) {
    if (!optionNames.has(name)) throw new TypeError(`A job has no option ${name}; there are ${[...optionNames].join(', ')}.`)
  }
  return options
}

/**
 * Starts jobs with the settings of {@link configure} or of the environment.
 *
 * @example
 * trigger`process video ${videoId} with encoding ${format}`
 * trigger`every day at 3am, run cleanup`
 */
export const trigger: Trigger = /* @__PURE__ */ createTrigger()
