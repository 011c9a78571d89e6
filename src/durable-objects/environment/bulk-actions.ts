/**
 * Cancel or replay many runs: the ids are fixed when the action is created, then pages of them from the alarm. A page and its
 * progress are one transaction, so a reset does no item twice; what a replay copies is read before it.
 */
import type { Env } from '../../contracts/bindings.ts'
import { mintId, partitionOf } from '../../contracts/ids.ts'
import { limits } from '../../contracts/limits.ts'
import type { BulkActionInput, BulkActionRecord } from '../../contracts/objects.ts'
import type { RpcResult, RunPackets } from '../../contracts/rpc.ts'
import {
  abort,
  advance,
  bulkChunkSize,
  doneCount,
  mayAdvance,
  mayReplay,
  newBulkAction,
  nextPage,
} from '../../core/bulk/progress.ts'
import { isFinal } from '../../core/run/statuses.ts'
import {
  listBulkActions,
  putBulkAction,
  putBulkRuns,
  readBulkAction,
  readBulkRuns,
  readOpenBulkActions,
} from '../../storage/bulk-table.ts'
import { readPackets, type StoredRun } from '../../storage/run-table.ts'
import { historyOf } from './archive.ts'
import { cancel } from './endings.ts'
import type { GroupCommit } from './group-commit.ts'
import { runsMatching } from './run-list.ts'
import { type EnvironmentState, optional, refusal, type Turn, value } from './state.ts'
import { trigger } from './trigger.ts'

export function createBulkAction(turn: Turn, input: BulkActionInput): RpcResult<{ id: string }> {
  const { state, now } = turn
  if (readBulkAction(state.sql, input.id)) return value({ id: input.id })
  if (input.type === 'REPLAY' && !mayReplay(readOpenBulkActions(state.sql), now)) {
    return refusal('RATE_LIMITED', 'At most 3 bulk replays can be in progress at once; wait for one to finish or abort it.', 429)
  }
  const ids = input.runIds ?? runsMatching(state, input.filter ?? {}, limits.bulkScannedRuns)
  if (!ids) {
    return refusal(
      'INVALID_REQUEST',
      `A bulk action looks through at most ${limits.bulkScannedRuns} runs and there are more in the time range; narrow filter.from and filter.to`,
      400,
    )
  }
  const { id, type } = input
  const action = newBulkAction(
    { id, type, ...optional('name', input.name), ...optional('targetRegion', input.targetRegion) },
    ids.length,
    now,
  )
  for (let chunk = 0; chunk * bulkChunkSize < ids.length; chunk++)
    putBulkRuns(state.sql, action.id, chunk, ids.slice(chunk * bulkChunkSize, (chunk + 1) * bulkChunkSize))
  put(turn, action)
  return value({ id: action.id })
}

export function abortBulkAction(turn: Turn, id: string): RpcResult<{ id: string }> {
  const known = readBulkAction<BulkActionRecord>(turn.state.sql, id)
  if (!known) return refusal('NOT_FOUND', 'Bulk action not found', 404)
  const aborted = abort(known, turn.now)
  if (!aborted) return refusal('CONFLICT', `Bulk action is already ${known.status.toLowerCase()}`, 409)
  put(turn, aborted)
  return value({ id })
}

export function bulkActionPage(
  state: EnvironmentState,
  input: { size: number; after?: string; before?: string },
): { actions: BulkActionRecord[]; next?: string; previous?: string } {
  const backwards = input.before !== undefined && input.after === undefined
  const found = listBulkActions<BulkActionRecord>(state.sql, input.after ?? input.before, !backwards, input.size + 1)
  const more = found.length > input.size
  const actions = found.slice(0, input.size)
  if (backwards) actions.reverse()
  const [first, last] = [actions[0]?.id, actions.at(-1)?.id]
  const hasNext = backwards ? true : more
  const hasPrevious = backwards ? more : input.after !== undefined
  return { actions, ...(hasNext && last ? { next: last } : {}), ...(hasPrevious && first ? { previous: first } : {}) }
}

function put(turn: Turn, action: BulkActionRecord): void {
  const open = action.status === 'PENDING'
  putBulkAction(turn.state.sql, action, open)
  if (open) turn.state.due.add({ at: turn.now, kind: 'bulk', id: action.id })
}

/** What a replay copies, and is not in the run's row. */
type Copies = Map<string, Pick<RunPackets, 'payload' | 'metadata'> | undefined>

export class BulkActions {
  private readonly env: Env
  private readonly state: EnvironmentState
  private readonly group: GroupCommit

  constructor(env: Env, state: EnvironmentState, group: GroupCommit) {
    this.env = env
    this.state = state
    this.group = group
  }

  /** One page. Throws when what it needs cannot be read now; the caller tries again later. */
  async step(id: string): Promise<void> {
    const action = readBulkAction<BulkActionRecord>(this.state.sql, id)
    const page = action && nextPage(action)
    if (!action || !page) return
    const ids = readBulkRuns(this.state.sql, id, page.chunk).slice(page.start, page.end)
    const copies = action.type === 'REPLAY' ? await this.read(ids) : new Map()
    const plannedAt = doneCount(action)
    try {
      await this.apply(id, plannedAt, ids, copies)
    } catch {
      // Nothing of the page was kept. One by one finds the run that cannot be handled, which then counts as a failure.
      for (const [index, runId] of ids.entries()) {
        await this.apply(id, plannedAt + index, [runId], copies).catch(() =>
          this.apply(id, plannedAt + index, [runId], copies, true),
        )
      }
    }
  }

  private async read(ids: string[]): Promise<Copies> {
    const copies: Copies = new Map()
    const read = async (runId: string): Promise<void> => {
      const run = this.state.find(runId)
      if (!run) return
      const { archived, ...packets } = this.state.pendingPackets(runId) ? { archived: false } : readPackets(this.state.sql, runId)
      const locator = this.state.identity?.locator ?? ''
      copies.set(runId, archived ? ((await historyOf(this.env, locator, runId).get(runId)) ?? undefined) : packets)
    }
    await Promise.all(ids.map(read))
    return copies
  }

  private apply(id: string, plannedAt: number, ids: string[], copies: Copies, failed = false): Promise<unknown> {
    return this.group.decide((turn) => {
      const action = readBulkAction<BulkActionRecord>(turn.state.sql, id)
      if (!mayAdvance(action, plannedAt)) return value(false)
      const outcomes = ids.map((runId) => !failed && handle(turn, action, runId, copies.get(runId)))
      put(turn, advance(action, outcomes, turn.now))
      return value(true)
    })
  }
}

function handle(
  turn: Turn,
  action: BulkActionRecord,
  runId: string,
  packets: Pick<RunPackets, 'payload' | 'metadata'> | undefined,
): boolean {
  const run = turn.state.find(runId)
  if (!run) return false
  if (action.type === 'REPLAY') return packets !== undefined && replay(turn, action, run, packets)
  if (isFinal(run.status)) return false
  run.bulkActionIds = [...(run.bulkActionIds ?? []), action.id]
  cancel(turn, run, `Canceled by bulk action ${action.id}`)
  return true
}

/** As a single replay (8.9): not the idempotency key, delay, TTL, parent, batch or version. */
function replay(
  turn: Turn,
  action: BulkActionRecord,
  run: StoredRun,
  packets: Pick<RunPackets, 'payload' | 'metadata'>,
): boolean {
  const { state, now } = turn
  const locator = state.identity?.locator
  if (!locator) return false
  const result = trigger(turn, {
    runId: mintId('run', locator, partitionOf(run.id) ?? '0', now),
    operationId: `${action.id}:${run.id}`,
    task: run.task,
    options: {
      payload: packets.payload ?? { dataType: 'application/json' },
      ...optional('metadata', packets.metadata),
      ...optional('machine', run.machine),
      ...optional('concurrencyKey', run.concurrencyKey),
      ...optional('region', action.targetRegion ?? run.region),
      ...(run.tags.length > 0 ? { tags: [...run.tags] } : {}),
      queue: run.queue,
      test: run.isTest,
      replayOf: run.id,
    },
  })
  const made = result.ok ? state.find(result.value.id) : undefined
  if (!made) return false
  made.bulkActionIds = [action.id]
  state.changed(made, now)
  return true
}
