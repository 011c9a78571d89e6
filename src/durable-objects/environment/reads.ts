/** What callers read: runs and tokens. Nothing here writes. A page of tokens reads at most 2,000 rows. */
import type { CurrentTasks, EnvironmentObject, WaitpointRecord } from '../../contracts/objects.ts'
import type { RunDetail, RunRecord } from '../../contracts/rpc.ts'
import { waitingReason } from '../../core/queue/waiting-reason.ts'
import { walkDocuments } from '../../storage/document-table.ts'
import { readChildren, readPackets, type StoredRun } from '../../storage/run-table.ts'
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

export function currentTasks({ version }: EnvironmentState, known: string | undefined): CurrentTasks {
  if (!version) return {}
  if (version.version === known) return { version: known }
  const tasks = version.tasks.map(({ id, description, payloadSchema, payloadFields, keywords, triggerSource, schedule, queue }) =>
    Object.fromEntries(
      Object.entries({ id, description, payloadSchema, payloadFields, keywords, triggerSource, schedule, queue }).filter(
        ([, each]) => each !== undefined,
      ),
    ),
  ) as CurrentTasks['tasks']
  return { version: version.version, ...(tasks ? { tasks } : {}) }
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
