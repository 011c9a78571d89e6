/** The two vocabularies of run statuses on the API and the helpers computed from them (api-surface.md §4). */
import type { BatchRecord } from './objects.ts'
import type { RunStatus } from './rpc.ts'

export const modernApiVersion = '2025-07-16'

const names: Record<RunStatus, { modern: string; legacy: string }> = {
  DELAYED: { modern: 'DELAYED', legacy: 'DELAYED' },
  PENDING: { modern: 'QUEUED', legacy: 'QUEUED' },
  // Upstream's legacy answer is PENDING_VERSION, which SDK 3.3 rejects.
  PENDING_VERSION: { modern: 'PENDING_VERSION', legacy: 'WAITING_FOR_DEPLOY' },
  WAITING_FOR_DEPLOY: { modern: 'PENDING_VERSION', legacy: 'WAITING_FOR_DEPLOY' },
  DEQUEUED: { modern: 'DEQUEUED', legacy: 'EXECUTING' },
  EXECUTING: { modern: 'EXECUTING', legacy: 'EXECUTING' },
  RETRYING_AFTER_FAILURE: { modern: 'EXECUTING', legacy: 'REATTEMPTING' },
  WAITING_TO_RESUME: { modern: 'WAITING', legacy: 'FROZEN' },
  PAUSED: { modern: 'WAITING', legacy: 'FROZEN' },
  COMPLETED_SUCCESSFULLY: { modern: 'COMPLETED', legacy: 'COMPLETED' },
  COMPLETED_WITH_ERRORS: { modern: 'FAILED', legacy: 'FAILED' },
  INTERRUPTED: { modern: 'FAILED', legacy: 'INTERRUPTED' },
  CANCELED: { modern: 'CANCELED', legacy: 'CANCELED' },
  CRASHED: { modern: 'CRASHED', legacy: 'CRASHED' },
  SYSTEM_FAILURE: { modern: 'SYSTEM_FAILURE', legacy: 'SYSTEM_FAILURE' },
  EXPIRED: { modern: 'EXPIRED', legacy: 'EXPIRED' },
  TIMED_OUT: { modern: 'TIMED_OUT', legacy: 'TIMED_OUT' },
}

export const knownStatuses = Object.keys(names) as RunStatus[]

export function apiStatus(status: RunStatus, modern: boolean): string {
  return modern ? names[status].modern : names[status].legacy
}

const filters: Record<string, RunStatus[]> = {
  QUEUED: ['PENDING'],
  PENDING: ['PENDING'],
  WAITING: ['WAITING_TO_RESUME'],
  FROZEN: ['PAUSED', 'WAITING_TO_RESUME'],
  REATTEMPTING: ['RETRYING_AFTER_FAILURE'],
  FAILED: ['COMPLETED_WITH_ERRORS'],
  COMPLETED: ['COMPLETED_SUCCESSFULLY'],
}

/** Internal statuses one word of `filter[status]` stands for; undefined = unknown word. */
export function statusFilter(word: string): RunStatus[] | undefined {
  if (Object.hasOwn(filters, word)) return filters[word]
  return Object.hasOwn(names, word) ? [word as RunStatus] : undefined
}

const queued = new Set(['QUEUED', 'DELAYED', 'PENDING_VERSION', 'WAITING_FOR_DEPLOY'])
const executing = new Set(['EXECUTING', 'DEQUEUED', 'REATTEMPTING', 'FROZEN'])
const completed = new Set(['COMPLETED', 'CANCELED', 'FAILED', 'CRASHED', 'INTERRUPTED', 'SYSTEM_FAILURE'])

export function statusHelpers(status: string): Record<string, boolean> {
  return {
    isQueued: queued.has(status),
    isExecuting: executing.has(status),
    isWaiting: status === 'WAITING',
    isCompleted: completed.has(status),
    isSuccess: status === 'COMPLETED',
    isFailed: completed.has(status) && status !== 'COMPLETED',
    isCancelled: status === 'CANCELED',
  }
}

const finals = new Set<RunStatus>([
  'CANCELED',
  'INTERRUPTED',
  'COMPLETED_SUCCESSFULLY',
  'COMPLETED_WITH_ERRORS',
  'SYSTEM_FAILURE',
  'CRASHED',
  'EXPIRED',
  'TIMED_OUT',
])
export function isFinalStatus(status: RunStatus): boolean {
  return finals.has(status)
}

/** Clients before 4.3.1 accept PENDING and COMPLETED only. */
export function batchStatus(status: BatchRecord['status'], clientVersion: string | undefined): string {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(clientVersion ?? '')
  if (!match) return status
  const [major, minor, patch] = match.slice(1).map(Number) as [number, number, number]
  const old = major < 4 || (major === 4 && (minor < 3 || (minor === 3 && patch < 1)))
  if (!old) return status
  return status === 'PENDING' || status === 'PROCESSING' ? 'PENDING' : 'COMPLETED'
}
