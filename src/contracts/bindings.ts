import type { CompletedWaitpoint, RunExecutor } from './rpc.ts'

/** Bindings of the Worker (wrangler.toml). Object namespaces are typed by the RPC interfaces in this folder. */
export interface Env {
  DIRECTORY: DurableObjectNamespace
  PROJECT: DurableObjectNamespace
  TASK: DurableObjectNamespace
  ENVIRONMENT: DurableObjectNamespace
  RUN: DurableObjectNamespace
  HISTORY: DurableObjectNamespace
  SCHEDULER: DurableObjectNamespace
  DISPATCH: Queue<DispatchHint>
  BUCKET: R2Bucket
  LOADER: WorkerLoader
  /** Local host only: network services that refuse / allow private addresses. In production the plain fetch is used. */
  EGRESS_PUBLIC?: Fetcher
  EGRESS_PRIVATE?: Fetcher
  /** 32+ random bytes as hex; everything the platform signs or encrypts derives from it. */
  ROOT_SECRET?: string
  /** 'true' lets tasks reach private addresses (default under `npm run dev`); or the environments that may: 'dev,staging'. */
  ALLOW_PRIVATE_EGRESS?: string
  /** Origin tasks call the platform by when the deploy did not record one. */
  PLATFORM_ORIGIN?: string
  /** Ports of the platform on this machine, comma separated (local host): tasks never reach them directly. */
  PLATFORM_PORTS?: string
  /** Requests per 10 s and burst per environment key; 'off' disables. */
  RATE_LIMIT?: string
  /** Concurrent runs per environment (base limit). */
  ENVIRONMENT_CONCURRENCY?: string
  /** Days a final run is kept; 30 when absent. */
  RUN_RETENTION_DAYS?: string
}

/** A queue message carries ids only: EnvironmentDO decides what it means. */
export interface DispatchHint {
  environment: string
}

export type { CompletedWaitpoint, RunExecutor }
