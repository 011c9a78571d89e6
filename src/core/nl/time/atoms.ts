/** The sentence as the time grammar reads it: lower-case words, marks, and values as their text. */
import type { Token } from '../tokens.ts'

export interface Atom {
  text: string
  raw: string
  /** Index of the token it comes from. */
  token: number
  isValue: boolean
  isMark: boolean
}

/** Stands for a value that is no part of a time whatever is around it. */
const BARRIER = '\u0000'
const LONGEST_VALUE = 40

/** `isFree` says which tokens the grammar may read; the others end a phrase. */
export function atomsOf(tokens: Token[], isFree: (token: number) => boolean): Atom[] {
  return tokens.flatMap((token, index): Atom[] => {
    const atom = (raw: string, isMark = false): Atom => ({
      text: raw.toLowerCase(),
      raw,
      token: index,
      isValue: token.kind === 'value',
      isMark,
    })
    if (!isFree(index)) return [atom(BARRIER, true)]
    if (token.kind === 'mark') return [atom(token.text, true)]
    if (token.kind === 'word') return [{ ...atom(token.raw), text: token.text }]
    const { value } = token
    if (typeof value !== 'string' && typeof value !== 'number') return [atom(BARRIER)]
    const text = String(value).trim()
    return text === '' || text.length > LONGEST_VALUE
      ? [atom(BARRIER)]
      : text.split(/\s+/).map((part) => atom(part.replace(/,$/, '')))
  })
}

export function textAt(atoms: Atom[], at: number): string {
  return atoms[at]?.text ?? ''
}

const numberWords = 'zero one two three four five six seven eight nine ten eleven twelve'.split(' ')
const moreNumbers: Record<string, number> = {
  fifteen: 15,
  twenty: 20,
  thirty: 30,
  forty: 40,
  'forty-five': 45,
  fifty: 50,
  sixty: 60,
  ninety: 90,
}

/** A plain number, also a word for one. */
export function numberOf(text: string): number | undefined {
  if (/^-?\d{1,9}(?:\.\d{1,3})?$/.test(text)) return Number(text)
  const small = numberWords.indexOf(text)
  return small >= 0 ? small : Object.hasOwn(moreNumbers, text) ? moreNumbers[text] : undefined
}

const ordinals = 'zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth'.split(' ')

/** "1st", "first"; not a plain number. */
export function ordinalOf(text: string): number | undefined {
  const digits = /^(\d{1,3})(?:st|nd|rd|th)$/.exec(text)
  if (digits) return Number(digits[1])
  if (text === 'fifteenth') return 15
  const index = ordinals.indexOf(text)
  return index > 0 ? index : undefined
}

export type Unit = 'second' | 'minute' | 'hour' | 'day' | 'week' | 'month' | 'quarter' | 'year'

const units: Record<Unit, string[]> = {
  second: ['second', 'seconds', 'sec', 'secs', 's'],
  minute: ['minute', 'minutes', 'min', 'mins', 'm'],
  hour: ['hour', 'hours', 'hr', 'hrs', 'h'],
  day: ['day', 'days', 'd'],
  week: ['week', 'weeks', 'wk', 'wks', 'w'],
  month: ['month', 'months'],
  quarter: ['quarter', 'quarters'],
  year: ['year', 'years', 'yr', 'yrs'],
}
const unitOfWord = new Map(Object.entries(units).flatMap(([unit, words]) => words.map((word) => [word, unit as Unit] as const)))

export function unitOf(text: string): Unit | undefined {
  return unitOfWord.get(text)
}

export const weekdayNames = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
export const monthNames = 'January February March April May June July August September October November December'.split(' ')
const weekdayShort: Record<string, number> = {
  sun: 0,
  mon: 1,
  tue: 2,
  tues: 2,
  wed: 3,
  weds: 3,
  thu: 4,
  thur: 4,
  thurs: 4,
  fri: 5,
  sat: 6,
}

/** Sunday is 0. */
export function weekdayOf(text: string): { day: number; isPlural: boolean; isShort: boolean } | undefined {
  if (Object.hasOwn(weekdayShort, text)) return { day: weekdayShort[text] as number, isPlural: false, isShort: true }
  const isPlural = text.endsWith('days')
  const day = weekdayNames.findIndex((name) => name.toLowerCase() === (isPlural ? text.slice(0, -1) : text))
  return day < 0 ? undefined : { day, isPlural, isShort: false }
}

/** January is 1. */
export function monthOf(text: string): number | undefined {
  const index = monthNames.findIndex((name) => {
    const full = name.toLowerCase()
    return full === text || (text.length === 3 && full.startsWith(text)) || (text === 'sept' && full === 'september')
  })
  return index < 0 ? undefined : index + 1
}
