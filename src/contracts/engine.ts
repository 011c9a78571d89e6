/**
 * What a remote executor (the CLI's `dev`, a Node host) and EnvironmentDO say about a run: snapshots, attempts and their ends
 * (cli-engine-protocol.md §2, §4). Names are the wire's.
 */
import type { CompletedWaitpoint, RunStatus } from './rpc.ts'

export type ExecutionStatus =
  | 'RUN_CREATED'
  | 'DELAYED'
  | 'QUEUED'
  | 'PENDING_EXECUTING'
  | 'EXECUTING'
  | 'EXECUTING_WITH_WAITPOINTS'
  | 'PENDING_CANCEL'
  | 'FINISHED'

export interface Snapshot {
  id: string
  executionStatus: ExecutionStatus
  createdAt: number
}

export interface EngineRun {
  id: string
  status: RunStatus
  attemptNumber: number
}

export interface DequeuedRun {
  snapshot: Snapshot
  dequeuedAt: number
  worker: { id: string; version: string; runtime?: string }
  deploymentId?: string
  run: EngineRun & { isTest: boolean; isReplay: boolean; queue: string; traceparent: string }
  machine: { name: string; cpu: number; memory: number; centsPerMs: number }
}

export interface StartedAttempt {
  snapshot: Snapshot
  run: EngineRun
  execution: Record<string, unknown>
  variables: Record<string, string>
}

export type AttemptStatus = 'RUN_FINISHED' | 'RETRY_IMMEDIATELY' | 'RETRY_QUEUED'

export interface CompletedAttempt {
  attemptStatus: AttemptStatus
  snapshot: Snapshot
  run: EngineRun
}

export interface RunSnapshot {
  snapshot: Snapshot
  run: EngineRun
  completedWaitpoints: CompletedWaitpoint[]
}

/** One call that asks for runs, held open until there is one. */
export interface DequeueInput {
  /** The background worker whose code the session runs newest. */
  worker: string
  /** Names the call: the same one repeated gets the same runs, and a client that is gone can be taken off the list. */
  pollId: string
  holdMs: number
  /** Runs it takes. */
  most?: number
}
