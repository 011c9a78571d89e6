/** What callers read: runs, lists, queues. Nothing here writes. A list page reads at most 2,000 rows. */
import type { EnvironmentObject, QueueRecord, WaitpointRecord } from '../../contracts/objects.ts'
import type { ListRunsInput, ListRunsResult, RunDetail, RunRecord } from '../../contracts/rpc.ts'
import { countQueue, explainWaiting } from '../../core/queue/admission.ts'
import { isFinal, isQueued } from '../../core/run/statuses.ts'
import { walkDocuments } from '../../storage/document-table.ts'
import { hasPackets, readChildren, readMetadata, readPackets, type StoredRun, walkRuns } from '../../storage/run-table.ts'
import type { EnvironmentState } from './state.ts'

const rowsPerPage = 2_000
const childrenShown = 100

export function record(state: EnvironmentState, run: StoredRun): RunRecord {
  const { engine: _engine, waitingReason: _stored, ...shown } = run
  const waitingReason = reasonOf(state, run)
  return { ...shown, ...(waitingReason ? { waitingReason } : {}) }
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

export function matches(run: StoredRun, input: ListRunsInput): boolean {
  if (input.statuses && !input.statuses.includes(run.status)) return false
  if (input.tasks && !input.tasks.includes(run.task)) return false
  if (input.tags && !input.tags.some((tag) => run.tags.includes(tag))) return false
  if (input.versions && !(run.version && input.versions.includes(run.version))) return false
  if (input.queues && !input.queues.includes(run.queue)) return false
  if (input.machines && !(run.machine && input.machines.includes(run.machine))) return false
  if (input.batchId && run.batchId !== input.batchId) return false
  if (input.scheduleId && run.scheduleId !== input.scheduleId) return false
  if (input.bulkActionId && !run.bulkActionIds?.includes(input.bulkActionId)) return false
  if (input.regions && !(run.region && input.regions.includes(run.region))) return false
  if (input.isTest !== undefined && run.isTest !== input.isTest) return false
  if (input.from !== undefined && run.createdAt < input.from) return false
  return input.to === undefined || run.createdAt <= input.to
}

export function queues(state: EnvironmentState): QueueRecord[] {
  const names = new Set<string>()
  for (const task of state.version?.tasks ?? []) names.add(task.queue?.name ?? `task/${task.id}`)
  for (const queue of state.version?.queues ?? []) names.add(queue.name)
  for (const sub of state.admission.subQueues.values()) names.add(sub.queue)
  return [...names].sort().map((name) => queue(state, name))
}

function queue(state: EnvironmentState, name: string): QueueRecord {
  const isTask = name.startsWith('task/')
  return {
    id: queueId(name),
    name: isTask ? name.slice(5) : name,
    type: isTask ? 'task' : 'custom',
    ...countQueue(state.admission, name),
    paused: state.admission.paused.has(name),
    concurrencyLimit: state.admission.limits.get(name) ?? null,
  }
}

/** The stored name (with its prefix) of a queue a caller refers to. */
export function queueNamed(
  state: EnvironmentState,
  ref: { by: 'id' | 'name'; value: string },
): { name: string; record: QueueRecord } | undefined {
  for (const found of queues(state)) {
    const name = found.type === 'task' ? `task/${found.name}` : found.name
    if (ref.by === 'id' ? found.id === ref.value : name === ref.value) return { name, record: found }
  }
  return undefined
}

export function reasonOf(state: EnvironmentState, run: StoredRun): string | undefined {
  if (isFinal(run.status)) return undefined
  if (run.engine.resuming) return `all waits are done; ${explainWaiting(state.admission, run.queue, run.concurrencyKey ?? '')}`
  const [wait] = run.engine.waits
  if (wait) {
    if (wait.kind === 'run') return `waiting for child ${wait.runId}`
    if (wait.kind === 'batch') return `waiting for batch ${wait.batchId}`
    if (wait.kind === 'datetime') return `waiting until ${new Date(wait.until).toISOString()}`
    return `waiting for token ${wait.waitpointId}`
  }
  if (run.status === 'DELAYED') return `delayed until ${new Date(run.delayUntil ?? 0).toISOString()}`
  if (isQueued(run.status) && run.engine.dueAt === undefined)
    return explainWaiting(state.admission, run.queue, run.concurrencyKey ?? '')
  return run.waitingReason
}

export function queueId(name: string): string {
  return `queue_${[...new TextEncoder().encode(name)].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`
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
