import { TaskRunContext, TaskRunExecution } from '@trigger.dev/core/v3'
import { describe, expect, it } from 'vitest'
import type { EnvironmentIdentity, RunRecord, TaskDefinition, WorkerVersion } from '../../contracts/rpc.ts'
import { buildExecution, costOf, type ExecutionInput, machineOf } from './execution.ts'

const task = { id: 'resize', filePath: 'src/a.ts', exportName: 'resize', entryPoint: 'src/a.mjs' } as TaskDefinition
const base = {
  id: 'run_1',
  task: 'resize',
  queue: 'task/resize',
  attemptNumber: 2,
  createdAt: 1_000,
  tags: ['a'],
  isTest: false,
  durationMs: 5,
  costInCents: 0.1,
  baseCostInCents: 0,
  traceId: '0'.repeat(32),
  spanId: '1'.repeat(16),
} as unknown as RunRecord
const version = {
  version: '20260101.1',
  workerId: 'worker_1',
  deploymentId: 'deployment_1',
  deploymentShortCode: 'abcd',
} as WorkerVersion
const environment = {
  id: 'env_1',
  slug: 'prod',
  type: 'PRODUCTION',
  organizationId: 'org_1',
  organizationSlug: 'org',
  organizationTitle: 'Org',
  projectId: 'prj_1',
  projectRef: 'proj_1',
  projectName: 'Project',
} as EnvironmentIdentity

function build(run: Partial<RunRecord>, more: Partial<ExecutionInput> = {}): Record<string, unknown> {
  return buildExecution({ run: { ...base, ...run }, task, version, environment, queueId: 'queue_1', now: 2_000, ...more })
}

/** Dates as the wire has them, so that what the schema read can be compared with what was built. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

const full = build(
  {
    startedAt: 1_500,
    maxAttempts: 3,
    maxDuration: 60,
    priorityMs: 7_000,
    idempotencyKeyOptions: { key: 'mine', scope: 'global' },
    parentRunId: 'run_0',
    rootRunId: 'run_0',
    replayOf: 'run_9',
    batchId: 'batch_1',
    region: 'eu',
    machine: 'large-1x',
  } as Partial<RunRecord>,
  {
    payload: { data: '{"x":1}', dataType: 'application/json' },
    metadata: { data: '{"progress":{"step":1}}', dataType: 'application/json' },
    environment: { ...environment, type: 'PREVIEW', branchName: 'feature/x' } as EnvironmentIdentity,
  },
)

describe('buildExecution', () => {
  it('makes what the SDK parses, and nothing it would drop', () => {
    for (const execution of [build({}), full]) {
      expect(plain(TaskRunExecution.parse(execution))).toEqual(plain(execution))
      expect(TaskRunContext.safeParse(execution).error).toBeUndefined()
    }
  })

  it('survives JSON: no field is there without a value', () => {
    for (const execution of [build({}), full]) expect(plain(execution)).toStrictEqual(execution)
  })

  it('carries what was asked for', () => {
    expect(full).toMatchObject({
      attempt: { number: 2, startedAt: '1970-01-01T00:00:02.000Z' },
      run: {
        payload: '{"x":1}',
        isReplay: true,
        priority: 7,
        idempotencyKey: 'mine',
        idempotencyKeyScope: 'global',
        parentTaskRunId: 'run_0',
        metadata: { progress: { step: 1 } },
        startedAt: '1970-01-01T00:00:01.500Z',
      },
      environment: { branchName: 'feature/x' },
      machine: { name: 'large-1x', cpu: 4, memory: 8 },
      batch: { id: 'batch_1' },
    })
  })

  it('takes an unknown machine for the standard one', () => {
    expect(machineOf({ ...task, machine: 'huge-9x' } as unknown as TaskDefinition)).toBe('small-1x')
    expect(machineOf({ ...task, machine: { preset: 'micro' } } as unknown as TaskDefinition)).toBe('micro')
    expect(costOf('small-2x', 1_000)).toBeCloseTo(2 * costOf(undefined, 1_000), 4)
  })
})
