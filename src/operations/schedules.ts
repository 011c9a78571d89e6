/** Schedules made over the API (api-surface.md §8.9). Declared ones are changed by a deploy only. */
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { randomText } from '../contracts/ids.ts'
import type { ScheduleInput, ScheduleRecord } from '../contracts/objects.ts'
import type { EnvironmentIdentity } from '../contracts/rpc.ts'
import { timingProblem } from '../core/schedule/plan.ts'
import { callScheduler, callTask, unwrap } from './objects.ts'

/** As it arrives: absent and empty are the same, and a change replaces everything. */
export interface ScheduleOptions {
  task: string
  cron: string
  timezone?: string | undefined
  externalId?: string | undefined
  window?: string | undefined
}

/** The schedule with this key is changed; without a key there is always one more. */
export async function createSchedule(
  env: Env,
  identity: EnvironmentIdentity,
  options: ScheduleOptions,
  deduplicationKey: string,
): Promise<ScheduleRecord> {
  return upsert(env, identity, deduplicationKey ? { deduplicationKey } : {}, options)
}

/** As upstream: a reference that nothing has makes a new schedule. */
export async function updateSchedule(
  env: Env,
  identity: EnvironmentIdentity,
  reference: string,
  options: ScheduleOptions,
): Promise<ScheduleRecord> {
  return upsert(env, identity, { reference }, options)
}

/** Of a sentence: any task, and a payload of its own laid over the tick's. */
export function createSentenceSchedule(
  env: Env,
  identity: EnvironmentIdentity,
  { payload, ...options }: ScheduleOptions & { payload: Record<string, unknown> },
  deduplicationKey: string,
): Promise<ScheduleRecord> {
  return put(env, identity, { deduplicationKey }, { ...inputOf(options), payload })
}

async function upsert(
  env: Env,
  identity: EnvironmentIdentity,
  by: { reference: string } | { deduplicationKey?: string },
  options: ScheduleOptions,
): Promise<ScheduleRecord> {
  const input = inputOf(options)
  await requireScheduledTask(env, identity, input.task)
  return put(env, identity, by, input)
}

function inputOf(options: ScheduleOptions): ScheduleInput {
  const input = {
    task: options.task,
    cron: options.cron,
    timezone: options.timezone || 'UTC',
    ...(options.externalId ? { externalId: options.externalId } : {}),
    ...(options.window === undefined ? {} : { window: options.window }),
  }
  const problem = timingProblem(input)
  if (problem) throw new OperationError('UNPROCESSABLE', problem)
  return input
}

async function put(
  env: Env,
  identity: EnvironmentIdentity,
  by: { reference: string } | { deduplicationKey?: string },
  input: ScheduleInput,
): Promise<ScheduleRecord> {
  // Made here, so that a call repeated after a lost answer finds what the first one made.
  const id = `sched_${randomText(21)}`
  return unwrap(await callScheduler(env, identity.locator, (scheduler) => scheduler.upsert(identity, id, by, input)))
}

/** With the id it had, unless it is here already, by its id or its key. */
export async function importSchedule(
  env: Env,
  identity: EnvironmentIdentity,
  { id, deduplicationKey, ...input }: ScheduleInput & { id: string; deduplicationKey?: string },
): Promise<'imported' | 'known'> {
  const known = await Promise.all(
    [id, deduplicationKey].map((reference) => (reference ? findSchedule(env, identity.locator, reference) : null)),
  )
  if (known.some((schedule) => schedule !== null)) return 'known'
  const problem = timingProblem(input)
  if (problem) throw new OperationError('UNPROCESSABLE', problem)
  await requireScheduledTask(env, identity, input.task, input.payload !== undefined)
  const by = deduplicationKey === undefined ? {} : { deduplicationKey }
  unwrap(await callScheduler(env, identity.locator, (scheduler) => scheduler.upsert(identity, id, by, input)))
  return 'imported'
}

/** A sentence schedules any task. */
async function requireScheduledTask(env: Env, identity: EnvironmentIdentity, id: string, isAny = false): Promise<void> {
  const current = await callTask(env, identity.locator, (task) => task.currentDeployment())
  const task = current?.worker?.tasks.find((candidate) => candidate.slug === id)
  if (!task) throw new OperationError('UNPROCESSABLE', `Task with identifier ${id} not found in project.`)
  if (!isAny && task.triggerSource !== 'schedule')
    throw new OperationError('UNPROCESSABLE', `Task with identifier ${id} is not a scheduled task.`)
}

export async function setScheduleActive(
  env: Env,
  identity: EnvironmentIdentity,
  reference: string,
  active: boolean,
): Promise<ScheduleRecord> {
  return unwrap(await callScheduler(env, identity.locator, (scheduler) => scheduler.setActive(reference, active)))
}

export async function deleteSchedule(env: Env, identity: EnvironmentIdentity, reference: string): Promise<{ id: string }> {
  return unwrap(await callScheduler(env, identity.locator, (scheduler) => scheduler.delete(reference)))
}

export function listSchedules(
  env: Env,
  identity: EnvironmentIdentity,
  page: { page: number; perPage: number },
): Promise<{ schedules: ScheduleRecord[]; count: number }> {
  return callScheduler(env, identity.locator, (scheduler) => scheduler.list(page))
}

export function findSchedule(env: Env, locator: string, reference: string): Promise<ScheduleRecord | null> {
  return callScheduler(env, locator, (scheduler) => scheduler.get(reference))
}
