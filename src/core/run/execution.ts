/** The execution object the SDK's TaskExecutor parses (TaskRunExecution of the wire). */
import { planTask } from '../../contracts/plan.ts'
import type { EnvironmentIdentity, Packet, RunRecord, TaskDefinition, WorkerVersion } from '../../contracts/rpc.ts'

const machines: Record<string, { cpu: number; memory: number; centsPerMs: number }> = {
  micro: { cpu: 0.25, memory: 0.25, centsPerMs: 0.00000169 },
  'small-1x': { cpu: 0.5, memory: 0.5, centsPerMs: 0.00000338 },
  'small-2x': { cpu: 1, memory: 1, centsPerMs: 0.00000675 },
  'medium-1x': { cpu: 1, memory: 2, centsPerMs: 0.0000085 },
  'medium-2x': { cpu: 2, memory: 4, centsPerMs: 0.000017 },
  'large-1x': { cpu: 4, memory: 8, centsPerMs: 0.000034 },
  'large-2x': { cpu: 8, memory: 16, centsPerMs: 0.000068 },
}
export const defaultMachine = 'small-1x'

export function machineOf(task: TaskDefinition): string {
  const preset = typeof task.machine === 'string' ? task.machine : task.machine?.preset
  return preset && preset in machines ? preset : defaultMachine
}

export function machineNamed(preset = defaultMachine): { name: string; cpu: number; memory: number; centsPerMs: number } {
  const found = machines[preset] ? preset : defaultMachine
  return { name: found, ...(machines[found] as { cpu: number; memory: number; centsPerMs: number }) }
}

/** The platform's own task is in every version. */
const plans: TaskDefinition = { id: planTask, filePath: '', entryPoint: '', retry: { maxAttempts: 1 }, host: 'isolate' }

/** Not in an isolate: with a dev session, or on a Node host. Plans have no code of anybody's. */
export function runsElsewhere(version: WorkerVersion, taskId: string): boolean {
  const task = taskId === planTask ? undefined : taskOf(version, taskId)
  return task !== undefined && (version.remote === true || task.host === 'node')
}

export function taskOf(version: WorkerVersion, id: string): TaskDefinition | undefined {
  return id === planTask ? plans : version.tasks.find((candidate) => candidate.id === id)
}

export interface ExecutionInput {
  run: RunRecord
  task: TaskDefinition
  version: WorkerVersion
  environment: EnvironmentIdentity
  payload?: Packet
  metadata?: Packet
  queueId: string
  now: number
}

export function buildExecution(input: ExecutionInput): Record<string, unknown> {
  const { run, task, version, environment } = input
  const machine = run.machine ?? machineOf(task)
  return {
    task: { id: task.id, filePath: task.filePath, exportName: task.exportName, entryPoint: task.entryPoint },
    attempt: {
      id: `attempt_${run.id.slice(4)}${run.attemptNumber}`,
      number: run.attemptNumber,
      startedAt: iso(input.now),
      backgroundWorkerId: version.workerId,
      backgroundWorkerTaskId: task.id,
      status: 'EXECUTING',
    },
    run: defined({
      id: run.id,
      payload: input.payload?.data ?? '',
      payloadType: input.payload?.dataType ?? 'application/json',
      tags: run.tags,
      isTest: run.isTest,
      isReplay: run.replayOf !== undefined,
      createdAt: iso(run.createdAt),
      startedAt: iso(run.startedAt ?? input.now),
      version: version.version,
      metadata: input.metadata?.data ? JSON.parse(input.metadata.data) : undefined,
      maxAttempts: run.maxAttempts,
      maxDuration: run.maxDuration,
      priority: run.priorityMs ? run.priorityMs / 1000 : undefined,
      idempotencyKey: run.idempotencyKeyOptions?.key ?? run.idempotencyKey,
      idempotencyKeyScope: run.idempotencyKeyOptions?.scope,
      parentTaskRunId: run.parentRunId,
      rootTaskRunId: run.rootRunId,
      durationMs: run.durationMs,
      costInCents: run.costInCents,
      baseCostInCents: run.baseCostInCents,
      traceContext: { traceparent: `00-${run.traceId}-${run.spanId}-01` },
      region: run.region,
    }),
    queue: { id: input.queueId, name: run.queue },
    environment: {
      id: environment.id,
      slug: environment.slug,
      type: environment.type,
      ...(environment.branchName ? { branchName: environment.branchName } : {}),
    },
    organization: { id: environment.organizationId, slug: environment.organizationSlug, name: environment.organizationTitle },
    project: {
      id: environment.projectId,
      ref: environment.projectRef,
      slug: environment.projectRef,
      name: environment.projectName,
    },
    machine: machineNamed(machine),
    ...(run.batchId ? { batch: { id: run.batchId } } : {}),
    // What a dev session runs is not deployed.
    ...(version.remote
      ? {}
      : {
          deployment: {
            id: version.deploymentId,
            shortCode: version.deploymentShortCode,
            version: version.version,
            runtime: version.runtime ?? 'node',
            runtimeVersion: version.runtimeVersion ?? '24',
          },
        }),
  }
}

export function costOf(machine: string | undefined, durationMs: number): number {
  return durationMs * (machines[machine ?? defaultMachine]?.centsPerMs ?? 0)
}

/** As JSON has it: the SDK hands `ctx.run` to the task as it is, and an undefined field would become null in an output. */
function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

function iso(at: number): string {
  return new Date(at).toISOString()
}
