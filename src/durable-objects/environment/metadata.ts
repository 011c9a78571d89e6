/** Metadata of a run, its parent and its root: one document each, changed by operations. */
import type { MetadataOperation } from '../../contracts/objects.ts'
import type { Packet, RpcResult } from '../../contracts/rpc.ts'
import { applyMetadataOperations } from '../../core/metadata/operations.ts'
import { readMetadata, type StoredRun, writeMetadata } from '../../storage/run-table.ts'
import { refusal, type Turn, value } from './state.ts'

const metadataBytes = 262_144
/** A final run takes changes this long (2.129). */
const openAfterEndMs = 3_600_000

export interface MetadataUpdate {
  metadata?: Record<string, unknown>
  operations?: MetadataOperation[]
  parentOperations?: MetadataOperation[]
  rootOperations?: MetadataOperation[]
}

export function updateMetadata(turn: Turn, runId: string, update: MetadataUpdate): RpcResult<Record<string, unknown>> {
  const { state, now } = turn
  const run = state.find(runId)
  if (!run) return refusal('NOT_FOUND', 'Not found', 404)
  if (run.completedAt !== undefined && now - run.completedAt > openAfterEndMs)
    return refusal('UNPROCESSABLE', 'Cannot update metadata for a completed run', 422)
  const changes = plan(turn, run, update)
  if (!save(turn, changes)) return refusal('TOO_LARGE', `Metadata exceeds maximum size of ${metadataBytes} bytes`, 413)
  return value(changes.get(run)?.metadata ?? metadataOf(turn, run))
}

/** What the SDK had not sent yet when the run ended. There is nobody left to refuse it to: what is too large is left out. */
export function applyFlushed(turn: Turn, run: StoredRun, flushed: { data?: string; dataType: string }): void {
  try {
    const parsed = JSON.parse(flushed.data ?? '{}') as { json?: MetadataUpdate } & MetadataUpdate
    const { operations, parentOperations, rootOperations } = parsed.json ?? parsed
    for (const update of [{ operations }, { parentOperations }, { rootOperations }]) {
      if (!save(turn, plan(turn, run, update as MetadataUpdate)))
        console.error('metadata of a completion was over the limit and is left out', run.id)
    }
  } catch (error) {
    console.error('metadata of a completion was not readable', run.id, String(error))
  }
}

export function readRunMetadata(turn: Pick<Turn, 'state'>, runId: string): Record<string, unknown> {
  return parse(readMetadata(turn.state.sql, runId))
}

type Changes = Map<StoredRun, { metadata: Record<string, unknown> }>

/** A run without a parent is its own; so is one without a root. */
function plan(turn: Turn, run: StoredRun, update: MetadataUpdate): Changes {
  const changes: Changes = new Map()
  const own = (id: string | undefined): StoredRun => (id ? turn.state.find(id) : undefined) ?? run
  const apply = (target: StoredRun, operations: MetadataOperation[] | undefined): void => {
    if (!operations?.length) return
    const before = changes.get(target)?.metadata ?? metadataOf(turn, target)
    changes.set(target, { metadata: applyMetadataOperations(before, operations).metadata })
  }
  if (update.operations) apply(run, update.operations)
  else if (update.metadata) changes.set(run, { metadata: update.metadata })
  const parent = own(run.parentRunId)
  apply(parent, update.parentOperations)
  apply(run.rootRunId === run.parentRunId ? parent : own(run.rootRunId), update.rootOperations)
  return changes
}

/** All of it, or nothing when one document would be over the limit. */
function save(turn: Turn, changes: Changes): boolean {
  const documents = [...changes].map(([run, { metadata }]) => ({ run, data: JSON.stringify(metadata) }))
  if (documents.some(({ data }) => new TextEncoder().encode(data).length > metadataBytes)) return false
  for (const { run, data } of documents) {
    writeMetadata(turn.state.sql, run.id, { data, dataType: 'application/json' })
    turn.state.changed(run, turn.now)
  }
  return true
}

function metadataOf(turn: Turn, run: StoredRun): Record<string, unknown> {
  turn.state.flushRun(run.id)
  return readRunMetadata(turn, run.id)
}

function parse(packet: Packet | undefined): Record<string, unknown> {
  return packet?.data ? JSON.parse(packet.data) : {}
}
