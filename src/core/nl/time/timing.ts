/** The time of a sentence: its pieces make one cron expression, one instant, or contradict each other. */
import { validateTimezone } from '../../schedule/next-tick.ts'
import { instantOf } from './instant.ts'
import type { Piece } from './pieces.ts'
import { cronOf } from './recurrence.ts'

export type Timing =
  | { kind: 'none' }
  | { kind: 'at'; at: number; timezone: string; notes: string[] }
  | { kind: 'cron'; cron: string; timezone: string; notes: string[] }
  | { kind: 'problem'; message: string }

export interface Clock {
  now: number
  timezone: string
}

export function timingOf(pieces: Piece[], clock: Clock): Timing {
  const wrong = pieces.find((piece) => piece.kind === 'problem')
  if (wrong?.kind === 'problem') return { kind: 'problem', message: wrong.message }
  const zones = pieces.filter((piece) => piece.kind === 'zone')
  if (new Set(zones.map(({ zone }) => zone)).size > 1) {
    return { kind: 'problem', message: `Two time zones are named, ${zones[0]?.zone} and ${zones[1]?.zone}: use one.` }
  }
  const timezone = zones[0]?.zone ?? clock.timezone
  const notes = zones[0]?.note ? [zones[0].note] : []
  const rest = pieces.filter((piece) => piece.kind !== 'zone')
  if (rest.every(({ kind }) => kind === 'now')) return { kind: 'none' }
  if (rest.some(({ kind }) => kind === 'now')) {
    return { kind: 'problem', message: 'A run cannot be at once and at another time: leave out one of the two.' }
  }
  if (timezone !== 'UTC' && validateTimezone(timezone)) return { kind: 'problem', message: `"${timezone}" is no time zone.` }
  const result = rest.some(isRecurrent) ? cronOf(rest) : instantOf(rest, { now: clock.now, timezone })
  if (result.kind === 'problem') return result
  return { ...result, timezone, notes: [...notes, ...result.notes] }
}

export function isRecurrent(piece: Piece): boolean {
  return piece.kind === 'step' || piece.kind === 'month' || ('isRecurrent' in piece && piece.isRecurrent)
}
