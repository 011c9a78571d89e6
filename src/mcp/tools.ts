/** The tools agents get, by the operations the API uses. */
import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { Packet, RunDetail, RunRecord, RunStatus, SpanRecord } from '../contracts/rpc.ts'
import { apiStatus, isFinalStatus, statusFilter } from '../contracts/statuses.ts'
import * as runs from '../operations/runs.ts'
import { listSchedules } from '../operations/schedules.ts'
import * as sentences from '../operations/sentences.ts'
import { currentTasks } from '../operations/tasks.ts'
import { triggerTask } from '../operations/trigger.ts'
import { type Answer, type Tool, type ToolContext, tool } from './tool.ts'

const listed = 20
const mostListed = 100
const logLines = 50
const mostLogLines = 1_000
const waitSeconds = 30
const schedulesListed = 100

const runId = z.string().min(1).describe('The id of a run, run_…')
const fields = z.record(z.string(), z.unknown())
const sentence = z
  .string()
  .min(1)
  .max(2_000)
  .describe('For example "send welcome email to ada@example.com", or "send welcome email to {}" with the address in values')
const values = z
  .array(z.unknown())
  .max(50)
  .optional()
  .describe('What stands for each {} of the sentence, in order; they stay typed')
const timezone = z
  .string()
  .max(limits.scheduleTextChars)
  .refine(isZone, { error: ({ input }) => `${String(input)} is no time zone` })
  .optional()
  .describe('IANA name, such as Europe/Berlin; UTC when left out')
const words = z.object({ sentence, values, timezone })

export const tools: Tool[] = [
  tool({
    name: 'list_tasks',
    description: 'The tasks that can be triggered, with their descriptions and the JSON schemas of their payloads.',
    input: z.object({}),
    operation: 'listTasks',
    isReadOnly: true,
    async run(_, { env, caller, require }) {
      require({})
      const { version, tasks } = await currentTasks(env, caller)
      return { said: { version, tasks: tasks.map(({ id, ...task }) => ({ taskId: id, ...task })) } }
    },
  }),
  tool({
    name: 'trigger_task',
    description: 'Starts a task by its id and answers the id of the run at once. Use wait_for_run for its output.',
    input: z.object({
      taskId: z.string().min(1).max(128).describe('The id of a task, as list_tasks gives it'),
      payload: fields.optional().describe('What the task gets; it should fit the schema of the task'),
      idempotencyKey: z.string().min(1).max(limits.idempotencyKeyChars).optional().describe('The same key again is the same run'),
    }),
    operation: 'triggerTask',
    isReadOnly: false,
    async run({ taskId, payload = {}, idempotencyKey }, { env, caller, require }) {
      require({ task: taskId })
      await requireTask(env, caller, taskId)
      const body = { payload, options: idempotencyKey ? { idempotencyKey } : undefined }
      const { id, isCached } = await triggerTask(env, caller, taskId, body, { now: Date.now() })
      return { said: { runId: id, taskId, ...(isCached ? { note: 'This key has started it before.' } : {}) } }
    },
  }),
  tool({
    name: 'get_task_status',
    description: 'Where a run stands: status, times, attempts, why it waits, and its output or error when it has ended.',
    input: z.object({ runId }),
    operation: 'retrieveRun',
    isReadOnly: true,
    run: async (input, context) => presentDetail(await readable(context, input.runId)),
  }),
  tool({
    name: 'wait_for_run',
    description: `Waits until a run has ended, at most ${waitSeconds} seconds, and says where it stands then. Call it again if it goes on.`,
    input: z.object({ runId, seconds: z.number().min(0).max(waitSeconds).optional().describe(`${waitSeconds} when left out`) }),
    operation: 'retrieveRun',
    isReadOnly: true,
    async run({ runId: id, seconds = waitSeconds }, context) {
      await readable(context, id)
      const run = await runs.waitForRun(context.env, context.caller, id, seconds * 1_000)
      const { said, ...written } = presentDetail(run)
      const isFinished = isFinalStatus(run.status)
      const note = isFinished ? {} : { note: 'It goes on. Wait again if you need its outcome.' }
      return { said: { ...(said as object), isFinished, ...note }, ...written }
    },
  }),
  tool({
    name: 'list_runs',
    description: 'Runs, the newest first; by task and by status if wanted.',
    input: z.object({
      taskId: z.string().min(1).optional(),
      status: z.string().min(1).optional().describe('QUEUED, EXECUTING, WAITING, COMPLETED, FAILED, CANCELED, CRASHED, …'),
      limit: z.number().int().min(1).max(mostListed).optional().describe(`${listed} when left out`),
    }),
    operation: 'listRuns',
    isReadOnly: true,
    async run({ taskId, status, limit = listed }, { env, caller, require }) {
      require(taskId ? { task: taskId } : {})
      const page = await runs.listRuns(env, caller, {
        size: limit,
        ...(taskId ? { tasks: [taskId] } : {}),
        ...(status ? { statuses: statusesOf(status) } : {}),
      })
      return { said: { runs: page.runs.map(presentRun), ...(page.next ? { more: true } : {}) } }
    },
  }),
  tool({
    name: 'get_logs',
    description: 'The log lines of a run, the oldest first.',
    input: z.object({
      runId,
      tail: z.number().int().min(1).max(mostLogLines).optional().describe(`Only the last ones; ${logLines} when left out`),
    }),
    operation: 'listRunEvents',
    isReadOnly: true,
    async run({ runId: id, tail = logLines }, context) {
      await readable(context, id)
      const { spans } = await runs.getTrace(context.env, context.caller, id)
      const lines = spans.filter((span) => span.kind === 'log').sort(byTime)
      const shown = lines.slice(-tail)
      return {
        said: { runId: id, shown: shown.length, lines: lines.length },
        ...(shown.length > 0 ? { untrusted: shown.map(lineOf).join('\n') } : {}),
      }
    },
  }),
  tool({
    name: 'cancel_task',
    description: 'Cancels a run and the runs it started. A run that has ended stays as it is.',
    input: z.object({ runId }),
    operation: 'cancelRun',
    isReadOnly: false,
    isDestructive: true,
    async run({ runId: id }, { env, caller, require }) {
      const run = await runs.getRun(env, caller, id, missing(id))
      require(resourceOf(run))
      const { alreadyFinished } = await runs.cancelRun(env, caller, id)
      if (!alreadyFinished) return { said: { runId: id, canceled: true } }
      const note = `It had finished already, as ${apiStatus(run.status, true)}.`
      return { said: { runId: id, canceled: false, note } }
    },
  }),
  tool({
    name: 'replay_run',
    description: 'Runs a run again as a new run, with the same payload unless another is given.',
    input: z.object({ runId, payload: fields.optional() }),
    operation: 'replayRun',
    isReadOnly: false,
    async run({ runId: id, payload }, { env, caller, require }) {
      require(resourceOf(await runs.getRun(env, caller, id, missing(id))))
      const made = await runs.replayRun(env, caller, id, payload ? { payload } : {}, { now: Date.now() })
      return { said: { runId: made.id, replayOf: id } }
    },
  }),
  tool({
    name: 'explain',
    description: 'What a sentence would do: which task, with which payload, when. Nothing is started.',
    input: words,
    operation: 'explainSentence',
    isReadOnly: true,
    async run(input, { env, caller, require }) {
      require({})
      return { said: await sentences.explain(env, caller, parse(input)) }
    },
  }),
  tool({
    name: 'run_sentence',
    description:
      'Does what a sentence says: starts a run, makes a schedule ("every day at 3am, run cleanup") or subscribes to an event ("when payment fails, …"). It refuses rather than guesses.',
    input: words,
    operation: 'startSentence',
    isReadOnly: false,
    async run(input, { env, caller, scopes, require }) {
      const context = { now: Date.now() }
      const started = await sentences.start(env, caller, parse(input), undefined, context, ({ kind, task }) => {
        // A token for a task may run it, not make it run for ever.
        if (kind !== 'run' && scopes)
          throw new OperationError('FORBIDDEN', 'A schedule or a subscription needs the secret key of the environment.')
        require({ task })
      })
      return { said: { kind: started.kind, ...idOf(started), understood: started.understood } }
    },
  }),
  tool({
    name: 'create_schedule',
    description:
      'Makes a schedule: of a sentence ("every weekday at 9am, send the digest"), or of a task and a cron expression. The same one again is the one there is.',
    input: z.object({
      sentence: sentence.optional(),
      values,
      taskId: z.string().min(1).optional().describe('With cron, in place of a sentence'),
      cron: z.string().min(1).max(limits.scheduleTextChars).optional().describe('Five fields; with taskId'),
      payload: fields.optional().describe('What the task gets each time; with taskId'),
      timezone,
    }),
    operation: 'createSchedule',
    isReadOnly: false,
    async run({ sentence: text, values: given, taskId, cron, payload = {}, timezone: zone }, { env, caller, require }) {
      require({})
      if (text !== undefined && taskId === undefined && cron === undefined) {
        const input = parse({ sentence: text, values: given, timezone: zone })
        const made = await sentences.start(env, caller, input, undefined, { now: Date.now() }, ({ kind }) => {
          if (kind !== 'schedule')
            throw new OperationError('UNPROCESSABLE', 'The sentence names no time that comes again, such as "every day at 3am".')
        })
        return { said: { scheduleId: made.id, understood: made.understood } }
      }
      if (text !== undefined || taskId === undefined || cron === undefined)
        throw new OperationError('INVALID_REQUEST', 'Give either sentence, or taskId and cron.')
      await requireTask(env, caller, taskId)
      const { id, ...made } = await sentences.scheduleTask(env, caller, { task: taskId, cron, timezone: zone ?? 'UTC', payload })
      return { said: { scheduleId: id, ...presentSchedule(made) } }
    },
  }),
  tool({
    name: 'list_schedules',
    description: 'The schedules of the environment and when each runs next.',
    input: z.object({}),
    operation: 'listSchedules',
    isReadOnly: true,
    async run(_, { env, caller, require }) {
      require({})
      const { schedules, count } = await listSchedules(env, caller.environment, { page: 1, perPage: schedulesListed })
      return { said: { count, schedules: schedules.map(({ id, ...each }) => ({ scheduleId: id, ...presentSchedule(each) })) } }
    },
  }),
]

function parse({ sentence: text, values: given = [], timezone: zone }: z.infer<typeof words>): sentences.SentenceInput {
  const strings = given.length > 0 || text.includes('{}') ? text.split('{}') : [text]
  if (strings.length !== given.length + 1) {
    const places = `the sentence has ${strings.length - 1} places {} for ${given.length} values`
    throw new OperationError('INVALID_REQUEST', `values: ${places}.`)
  }
  return { strings, values: given, timezone: zone }
}

function idOf({ kind, id }: { kind: string; id: string }): Record<string, string> {
  return kind === 'run' ? { runId: id } : kind === 'schedule' ? { scheduleId: id } : { subscriptionId: id }
}

/** An agent that mistypes a name should hear of it now, not find a run that waits for a version. */
async function requireTask(env: ToolContext['env'], caller: ToolContext['caller'], taskId: string): Promise<void> {
  const { tasks } = await currentTasks(env, caller)
  if (tasks.some(({ id }) => id === taskId)) return
  const ids = tasks.slice(0, mostListed).map(({ id }) => id)
  const known = ids.length === 0 ? 'None is deployed.' : `There are: ${ids.join(', ')}.`
  throw new OperationError('NOT_FOUND', `There is no task ${taskId}. ${known}`)
}

async function readable({ env, caller, require }: ToolContext, id: string): Promise<RunDetail> {
  const run = await runs.getRun(env, caller, id, missing(id))
  require(resourceOf(run))
  return run
}

function missing(id: string): string {
  return `There is no run ${id} in this environment.`
}

function resourceOf(run: RunRecord): Parameters<ToolContext['require']>[0] {
  return { run: run.id, task: run.task, tag: run.tags, batch: run.batchId ? [run.batchId] : [] }
}

function statusesOf(word: string): RunStatus[] {
  const found = statusFilter(word.toUpperCase())
  if (!found) throw new OperationError('INVALID_REQUEST', `status: there is no status ${word}.`)
  return found
}

function presentRun(run: RunRecord): Record<string, unknown> {
  const iso = (at: number | undefined): string | undefined => (at === undefined ? undefined : new Date(at).toISOString())
  return {
    runId: run.id,
    taskId: run.task,
    status: apiStatus(run.status, true),
    createdAt: iso(run.createdAt),
    startedAt: iso(run.startedAt),
    finishedAt: iso(run.completedAt),
    attempts: run.attemptNumber,
    ...(run.tags.length > 0 ? { tags: run.tags } : {}),
    ...(run.waitingReason ? { waitingReason: run.waitingReason } : {}),
  }
}

function presentDetail(run: RunDetail): Answer {
  const written = {
    ...(run.payload ? { payload: contentOf(run.payload) } : {}),
    ...(run.output && run.status === 'COMPLETED_SUCCESSFULLY' ? { output: contentOf(run.output) } : {}),
    ...(run.error ? { error: run.error } : {}),
    ...(run.metadata?.data ? { metadata: contentOf(run.metadata) } : {}),
  }
  return { said: presentRun(run), ...(Object.keys(written).length > 0 ? { untrusted: written } : {}) }
}

function contentOf({ data, dataType }: Packet): unknown {
  if (dataType === 'application/store') return `(stored apart, as it is large: ${data})`
  if (data === undefined || !/json/.test(dataType)) return data ?? null
  try {
    const parsed = JSON.parse(data) as { json?: unknown }
    return dataType === 'application/super+json' ? (parsed.json ?? null) : parsed
  } catch {
    return data
  }
}

interface ShownSchedule {
  task: string
  cron: string
  timezone: string
  active: boolean
  nextRun?: number
}
function presentSchedule({ task, cron, timezone: zone, active, nextRun }: ShownSchedule): Record<string, unknown> {
  const next = nextRun === undefined ? {} : { nextRun: new Date(nextRun).toISOString() }
  return { taskId: task, cron, timezone: zone, active, ...next }
}

function byTime(one: SpanRecord, other: SpanRecord): number {
  return one.startTime.length - other.startTime.length || (one.startTime < other.startTime ? -1 : 1)
}

function lineOf({ startTime, level, name, attributes }: SpanRecord): string {
  const time = new Date(Number(BigInt(startTime) / 1_000_000n)).toISOString()
  const more = attributes && Object.keys(attributes).length > 0 ? ` ${JSON.stringify(attributes)}` : ''
  return `${time} ${level} ${name}${more}`
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
