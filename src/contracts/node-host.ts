/** What a Node host and the platform say: builds it indexes, runs it takes (cli-engine-protocol.md §12). */
import type { QueueDefinition, TaskDefinition } from './rpc.ts'

/** In the place of a dev session's worker: who asks takes any run that needs Node. */
export const nodeHostWorker = 'node-host'

/** A deployment whose tasks only Node can load. */
export interface Build {
  deploymentId: string
  version: string
  contentHash: string
}

export type BuildOutcome =
  | { ok: true; tasks: TaskDefinition[]; queues: QueueDefinition[] }
  | { ok: false; code: string; message: string }
