/** The pieces a time is said in. The grammar reads them one by one; together they make an instant or a cron expression. */
import type { Unit } from './atoms.ts'

export interface ClockTime {
  hour: number
  minute: number
}

export type Piece =
  | { kind: 'step'; unit: Unit; count: number }
  /** `nth` of the month, -1 for the last. Not recurrent: "on Monday". */
  | { kind: 'weekdays'; days: number[]; nth?: number; isRecurrent: boolean }
  /** 'L' is the last day. */
  | { kind: 'monthdays'; days: (number | 'L')[]; isRecurrent: boolean }
  | { kind: 'date'; year?: number; month: number; day: number }
  | { kind: 'month'; month: number }
  | { kind: 'in-days'; count: number }
  | { kind: 'next'; unit: 'week' | 'month' | 'year' }
  | { kind: 'clock'; times: ClockTime[]; isTonight?: boolean }
  | { kind: 'minute'; minute: number }
  | { kind: 'window'; from: ClockTime; to: ClockTime }
  | { kind: 'delay'; ms: number; months: number }
  | { kind: 'instant'; at: number }
  | { kind: 'wall'; wall: number }
  | { kind: 'zone'; zone: string; note?: string }
  | { kind: 'now' }
  | { kind: 'problem'; message: string }

/** What a rule of the grammar read: its pieces and the atom after it. */
export interface Reading {
  pieces: Piece[]
  next: number
  /** A time only beside another one: "Monday", "UTC". */
  needsNeighbour?: boolean
  /** "daily" and its like, which also stand in names of tasks. */
  adjective?: string
}

export function read(next: number, ...pieces: Piece[]): Reading {
  return { pieces, next }
}

export function problem(next: number, message: string): Reading {
  return { pieces: [{ kind: 'problem', message }], next }
}
