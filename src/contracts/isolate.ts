/**
 * What crosses between a RunDO (or the indexer) and a task isolate. The isolate's loader `env` is always empty:
 * everything run-specific is an argument here.
 */
import type { BundleIndex, CompletedWaitpoint, Completion, LinkedBundle, SpanRecord, StartInput } from './rpc.ts'

/** Methods of the isolate's default entrypoint (a WorkerEntrypoint made by isolate/main.ts). */
export interface TaskIsolate {
  /**
   * Evaluates every task file and lists what it registered. `onFile` is awaited before each file, so that one that never
   * ends is known by name.
   */
  index(input: { variables: Record<string, string>; onFile: (file: string) => Promise<void> }): Promise<BundleIndex>
  /** Runs one attempt to its end. `platform` belongs to one lease. Never throws for a failure of the task. */
  run(input: IsolateRun, platform: IsolatePlatform): Promise<{ completion: Completion; spans: SpanRecord[] } | { busy: true }>
  /** Answers at once. Only the benchmarks call it; retiring a shard by it is not built. */
  ping(): Promise<{ runs: number }>
}

/** What the harness needs to know of the bundle; the isolate is loaded with it. */
export type IsolateBundle = Pick<LinkedBundle, 'core' | 'files' | 'configPath' | 'initPath'>

export interface IsolateRun {
  start: StartInput
  /** Bundle output module of the task (files[].out) and its source entry. */
  taskFile: { entry: string; out: string; exportName?: string }
}

/** The callback target RunDO passes in. After the lease is closed every method rejects with STALE_LEASE. */
export interface IsolatePlatform {
  /** The run's control stub: RunDO calls it to resolve waitpoints and to cancel. */
  attach(control: IsolateControl): Promise<void>
  /** A platform API call of the task's SDK, by RPC instead of HTTP. Body is text or bytes, at most 4 MiB. */
  fetch(request: {
    method: string
    path: string
    headers: [string, string][]
    body?: string | ArrayBuffer
  }): Promise<{ status: number; headers: [string, string][]; body: string | ArrayBuffer }>
  /** Batched while the run executes; what is left comes with the result of run(). */
  telemetry(spans: SpanRecord[]): Promise<void>
}

/** An RpcTarget made per run inside the isolate. */
export interface IsolateControl {
  resolveWaitpoints(waitpoints: CompletedWaitpoint[]): Promise<void>
  cancel(reason: string): Promise<void>
}
