/** What callers read: runs, lists, tokens. Nothing here writes. A list page reads at most 2,000 rows. */
import type { EnvironmentObject, WaitpointRecord } from '../../contracts/objects.ts'
import type { ListRunsInput, ListRunsResult, RunDetail, RunRecord } from '../../contracts/rpc.ts'
import { waitingReason } from '../../core/queue/waiting-reason.ts'
import { walkDocuments } from '../../storage/document-table.ts'
import { hasPackets, readChildren, readMetadata, readPackets, type StoredRun, walkRuns } from '../../storage/run-table.ts'
import type { EnvironmentState } from './state.ts'

const rowsPerPage = 2_000
const childrenShown = 100

export function record(state: EnvironmentState, run: StoredRun): RunRecord {
  const { engine: _engine, waitingReason: _stored, ...shown } = run
  const reason = waitingReason(run, state.admission)
  return { ...shown, ...(reason ? { waitingReason: reason } : {}) }
}

export function detail(state: EnvironmentState, run: StoredRun): RunDetail {
  const { spans: _spans, ...packets } = { spans: [], ...(state.pendingPackets(run.id) ?? readPackets(state.sql, run.id)) }
  const parent = run.parentRunId ? state.find(run.parentRunId) : undefined
  const root = run.rootRunId ? state.find(run.rootRunId) : undefined
  const children = readChildren(state.sql, run.id).slice(0, childrenShown)
  return {
    ...record(state, run),
    ...packets,
    ...(parent ? { parent: record(state, parent) } : {}),
    ...(root ? { root: record(state, root) } : {}),
    ...(children.length > 0 ? { children: children.map((child) => record(state, state.live.get(child.id) ?? child)) } : {}),
  }
}

export function listRuns(state: EnvironmentState, input: ListRunsInput): ListRunsResult {
  const backwards = input.before !== undefined && input.after === undefined
  const from = input.after ?? input.before
  const found: StoredRun[] = []
  let last: string | undefined
  let scanned = 0
  let more = false
  const walk = walkRuns(state.sql, {
    ...(from === undefined ? {} : { from }),
    descending: !backwards,
    ...(input.tasks?.length === 1 ? { task: input.tasks[0] as string } : {}),
    ...(input.batchId && input.tasks?.length !== 1 ? { batchId: input.batchId } : {}),
    limit: rowsPerPage,
  })
  for (const row of walk) {
    scanned += 1
    const run = state.live.get(row.id) ?? row
    if (!backwards && input.from !== undefined && run.createdAt < input.from && run.scheduleId === undefined) {
      more = false
      last = undefined
      break
    }
    if (matches(run, input)) {
      if (found.length === input.size) {
        more = true
        break
      }
      found.push(run)
    }
    last = run.id
  }
  if (scanned === rowsPerPage) more = true
  if (backwards) found.reverse()
  const runs = found.map((run) => ({ ...record(state, run), ...metadataOf(state, run) }))
  const first = found[0]?.id
  const end = found.at(-1)?.id
  if (backwards) return { runs, ...(end ? { next: end } : {}), ...(more && first ? { previous: first } : {}) }
  const next = more ? (scanned === rowsPerPage ? last : end) : undefined
  return { runs, ...(next ? { next } : {}), ...(input.after && first ? { previous: first } : {}) }
}

function metadataOf(state: EnvironmentState, run: StoredRun): Pick<RunDetail, 'metadata' | 'archived'> {
  const metadata = readMetadata(state.sql, run.id)
  if (metadata) return { metadata }
  return hasPackets(state.sql, run.id) ? {} : { archived: true }
}

function matches(run: StoredRun, input: ListRunsInput): boolean {
  if (input.statuses && !input.statuses.includes(run.status)) return false
  if (input.tasks && !input.tasks.includes(run.task)) return false
  if (input.tags && !input.tags.some((tag) => run.tags.includes(tag))) return false
  if (input.versions && !(run.version && input.versions.includes(run.version))) return false
  if (input.queues && !input.queues.includes(run.queue)) return false
  if (input.machines && !(run.machine && input.machines.includes(run.machine))) return false
  if (input.batchId && run.batchId !== input.batchId) return false
  if (input.scheduleId && run.scheduleId !== input.scheduleId) return false
  if (input.isTest !== undefined && run.isTest !== input.isTest) return false
  if (input.from !== undefined && run.createdAt < input.from) return false
  return input.to === undefined || run.createdAt <= input.to
}

export function listTokens(
  state: EnvironmentState,
  input: Parameters<EnvironmentObject['listTokens']>[1],
): { tokens: WaitpointRecord[]; next?: string; previous?: string } {
  const backwards = input.before !== undefined && input.after === undefined
  const found: WaitpointRecord[] = []
  let more = false
  for (const token of walkDocuments<WaitpointRecord>(
    state.sql,
    'waitpoints',
    input.after ?? input.before,
    !backwards,
    rowsPerPage,
  )) {
    if (!matchesToken(token, input)) continue
    if (found.length === input.size) {
      more = true
      break
    }
    found.push(token)
  }
  if (backwards) found.reverse()
  const [first, last] = [found[0]?.id, found.at(-1)?.id]
  const hasNext = backwards ? last !== undefined : more
  const hasPrevious = backwards ? more : input.after !== undefined
  return {
    tokens: found,
    ...(hasNext && last ? { next: last } : {}),
    ...(hasPrevious && first ? { previous: first } : {}),
  }
}

function matchesToken(token: WaitpointRecord, input: Parameters<EnvironmentObject['listTokens']>[1]): boolean {
  if (token.type !== 'MANUAL') return false
  if (input.statuses && !input.statuses.includes(token.status)) return false
  if (input.tags && !input.tags.some((tag) => token.tags.includes(tag))) return false
  if (input.idempotencyKey && token.idempotencyKey !== input.idempotencyKey) return false
  if (input.from !== undefined && token.createdAt < input.from) return false
  return input.to === undefined || token.createdAt <= input.to
}
