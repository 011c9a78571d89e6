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
  FILES: DurableObjectNamespace
  STREAMS: DurableObjectNamespace
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
  /** `<burst>:<refill per 10 s>` of requests per key; 'off' disables all three limits that are not set themselves. */
  RATE_LIMIT?: string
  /** `<burst>:<refill per 10 s>` of batch items per environment, taken when a batch is created; 'off' disables. */
  BATCH_RATE_LIMIT?: string
  /** Requests per minute and public token; 'off' disables. */
  PUBLIC_RATE_LIMIT?: string
  /** Regions, comma separated: `name`, or `name=<location hint>` for a place environments are made in (core/region/places.ts). */
  REGIONS?: string
  /** Concurrent runs per environment (base limit). */
  ENVIRONMENT_CONCURRENCY?: string
  /** Runs that may wait in one queue, all its keys together, in development and elsewhere; without a limit when absent (2.45). */
  MAXIMUM_DEV_QUEUE_SIZE?: string
  MAXIMUM_DEPLOYED_QUEUE_SIZE?: string
  /** Runs an environment may make in a minute; 100000 when absent, 'off' for any number. */
  MAXIMUM_CREATIONS_PER_MINUTE?: string
  /** Schedules made over the API per environment; 1000 when absent. */
  SCHEDULE_LIMIT?: string
  /** Days a final run is kept; 30 when absent. */
  RUN_RETENTION_DAYS?: string
  /** 'on': finished runs are written to the bucket before they are deleted at the end of RUN_RETENTION_DAYS. */
  RUN_ARCHIVE?: string
  /** Asked only about sentences the grammar does not read: an address of chat completions (OpenAI's), its key and the model's name. */
  MODEL_URL?: string
  MODEL_KEY?: string
  MODEL_NAME?: string
  /** Workers AI, when there is no MODEL_URL. */
  AI?: { run(model: string, options: object): Promise<{ response?: unknown }> }
  /** Local host: when the last process stopped answering (epoch ms), if that is why this one was started. */
  FROZEN_AT?: string
}

/** A queue message carries ids only: EnvironmentDO decides what it means. */
export interface DispatchHint {
  environment: string
}

export type { CompletedWaitpoint, RunExecutor }
