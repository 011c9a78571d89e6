/** A job as a sentence: what a template sends, and what the server says it understood. */

/** A tagged template as it is written: the values stay typed, they are never flattened into text. */
export interface Sentence {
  strings: string[]
  values: unknown[]
}

export interface Candidate {
  task: string
  /** 0 to 1. */
  score: number
}

interface Understood {
  understood: true
  task: string
  payload: Record<string, unknown>
  /** 0 to 1; below the bar nothing is understood. */
  confidence: number
  candidates: Candidate[]
  /** Values of the sentence that found no place in the payload. */
  unused?: unknown[]
  /** What was decided where the sentence left it open. */
  notes?: string[]
}
/** One run, now or at an instant. */
export interface UnderstoodRun extends Understood {
  kind: 'run'
  /** ISO instant of a delayed run. */
  at?: string
  timezone?: string
}
export interface UnderstoodSchedule extends Understood {
  kind: 'schedule'
  /** Five fields. */
  cron: string
  cronInWords: string
  /** IANA name. */
  timezone: string
}
export interface UnderstoodEvent extends Understood {
  kind: 'event'
  event: string
  /** What an event's payload must hold: field → value or comparison; `*` = any top-level field. */
  filter?: Record<string, unknown>
  /** Required fields of the task that each event has to bring. */
  fromEvent?: string[]
}
export interface NotUnderstood {
  understood: false
  code: RefusalCode
  /** A sentence for a person: what is missing, and what would do. */
  message: string
  candidates: Candidate[]
  /** The field that misses a value or got a wrong one. */
  field?: string
}
export type RefusalCode =
  | 'EMPTY'
  | 'TOO_LONG'
  | 'NO_MATCH'
  | 'AMBIGUOUS'
  | 'NEGATED'
  | 'IMPOSSIBLE_TIME'
  | 'MISSING_FIELD'
  | 'WRONG_TYPE'
  | 'UNKNOWN_FIELD'
  | 'NOT_UNDERSTOOD'

export type Understanding = UnderstoodRun | UnderstoodSchedule | UnderstoodEvent | NotUnderstood
