/** How many runs of a queue may execute: what the version declares, or what somebody set instead until it is reset. */
import type { WorkerVersion } from '../../contracts/rpc.ts'

export interface QueueOverride {
  limit?: number
  /** Of the environment's limit, in percent: it follows that limit. */
  percent?: number
  at: number
}
export interface QueueLimit {
  /** What holds now; null = the environment's limit only. */
  current: number | null
  base: number | null
  override: number | null
  overriddenAt: number | null
}

/** A declared limit above the environment's has no effect (3.10); a share is at least one run (3.14). */
export function queueLimits(
  version: Pick<WorkerVersion, 'queues' | 'tasks'> | undefined,
  overrides: Map<string, QueueOverride>,
  environmentLimit: number,
): Map<string, QueueLimit> {
  const limits = new Map<string, QueueLimit>()
  const declare = (name: string, declared: number | null | undefined): void => {
    if (typeof declared !== 'number') return
    const base = Math.min(environmentLimit, Math.max(0, declared))
    limits.set(name, { current: base, base, override: null, overriddenAt: null })
  }
  for (const queue of version?.queues ?? []) declare(queue.name, queue.concurrencyLimit)
  for (const task of version?.tasks ?? []) declare(task.queue?.name ?? `task/${task.id}`, task.queue?.concurrencyLimit)
  for (const [name, { limit, percent = 100, at }] of overrides) {
    const share = Math.max(1, Math.floor((environmentLimit * percent) / 100))
    const override = Math.min(environmentLimit, limit ?? share)
    limits.set(name, { current: override, base: limits.get(name)?.base ?? null, override, overriddenAt: at })
  }
  return limits
}

export interface QueueSizes {
  development?: number
  deployed?: number
}

/** How many runs may wait in one queue; a setting that is no number above zero is none. */
export function queueSizes(development: string | undefined, deployed: string | undefined): QueueSizes {
  const size = (text: string | undefined): number | undefined => (Number(text) >= 1 ? Math.floor(Number(text)) : undefined)
  const [dev, rest] = [size(development), size(deployed)]
  return { ...(dev === undefined ? {} : { development: dev }), ...(rest === undefined ? {} : { deployed: rest }) }
}
