/**
 * Runs and queue settings on their way out of this environment and into it. What must stay true: importing a line again changes
 * nothing (a run by its id, a setting because what is there stays), and a run never executes because it was imported as final.
 */
import type { ExportedRun, ImportedRuns, QueueSettings } from '../../contracts/export.ts'
import type { RpcResult, RunRecord } from '../../contracts/rpc.ts'
import { reconsider } from '../../core/queue/admission.ts'
import { exportedRun, importVerdict, relocatedRun } from '../../core/run/export.ts'
import { isFinal } from '../../core/run/statuses.ts'
import { putSetting } from '../../storage/document-table.ts'
import {
  findKey,
  insertRun,
  notePacketOwner,
  putKey,
  readPackets,
  type StoredRun,
  walkRuns,
  writeResult,
} from '../../storage/run-table.ts'
import { type EnvironmentState, optional, refusal, type Turn, value } from './state.ts'
import { trigger } from './trigger.ts'

const pageRuns = 100
const pageChars = 1_000_000
const keyMs = 2_592_000_000
const archiveSoonMs = 60_000

export function exportPage(
  state: EnvironmentState,
  { after, before }: { after: string; before: string },
): { runs: (ExportedRun & { archived?: boolean })[]; isLast: boolean } {
  const rows = walkRuns(state.sql, after, before, pageRuns)
  const runs: (ExportedRun & { archived?: boolean })[] = []
  let size = 0
  for (const row of rows) {
    const { archived, ...packets } = readPackets(state.sql, row.id)
    const exported = { ...exportedRun(row, packets), ...marks(state, row), ...(archived ? { archived } : {}) }
    size += JSON.stringify(exported).length
    if (runs.length > 0 && size > pageChars) return { runs, isLast: false }
    runs.push(exported)
  }
  return { runs, isLast: rows.length < pageRuns }
}

function marks(state: EnvironmentState, run: StoredRun): Pick<ExportedRun, 'idempotencyKeyExpiresAt' | 'isMadeByUnfinished'> {
  const key = run.idempotencyKey ? findKey(state.sql, run.task, run.idempotencyKey) : undefined
  const parent = run.parentRunId ? state.live.get(run.parentRunId) : undefined
  return {
    ...(key?.runId === run.id ? { idempotencyKeyExpiresAt: key.expiresAt } : {}),
    ...(parent && !isFinal(parent.status) ? { isMadeByUnfinished: true } : {}),
  }
}

export function queueSettings(state: EnvironmentState): QueueSettings[] {
  const names = new Set([...state.admission.paused, ...state.overrides.keys()])
  return [...names].sort().map((name) => {
    const { limit, percent } = state.overrides.get(name) ?? {}
    const override =
      limit !== undefined || percent !== undefined ? { ...optional('limit', limit), ...optional('percent', percent) } : undefined
    return { name, paused: state.admission.paused.has(name), ...optional('override', override) }
  })
}

export function importQueues(
  { state, now }: Turn,
  settings: QueueSettings[],
): RpcResult<{ imported: number; known: number; refused: { id: string; reason: string }[] }> {
  const counts = { imported: 0, known: 0, refused: [] as { id: string; reason: string }[] }
  const most = state.admission.base
  for (const { name, paused, override } of settings) {
    if (override?.limit !== undefined && override.limit > most) {
      const reason = `concurrencyLimit ${override.limit} is above the limit of the environment, which is ${most}.`
      counts.refused.push({ id: name, reason })
      continue
    }
    const isNew = (override && !state.overrides.has(name)) || (paused && !state.admission.paused.has(name))
    if (override && !state.overrides.has(name)) state.override(name, { ...override, at: now })
    if (paused) state.admission.paused.add(name)
    counts[isNew ? 'imported' : 'known'] += 1
  }
  reconsider(state.admission)
  putSetting(state.sql, 'pausedQueues', [...state.admission.paused])
  return value(counts)
}

export function importRuns(
  turn: Turn,
  runs: ExportedRun[],
  options: { queueUnfinished: boolean; cutoff: number },
): RpcResult<ImportedRuns> {
  const { state, now } = turn
  const locator = state.identity?.locator
  if (!locator || state.isFull())
    return refusal('ENVIRONMENT_FULL', 'This environment is full: old runs must be deleted first.', 503)
  const counts: ImportedRuns = {
    imported: 0,
    queuedAgain: 0,
    known: 0,
    unfinished: 0,
    madeByParent: 0,
    expired: 0,
    refused: [],
  }
  for (const exported of runs) {
    const run = relocatedRun(exported.run, locator)
    const verdict = importVerdict(exported, { ...options, isKnown: state.find(run.id) !== undefined })
    if (verdict === 'import') {
      store(turn, run, exported)
      counts.imported += 1
    } else if (verdict === 'queueAgain') {
      const result = queueAgain(turn, run, exported)
      if (!result.ok) counts.refused.push({ id: exported.run.id, reason: result.error.message })
      // Its idempotency key is another run's here.
      else counts[result.value.id === run.id ? 'queuedAgain' : 'known'] += 1
    } else counts[verdict] += 1
  }
  if (counts.imported > 0) state.planArchive(now + archiveSoonMs)
  return value(counts)
}

function store({ state, now }: Turn, run: RunRecord, exported: ExportedRun): void {
  const { payload, metadata, output, error, spans } = exported
  const { id } = run
  const stored: StoredRun = {
    ...run,
    engine: { operationId: `import:${id}`, lease: 0, slot: 0, score: run.createdAt, holdsSlot: false, waits: [], lost: 0 },
  }
  insertRun(state.sql, stored, false, { ...optional('payload', payload), ...optional('metadata', metadata) })
  writeResult(state.sql, id, { ...optional('output', output), ...optional('error', error), spans })
  for (const packet of [payload, output]) notePacketOwner(state.sql, id, packet, now)
  const { task, idempotencyKey } = run
  const expiresAt = exported.idempotencyKeyExpiresAt
  if (idempotencyKey && expiresAt !== undefined && expiresAt > now && !findKey(state.sql, task, idempotencyKey))
    putKey(state.sql, task, idempotencyKey, id, expiresAt)
}

/** From its beginning, as a new run of this environment. */
function queueAgain(turn: Turn, run: RunRecord, exported: ExportedRun): ReturnType<typeof trigger> {
  const { delayUntil } = run
  const result = trigger(turn, {
    runId: run.id,
    operationId: `import:${run.id}`,
    task: run.task,
    options: {
      payload: exported.payload ?? { dataType: 'application/json' },
      ...optional('metadata', exported.metadata),
      ...(run.tags.length > 0 ? { tags: run.tags } : {}),
      queue: run.queue,
      ...optional('concurrencyKey', run.concurrencyKey),
      ...(run.status === 'DELAYED' || exported.externalDeploymentId ? optional('delayUntil', delayUntil) : {}),
      ...optional('ttl', run.ttl),
      ...optional('idempotencyKey', run.idempotencyKey),
      ...optional('idempotencyKeyOptions', run.idempotencyKeyOptions),
      ...(run.idempotencyKey ? { idempotencyKeyExpiresAt: exported.idempotencyKeyExpiresAt ?? turn.now + keyMs } : {}),
      ...optional('maxAttempts', run.maxAttempts),
      ...optional('maxDuration', run.maxDuration),
      ...optional('machine', run.machine),
      priorityMs: run.priorityMs,
      ...optional('lockToVersion', exported.lockToVersion),
      ...optional('externalDeploymentId', exported.externalDeploymentId),
      test: run.isTest,
      ...optional('replayOf', run.replayOf),
      ...optional('region', run.region),
      ...optional('scheduleId', run.scheduleId),
      createdAt: run.createdAt,
    },
  })
  const made = result.ok && result.value.id === run.id ? turn.state.find(run.id) : undefined
  if (made && run.importedFrom) {
    made.importedFrom = run.importedFrom
    turn.state.changed(made, turn.now)
  }
  return result
}
