/**
 * What goes into the reading of a sentence and what comes out. A sentence is a template's strings and typed values; an
 * understanding says all that was read, or is a refusal a person can act on. Nothing is guessed silently.
 */

import type {
  Candidate,
  UnderstoodEvent as EventMeaning,
  NotUnderstood as Refusal,
  RefusalCode,
  UnderstoodRun as RunMeaning,
  UnderstoodSchedule as ScheduleMeaning,
} from '../../contracts/sentence.ts'

export type { Sentence, Understanding } from '../../contracts/sentence.ts'
export type { Candidate, EventMeaning, Refusal, RefusalCode, RunMeaning, ScheduleMeaning }

export type FieldType = 'string' | 'number' | 'integer' | 'boolean' | 'array' | 'object'

/** A top-level field of a task's payload. */
export interface Field {
  name: string
  /** Left out where any type will do, or several. */
  type?: FieldType
  nullable?: boolean
  required: boolean
  enum?: unknown[]
  /** As in JSON Schema; `email` and `uri` decide which value goes where. */
  format?: string
  description?: string
}

export interface TaskEntry {
  id: string
  description?: string
  /** Other words for the task, each a word or a phrase. */
  keywords?: string[]
  /** Left out when the payload has no schema: its keys then come from the words before the values. */
  fields?: Field[]
  /** True when the schema allows no other fields: a value that fits none is then a refusal. */
  isClosed?: boolean
}

/** Where and when a sentence is read. */
export interface Circumstances {
  /** Epoch milliseconds. */
  now: number
  /** IANA name: the zone of every time in the sentence that names no other. */
  timezone: string
  /** Marks values whose type is not known yet: they fit every field. */
  isPlaceholder?: (value: unknown) => boolean
}

export type Comparison = { gt: unknown } | { gte: unknown } | { lt: unknown } | { lte: unknown }

/** Field of the event's payload → the value it equals, or a comparison. `*`: any top-level field equals it. */
export type EventFilter = Record<string, unknown>

export type Understood = RunMeaning | ScheduleMeaning | EventMeaning

/** Statuses as in the list of runs; instants in epoch milliseconds, `to` exclusive. */
export interface OperationFilter {
  status: string[]
  from?: number
  to?: number
  task?: string
}

/** A sentence about runs that are there already, not about a task to run. */
export interface Operation {
  verb: 'replay' | 'cancel'
  filter: OperationFilter
}

export function refusal(code: RefusalCode, message: string, candidates: Candidate[] = [], field?: string): Refusal {
  return { understood: false, code, message, candidates, ...(field === undefined ? {} : { field }) }
}
