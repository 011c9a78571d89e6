/** A run as the API shows it, its progress and its log lines. */

import { request } from './http.ts'
import type { Connection } from './settings.ts'

/** As `GET /api/v3/runs/{id}` answers; fields that are not set are left out. */
export interface Run {
  id: string
  /** QUEUED, EXECUTING, WAITING, COMPLETED, FAILED, CANCELED, …: Trigger.dev's words. */
  status: string
  taskIdentifier: string
  createdAt: string
  updatedAt: string
  startedAt?: string
  finishedAt?: string
  tags?: string[]
  metadata?: Record<string, unknown>
  payload?: unknown
  output?: unknown
  outputPresignedUrl?: string
  error?: { name?: string; message: string; stackTrace?: string }
  /** Why it does not execute now. */
  waitingReason?: string
  attemptCount?: number
  [field: string]: unknown
}

export interface ProgressUpdate {
  /** What the task says it is doing; its status until it says anything. */
  stage: string
  /** 0 to 100. */
  percent: number
  status: string
}

export interface LogLine {
  time: Date
  level: string
  message: string
  attempt?: number
  data?: Record<string, unknown>
}

/** Reads `metadata.progress = { stage, percent }`, a number in its place, or `metadata.stage` and `metadata.percent`. */
export function progressOf({ status, metadata = {} }: Run): ProgressUpdate {
  const given = metadata.progress
  const told = typeof given === 'object' && given !== null ? (given as Record<string, unknown>) : { percent: given }
  const stage = told.stage ?? metadata.stage
  const percent = told.percent ?? metadata.percent
  return {
    stage: typeof stage === 'string' ? stage : status.toLowerCase(),
    percent: status === 'COMPLETED' ? 100 : typeof percent === 'number' ? Math.min(100, Math.max(0, percent)) : 0,
    status,
  }
}

interface Event {
  message: string
  startTime: string
  level: string
  kind: string
  attemptNumber?: number
  properties?: Record<string, unknown>
}

export async function logsOf(
  connection: Connection,
  id: string,
  { tail, signal }: { tail?: number; signal?: AbortSignal | undefined } = {},
): Promise<LogLine[]> {
  if (tail !== undefined && !(Number.isInteger(tail) && tail > 0)) throw new TypeError('tail must be a whole number above 0.')
  const { events } = await request<{ events: Event[] }>(connection, 'GET', `/api/v1/runs/${encodeURIComponent(id)}/events`, {
    signal,
  })
  const lines = events
    .filter(({ kind }) => kind === 'LOG')
    // Nanoseconds, more than a number holds.
    .map((event) => ({ event, at: BigInt(event.startTime) }))
    .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
    .map(({ event: { message, level, attemptNumber, properties }, at }) => ({
      time: new Date(Number(at / 1_000_000n)),
      level,
      message,
      ...(attemptNumber ? { attempt: attemptNumber } : {}),
      ...(properties && Object.keys(properties).length > 0 ? { data: properties } : {}),
    }))
  return tail ? lines.slice(-tail) : lines
}
