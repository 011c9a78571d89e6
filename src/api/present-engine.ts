/** Runs, snapshots and attempts as processes elsewhere read and write them: the CLI's `dev` and the run controller (§2, §12). */
import { z } from 'zod'
import type { DequeuedRun, EngineRun, RunSnapshot, Snapshot } from '../contracts/engine.ts'
import type { Caller, CompletedWaitpoint } from '../contracts/rpc.ts'
import { defined } from './present-run.ts'

export const startSchema = z.looseObject({ isWarmStart: z.boolean().optional() })
const text = z.string()
const errorSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('BUILT_IN_ERROR'), name: text, message: text, stackTrace: text }),
  z.looseObject({ type: z.literal('CUSTOM_ERROR'), raw: text }),
  z.looseObject({ type: z.literal('STRING_ERROR'), raw: text }),
  z.looseObject({ type: z.literal('INTERNAL_ERROR'), code: text, message: text.optional(), stackTrace: text.optional() }),
])
const common = {
  id: text,
  usage: z.looseObject({ durationMs: z.number().nonnegative() }).optional(),
  flushedMetadata: z.looseObject({ data: text.optional(), dataType: text }).optional(),
}
export const completeSchema = z.looseObject({
  completion: z.discriminatedUnion('ok', [
    z.looseObject({ ...common, ok: z.literal(true), output: text.optional(), outputType: text.optional() }),
    z.looseObject({
      ...common,
      ok: z.literal(false),
      error: errorSchema,
      retry: z.looseObject({ timestamp: z.number(), delay: z.number().nonnegative() }).optional(),
      skippedRetrying: z.boolean().optional(),
    }),
  ]),
})
export function presentSnapshot({ id, executionStatus, createdAt }: Snapshot): Record<string, unknown> {
  return { id, friendlyId: id, executionStatus, description: executionStatus, createdAt: new Date(createdAt).toISOString() }
}

export function presentRun({ id, status, attemptNumber }: EngineRun): Record<string, unknown> {
  return { id, friendlyId: id, status, attemptNumber }
}

export function presentDequeued({ environment }: Caller, dequeued: DequeuedRun): Record<string, unknown> {
  const { snapshot, worker, run, machine, deploymentId } = dequeued
  return {
    version: '1',
    snapshot: presentSnapshot(snapshot),
    dequeuedAt: new Date(dequeued.dequeuedAt).toISOString(),
    completedWaitpoints: [],
    backgroundWorker: defined({ id: worker.id, friendlyId: worker.id, version: worker.version, runtime: worker.runtime }),
    deployment: defined({ id: deploymentId, friendlyId: deploymentId }),
    run: {
      id: run.id,
      friendlyId: run.id,
      isTest: run.isTest,
      isReplay: run.isReplay,
      machine,
      attemptNumber: run.attemptNumber,
      masterQueue: run.queue,
      traceContext: { traceparent: run.traceparent },
    },
    environment: { id: environment.id, type: environment.type },
    organization: { id: environment.organizationId },
    project: { id: environment.projectId },
  }
}

/** Where a run stands, and the waits that are done. */
export function presentExecution({ snapshot, run, completedWaitpoints }: RunSnapshot): Record<string, unknown> {
  return {
    version: '1',
    snapshot: presentSnapshot(snapshot),
    run: presentRun(run),
    completedWaitpoints: completedWaitpoints.map(presentWaitpoint),
  }
}

function presentWaitpoint({ archivedRun: _archived, ...waitpoint }: CompletedWaitpoint): Record<string, unknown> {
  const { completedByTaskRun: run } = waitpoint
  return {
    ...waitpoint,
    completedAt: new Date(waitpoint.completedAt).toISOString(),
    ...(run
      ? {
          completedByTaskRun: {
            id: run.friendlyId,
            friendlyId: run.friendlyId,
            ...(run.batch ? { batch: { id: run.batch.friendlyId, friendlyId: run.batch.friendlyId } } : {}),
          },
        }
      : {}),
  }
}
