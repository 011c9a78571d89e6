/** The pieces of a recurrent time as a cron expression of five fields. What no expression says exactly is refused or noted, never bent. */
import { isDay } from './once.ts'
import type { ClockTime, Piece } from './pieces.ts'

export type CronResult = { kind: 'cron'; cron: string; notes: string[] } | { kind: 'problem'; message: string }

type Of<Kind extends Piece['kind']> = Extract<Piece, { kind: Kind }>
type Outcome<Result> = Result | { problem: string }

interface TimeFields {
  minute: string
  hour: string
  notes: string[]
}

interface DayFields {
  day: string
  month: string
  weekday: string
  notes: string[]
}

export function cronOf(pieces: Piece[]): CronResult {
  const single = pieces.find(({ kind }) => /^(?:delay|instant|wall|in-days|next)$/.test(kind))
  if (single)
    return problem(
      'A recurrent time and a single one are both named: a schedule has no first day of its own, so leave one of them out.',
    )
  const steps = pieces.filter((piece) => piece.kind === 'step').map(normalised)
  const wrong = steps.find((step) => 'problem' in step)
  if (wrong && 'problem' in wrong) return problem(wrong.problem)
  const valid = distinct(steps as Of<'step'>[])
  const short = valid.filter(({ unit }) => unit === 'minute' || unit === 'hour')
  const long = valid.filter(({ unit }) => unit !== 'minute' && unit !== 'hour')
  // "every day, every hour" and "every month on every Monday" are one rhythm; "every hour every 5 minutes" are two.
  if (short.length > 1) return problem('Two intervals are named: use one of them.')
  const bases = long.filter(({ unit, count }) => unit !== 'day' || count > 1)
  if (bases.length > 1) return problem('Two intervals are named: use one of them.')
  const time = short[0] ? ofInterval(short[0], pieces) : ofTimes(pieces)
  if ('problem' in time) return problem(time.problem)
  const days = ofDays(pieces, bases[0], short.length > 0)
  if ('problem' in days) return problem(days.problem)
  return {
    kind: 'cron',
    cron: [time.minute, time.hour, days.day, days.month, days.weekday].join(' '),
    notes: [...time.notes, ...days.notes],
  }
}

function distinct(steps: Of<'step'>[]): Of<'step'>[] {
  return steps.filter((step, index) => steps.findIndex(({ unit, count }) => unit === step.unit && count === step.count) === index)
}

/** 60 minutes are an hour, 7 days a week; an interval that no expression has is a problem. */
function normalised(step: Of<'step'>): Outcome<Of<'step'>> {
  const { unit, count } = step
  if (unit === 'hour' && !Number.isInteger(count) && Number.isInteger(count * 60))
    return normalised({ ...step, unit: 'minute', count: count * 60 })
  if (!Number.isInteger(count) || count < 1)
    return { problem: `"every ${count} ${unit}s" is impossible: the number is a whole one from 1 up.` }
  if (unit === 'second') {
    return count % 60 === 0
      ? normalised({ ...step, unit: 'minute', count: count / 60 })
      : { problem: `"every ${count} seconds" is too often for a schedule; the nearest is every minute.` }
  }
  if (unit === 'quarter') return normalised({ ...step, unit: 'month', count: count * 3 })
  if (unit === 'minute' && count % 60 === 0) return normalised({ ...step, unit: 'hour', count: count / 60 })
  if (unit === 'hour' && count % 24 === 0) return normalised({ ...step, unit: 'day', count: count / 24 })
  if (unit === 'day' && count === 7) return { ...step, unit: 'week', count: 1 }
  if (unit === 'month' && count % 12 === 0) return normalised({ ...step, unit: 'year', count: count / 12 })
  const size = { minute: 60, hour: 24, month: 12, week: 1, year: 1, day: 0 }[unit]
  // Days of a month have no common measure: allowed up to half a month, and noted.
  if (unit === 'day' ? count <= 15 : size % count === 0) return step
  const nearest = unit === 'day' ? 'every month' : size === 1 ? `every ${unit}` : near(unit, count, size)
  return { problem: `"every ${count} ${unit}s" is no cron expression; the nearest is ${nearest}.` }
}

function near(unit: string, count: number, size: number): string {
  const divisors = Array.from({ length: size }, (_, index) => index + 1).filter((one) => size % one === 0)
  const below = divisors.filter((one) => one < count).at(-1)
  const above = divisors.find((one) => one > count)
  const shown = (one: number): string =>
    one === size ? `every ${{ minute: 'hour', hour: 'day', month: 'year' }[unit]}` : `every ${one} ${unit}s`
  if (above !== undefined && below !== undefined) return `${shown(below)} or ${shown(above)}`
  return unit === 'minute' && count < 24 * 60 ? `every ${Math.floor(count / 60)} or ${Math.ceil(count / 60)} hours` : shown(size)
}

/** Every so many minutes or hours, in a window if one is named. */
function ofInterval({ unit, count }: Of<'step'>, pieces: Piece[]): Outcome<TimeFields> {
  if (pieces.some(({ kind }) => kind === 'clock')) {
    return {
      problem: `"every ${count === 1 ? unit : `${count} ${unit}s`}" and a time of day are both named: use one of them, or "between … and …".`,
    }
  }
  const windows = pieces.filter((piece) => piece.kind === 'window')
  if (windows.length > 1) return { problem: 'Two spans of the day are named: use one of them.' }
  const window = windows[0]
  const past = pieces.find((piece) => piece.kind === 'minute')
  if (past && unit === 'minute')
    return { problem: 'A minute of the hour and an interval of minutes are both named: use one of them.' }
  const every = count === 1 ? '*' : `*/${count}`
  if (!window)
    return unit === 'minute'
      ? { minute: every, hour: '*', notes: [] }
      : { minute: String(past?.minute ?? 0), hour: every, notes: [] }
  const { from, to } = window
  if (from.minute !== to.minute || (unit === 'minute' && from.minute !== 0) || (past && from.minute !== 0)) {
    return { problem: `An interval between ${clockText(from)} and ${clockText(to)} is no cron expression: use full hours.` }
  }
  if (from.hour === to.hour) return { problem: `Between ${clockText(from)} and ${clockText(to)} there is no time.` }
  const length = (to.hour - from.hour + 24) % 24
  const hours = Array.from({ length: length + 1 }, (_, index) => (from.hour + index) % 24).filter(
    (_, index) => unit === 'minute' || index % count === 0,
  )
  // Midnight ends a day: 00:15 is not in "between 18 and 0".
  const within = to.hour === 0 ? hours.filter((hour) => hour !== 0) : hours
  const last = within.at(-1) as number
  const notes =
    unit === 'minute'
      ? [
          `The last one of a day is at ${clockText({ hour: last, minute: count === 1 ? 59 : 60 - count })}: hours are counted whole.`,
        ]
      : []
  return {
    minute: unit === 'minute' ? every : String(past?.minute ?? from.minute),
    hour: ranges(within, unit === 'hour' ? count : 1),
    notes,
  }
}

/** Certain times of the day. An expression has each of its minutes in each of its hours, so not every list will do. */
function ofTimes(pieces: Piece[]): Outcome<TimeFields> {
  if (pieces.some(({ kind }) => kind === 'window'))
    return { problem: 'A span of the day needs an interval, such as "every 15 minutes between 9 and 17".' }
  if (pieces.some(({ kind }) => kind === 'minute'))
    return { problem: 'A minute alone is no time of day: say "every hour at minute 15" or "at 9:15".' }
  const clocks = pieces.filter((piece) => piece.kind === 'clock')
  // "every morning at 8": the second is the exact one.
  const times =
    clocks.length > 1 && clocks.every((piece) => piece.times.length === 1)
      ? (clocks.at(-1)?.times ?? [])
      : clocks.flatMap((piece) => piece.times)
  if (times.length === 0) return { minute: '0', hour: '0', notes: [] }
  const minutes = [...new Set(times.map(({ minute }) => minute))].sort((a, b) => a - b)
  const hours = [...new Set(times.map(({ hour }) => hour))].sort((a, b) => a - b)
  const isFull = minutes.every((minute) =>
    hours.every((hour) => times.some((time) => time.minute === minute && time.hour === hour)),
  )
  if (!isFull) return { problem: `${times.map(clockText).join(' and ')} are no one cron expression: make a schedule of each.` }
  return { minute: minutes.join(','), hour: hours.join(','), notes: [] }
}

function ofDays(pieces: Piece[], base: Of<'step'> | undefined, isShort: boolean): Outcome<DayFields> {
  const weekdays = pieces.filter((piece) => piece.kind === 'weekdays')
  const monthdays = pieces.filter((piece) => piece.kind === 'monthdays')
  const dates = pieces.filter((piece) => piece.kind === 'date')
  const months = pieces.filter((piece) => piece.kind === 'month')
  if (weekdays.length > 1) return { problem: 'Weekdays are named twice: say them in one list.' }
  if (monthdays.length + dates.length > 1) return { problem: 'Days of the month are named twice: say them in one list.' }
  if (weekdays.length > 0 && monthdays.length + dates.length > 0) {
    return { problem: 'A weekday and a day of the month are both named, and cron means either of them: use one.' }
  }
  const notes: string[] = []
  const weekday = weekdays[0] ? weekdayField(weekdays[0]) : '*'
  if (base?.unit === 'day' && (weekday !== '*' || monthdays.length > 0))
    return { problem: 'An interval of days and certain days are both named: use one.' }
  if (base?.unit === 'week' && (monthdays.length > 0 || dates.length > 0))
    return { problem: 'A week has no days of the month: use "every month".' }
  if (dates[0]) {
    if (base?.unit !== 'year' || dates[0].year !== undefined)
      return { problem: 'A single day and an interval are both named: use one of them.' }
    return { day: String(dates[0].day), month: String(dates[0].month), weekday, notes }
  }
  const days = monthdays[0]?.days.join(',')
  const month = months.length > 0 ? months.map((piece) => piece.month).join(',') : undefined
  const impossible = monthdays[0]?.days.find(
    (day) => typeof day === 'number' && months.some((piece) => !isDay(2024, piece.month, day)),
  )
  if (impossible !== undefined) return { problem: `That month has no day ${impossible}.` }
  if (month === undefined && monthdays[0]?.days.some((day) => typeof day === 'number' && day > 28))
    notes.push('Months without that day are left out.')
  if (base?.unit === 'day') {
    notes.push(
      `Counted from the first of each month: from its last such day to the next first may be less than ${base.count} days.`,
    )
    return { day: `*/${base.count}`, month: month ?? '*', weekday, notes }
  }
  if (base?.unit === 'week') return { day: '*', month: month ?? '*', weekday: weekday === '*' ? '0' : weekday, notes }
  const first = weekday === '*' && !isShort ? '1' : '*'
  if (base?.unit === 'month') {
    return {
      day: days ?? (weekday === '*' ? '1' : '*'),
      month: month ?? (base.count === 1 ? '*' : `*/${base.count}`),
      weekday,
      notes,
    }
  }
  if (base?.unit === 'year') return { day: days ?? (weekday === '*' ? '1' : '*'), month: month ?? '1', weekday, notes }
  return { day: days ?? (month === undefined ? '*' : first), month: month ?? '*', weekday, notes }
}

function weekdayField({ days, nth }: Of<'weekdays'>): string {
  if (nth !== undefined) return nth === -1 ? `${days[0]}L` : `${days[0]}#${nth}`
  const sorted = [...days].sort((a, b) => a - b)
  return sorted.length === 7 ? '*' : ranges(sorted, 1)
}

/** 9,10,11 → "9-11"; with a step of 2, 9,11,13 → "9-13/2". */
function ranges(values: number[], step: number): string {
  if (step > 1) {
    const isRising = values.every((value, index) => index === 0 || value === (values[index - 1] as number) + step)
    return isRising && values.length > 2 ? `${values[0]}-${values.at(-1)}/${step}` : [...values].sort((a, b) => a - b).join(',')
  }
  const groups: number[][] = []
  for (const value of values) {
    const group = groups.at(-1)
    if (group && group.at(-1) === value - 1) group.push(value)
    else groups.push([value])
  }
  return groups.map((group) => (group.length > 2 ? `${group[0]}-${group.at(-1)}` : group.join(','))).join(',')
}

export function clockText({ hour, minute }: ClockTime): string {
  return `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`
}

function problem(message: string): CronResult {
  return { kind: 'problem', message }
}
