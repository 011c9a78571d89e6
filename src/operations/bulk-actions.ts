/** Verbs on bulk actions. The range of a filter is fixed when the action is created. */
import type { Env } from '../contracts/bindings.ts'
import type { BulkActionBody } from '../contracts/bulk.schema.ts'
import { parseDuration } from '../contracts/durations.ts'
import { OperationError } from '../contracts/errors.ts'
import { mintId } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import type { BulkActionInput, BulkActionRecord } from '../contracts/objects.ts'
import type { Caller, RunStatus } from '../contracts/rpc.ts'
import { statusFilter } from '../contracts/statuses.ts'
import { callEnvironment } from './objects.ts'
import { onRun } from './runs.ts'
import { knownRegion } from './trigger-options.ts'

const missing = 'Bulk action not found'

export function createBulkAction(env: Env, caller: Caller, body: BulkActionBody, now: number): Promise<{ id: string }> {
  const { environment } = caller
  const { locator, type } = environment
  const targetRegion =
    body.action === 'replay' && type !== 'DEVELOPMENT' ? knownRegion(env, body.targetRegion, environment) : undefined
  const input: BulkActionInput = {
    id: mintId('bulk', locator, '0', now),
    type: body.action === 'replay' ? 'REPLAY' : 'CANCEL',
    ...(body.name ? { name: body.name } : {}),
    ...(targetRegion ? { targetRegion } : {}),
    ...(body.runIds ? { runIds: [...new Set(body.runIds)] } : {}),
    ...(body.filter ? { filter: filterOf(body.filter, now) } : {}),
  }
  return callEnvironment(env, locator, '0', (environment) => environment.createBulkAction(caller, input))
}

export function getBulkAction(env: Env, caller: Caller, id: string): Promise<BulkActionRecord> {
  return onRun(env, caller, id, missing, (environment) => environment.getBulkAction(caller, id))
}

export function listBulkActions(
  env: Env,
  caller: Caller,
  page: { size: number; after?: string; before?: string },
): Promise<{ actions: BulkActionRecord[]; next?: string; previous?: string }> {
  return callEnvironment(env, caller.environment.locator, '0', (environment) => environment.listBulkActions(caller, page))
}

export function abortBulkAction(env: Env, caller: Caller, id: string): Promise<{ id: string }> {
  return onRun(env, caller, id, missing, (environment) => environment.abortBulkAction(caller, id))
}

function filterOf(given: NonNullable<BulkActionBody['filter']>, now: number): NonNullable<BulkActionInput['filter']> {
  const list = (value: string | string[] | undefined): string[] => [value ?? []].flat().filter((word) => word.trim() !== '')
  const some = <K extends string>(key: K, words: string[]): { [P in K]?: string[] } =>
    words.length > 0 ? ({ [key]: words } as { [P in K]?: string[] }) : {}
  const statuses = list(given.status).flatMap((word): RunStatus[] => {
    const known = statusFilter(word)
    if (!known) throw invalid('status', `Unknown status: ${word}`)
    return known
  })
  return {
    ...(statuses.length > 0 ? { statuses: [...new Set(statuses)] } : {}),
    ...some('tasks', list(given.taskIdentifier)),
    ...some('tags', list(given.tag)),
    ...some('versions', list(given.version)),
    ...some('machines', list(given.machine)),
    ...some('regions', list(given.region)),
    ...some(
      'queues',
      [given.queue ?? []].flat().map(({ type, name }) => (type === 'task' ? `task/${name}` : name)),
    ),
    ...(given.batch ? { batchId: given.batch } : {}),
    ...(given.schedule ? { scheduleId: given.schedule } : {}),
    ...(given.bulkAction ? { bulkActionId: given.bulkAction } : {}),
    ...(given.isTest === undefined ? {} : { isTest: given.isTest }),
    ...rangeOf(given, now),
  }
}

/** As in lists: `period` beats `from` and `to`; without any the last seven days. */
function rangeOf(given: NonNullable<BulkActionBody['filter']>, now: number): { from?: number; to?: number } {
  if (given.period) {
    const ms = parseDuration(given.period)
    if (ms === undefined) throw invalid('period', `Invalid period: ${given.period}`)
    return { from: now - ms, to: now }
  }
  const [from, to] = [instantOf('from', given.from), instantOf('to', given.to)]
  return { from: from ?? (to ?? now) - limits.listWindowMs, to: to ?? now }
}

function instantOf(name: 'from' | 'to', value: string | number | undefined): number | undefined {
  if (value === undefined || value === '') return undefined
  const time = new Date(value).getTime()
  if (Number.isNaN(time) || time < 0) throw invalid(name, `Invalid date: ${value}`)
  return time
}

function invalid(field: string, message: string): OperationError {
  return new OperationError('INVALID_REQUEST', `Validation error: ${message} at "filter.${field}"`)
}
