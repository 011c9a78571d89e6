/**
 * Which run the current code belongs to. Shared SDK modules are loaded once per isolate; what they find through the
 * SDK's global symbol, and through the patched globals, is looked up here. Must stay true: harness code never keeps a
 * run in a module variable.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { EventEmitter } from 'node:events'
import type { TaskRunError } from '../contracts/rpc.ts'
import type { Operations } from './operations.ts'
import type { RunTelemetry } from './telemetry.ts'

export interface ActiveRun {
  id: string
  /** What the SDK's managers hang off (`Symbol.for("dev.trigger.ts.api")`). */
  api: Record<string, unknown>
  /** The `process.env` the task sees. */
  env: Record<string, string | undefined>
  operations: Operations
  /** Absent while indexing. */
  telemetry?: RunTelemetry
  /** Values of the scope's parameters, by name: fetch, timers, process, console … */
  scope: Record<string, unknown>
  /** Listeners on `process`, once there are any. */
  process?: EventEmitter
  /** Ends the attempt from outside of the task's own promise. The first call wins. */
  fail(error: TaskRunError): void
}

export const runs: AsyncLocalStorage<ActiveRun> = new AsyncLocalStorage<ActiveRun>()

export function currentRun(): ActiveRun | undefined {
  return runs.getStore()
}

/** Thrown by a scoped `process.exit()` to stop the caller; the attempt has ended by then. */
export class ProcessExit extends Error {
  constructor(code: number) {
    super(`process.exit(${code}) was called`)
    this.name = 'ProcessExit'
  }
}

export function uncaught(error: unknown): TaskRunError {
  const isError = error instanceof Error
  return {
    type: 'INTERNAL_ERROR',
    code: 'TASK_RUN_UNCAUGHT_EXCEPTION',
    message: isError ? error.message : typeof error === 'string' ? error : JSON.stringify(error),
    stackTrace: isError ? error.stack : undefined,
  }
}
