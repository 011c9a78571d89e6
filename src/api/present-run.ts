/** A run in the shapes of the API (api-surface.md §8.6, §8.7). Unset optional fields are left out, never null. */
import type { Env } from '../contracts/bindings.ts'
import type { EnvironmentIdentity, Packet, RunDetail, RunRecord, TaskRunError } from '../contracts/rpc.ts'
import { apiStatus, statusHelpers } from '../contracts/statuses.ts'
import { packetValue, presignPacket } from '../operations/packets.ts'

const hiddenMetadata = ['$$streams', '$$streamsVersion', '$$streamsBaseUrl']

export function presentRun(run: RunRecord & { metadata?: Packet }, modern: boolean): Record<string, unknown> {
  const status = apiStatus(run.status, modern)
  const metadata = metadataOf(run.metadata)
  return defined({
    id: run.id,
    status,
    ...statusHelpers(status),
    taskIdentifier: run.task,
    idempotencyKey: run.idempotencyKeyOptions?.key ?? run.idempotencyKey,
    version: run.version,
    createdAt: iso(run.createdAt),
    updatedAt: iso(run.updatedAt),
    startedAt: iso(run.startedAt),
    finishedAt: iso(run.completedAt),
    delayedUntil: iso(run.delayUntil),
    expiredAt: iso(run.expiredAt),
    ttl: run.ttl,
    tags: [...run.tags].sort(),
    isTest: run.isTest,
    depth: run.depth,
    costInCents: run.costInCents,
    baseCostInCents: run.baseCostInCents,
    durationMs: run.durationMs,
    metadata,
    batchId: run.batchId,
    importedFrom: run.importedFrom,
    region: run.region,
    waitingReason: run.waitingReason,
  })
}

export function presentListItem(
  run: RunRecord & { metadata?: Packet },
  identity: EnvironmentIdentity,
  modern: boolean,
): Record<string, unknown> {
  return { ...presentRun(run, modern), env: { id: identity.id, name: identity.slug }, taskKind: 'STANDARD' }
}

export async function presentDetail(
  env: Env,
  run: RunDetail,
  identity: EnvironmentIdentity,
  origin: string,
  modern: boolean,
  schedule?: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  const succeeded = run.status === 'COMPLETED_SUCCESSFULLY'
  const [payload, output] = await Promise.all([
    packetFields(env, identity, origin, 'payload', run.payload),
    succeeded ? packetFields(env, identity, origin, 'output', run.output) : {},
  ])
  const related = (record: RunRecord): Record<string, unknown> => ({
    ...presentRun(record, modern),
    triggerFunction: triggerFunction(record),
  })
  return defined({
    ...presentRun(run, modern),
    ...payload,
    ...output,
    schedule,
    error: run.error && !succeeded ? presentError(run.error) : undefined,
    triggerFunction: triggerFunction(run),
    attemptCount: run.attemptNumber,
    attempts: [],
    relatedRuns: defined({
      root: run.root ? related(run.root) : undefined,
      parent: run.parent ? related(run.parent) : undefined,
      children: run.children?.map(related),
    }),
  })
}

export function presentError(error: TaskRunError): Record<string, unknown> {
  switch (error.type) {
    case 'BUILT_IN_ERROR':
      return { message: error.message, name: error.name, stackTrace: error.stackTrace }
    case 'STRING_ERROR':
    case 'CUSTOM_ERROR':
      return { message: error.raw }
    case 'INTERNAL_ERROR':
      return defined({
        message: error.message || `trigger.dev internal error (${error.code})`,
        name: error.code,
        stackTrace: error.stackTrace,
      })
  }
}

export function metadataOf(packet: Packet | undefined): Record<string, unknown> | undefined {
  const value = packetValue(packet)
  if (!value || typeof value !== 'object' || Array.isArray(value)) return undefined
  return Object.fromEntries(Object.entries(value).filter(([key]) => !hiddenMetadata.includes(key)))
}

export function iso(time: number | undefined): string | undefined {
  return time === undefined || time === null ? undefined : new Date(time).toISOString()
}

/** Drops what is undefined or null: clients refuse null in optional fields. */
export function defined(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined && entry !== null))
}

function triggerFunction(run: RunRecord): string {
  return `${run.batchId ? 'batchTrigger' : 'trigger'}${run.resumeParentOnCompletion ? 'AndWait' : ''}`
}

async function packetFields(
  env: Env,
  identity: EnvironmentIdentity,
  origin: string,
  field: 'payload' | 'output',
  packet: Packet | undefined,
): Promise<Record<string, unknown>> {
  if (packet?.data === undefined) return {}
  if (packet.dataType === 'application/store') {
    return { [`${field}PresignedUrl`]: await presignPacket(env, identity, origin, 'GET', packet.data) }
  }
  return { [field]: packetValue(packet) }
}
