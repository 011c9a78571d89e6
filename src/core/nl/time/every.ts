/** Recurrent phrases: "every 15 minutes", "each Monday and Thursday", "twice a day", "on the first of each month", "daily". */
import { type Atom, monthOf, numberOf, ordinalOf, textAt, type Unit, unitOf, weekdayOf } from './atoms.ts'
import { partsOfDay } from './clock.ts'
import { type ClockTime, type Piece, problem, type Reading, read } from './pieces.ts'

const adjectives: Record<string, Piece[]> = {
  hourly: [{ kind: 'step', unit: 'hour', count: 1 }],
  daily: [{ kind: 'step', unit: 'day', count: 1 }],
  nightly: [{ kind: 'step', unit: 'day', count: 1 }],
  weekly: [{ kind: 'step', unit: 'week', count: 1 }],
  biweekly: [{ kind: 'step', unit: 'week', count: 2 }],
  fortnightly: [{ kind: 'step', unit: 'week', count: 2 }],
  monthly: [{ kind: 'step', unit: 'month', count: 1 }],
  quarterly: [{ kind: 'step', unit: 'quarter', count: 1 }],
  yearly: [{ kind: 'step', unit: 'year', count: 1 }],
  annually: [{ kind: 'step', unit: 'year', count: 1 }],
}
const weekdays = [1, 2, 3, 4, 5]
const weekend = [0, 6]

export function recurrenceAt(atoms: Atom[], at: number): Reading | undefined {
  const text = textAt(atoms, at)
  if (Object.hasOwn(adjectives, text)) {
    return { ...read(at + 1, ...(adjectives[text] as Piece[])), adjective: text }
  }
  if (text === 'every' || text === 'each') return everyAt(atoms, at + 1)
  return timesPer(atoms, at) ?? monthDayAt(atoms, at)
}

function everyAt(atoms: Atom[], at: number): Reading | undefined {
  const start = textAt(atoms, at) === 'single' ? at + 1 : at
  const text = textAt(atoms, start)
  const days = weekdayList(atoms, start)
  if (days) {
    const weekdays: Piece = { kind: 'weekdays', days: days.days, isRecurrent: true }
    const part = textAt(atoms, days.next)
    if (!Object.hasOwn(partsOfDay, part)) return read(days.next, weekdays)
    return read(days.next + 1, weekdays, { kind: 'clock', times: [partsOfDay[part] as ClockTime] })
  }
  if (Object.hasOwn(partsOfDay, text))
    return read(start + 1, { kind: 'step', unit: 'day', count: 1 }, { kind: 'clock', times: [partsOfDay[text] as ClockTime] })
  if (text === 'midnight' || text === 'noon') {
    return read(
      start + 1,
      { kind: 'step', unit: 'day', count: 1 },
      { kind: 'clock', times: [{ hour: text === 'noon' ? 12 : 0, minute: 0 }] },
    )
  }
  const inMonth = ordinalInMonth(atoms, start, true)
  if (inMonth) return inMonth
  const month = monthOf(text)
  // Short names of months are other words too ("mar", "dec"); "may" and "march" are not after "every".
  if (month !== undefined && text.length > 2) {
    const day = ordinalOf(textAt(atoms, start + 1)) ?? dayNumber(textAt(atoms, start + 1))
    return day === undefined
      ? read(start + 1, { kind: 'month', month })
      : read(start + 2, { kind: 'month', month }, { kind: 'monthdays', days: [day], isRecurrent: true })
  }
  return countedAt(atoms, start)
}

function dayNumber(text: string): number | undefined {
  return /^\d{1,2}$/.test(text) ? Number(text) : undefined
}

/** "15 minutes", "other day", "third hour", "half hour", "hour". */
function countedAt(atoms: Atom[], at: number): Reading | undefined {
  const text = textAt(atoms, at)
  const glued = /^(-?\d{1,6})(\p{L}+)$/u.exec(text)
  const gluedUnit = glued ? unitOf(glued[2] as string) : undefined
  if (glued && gluedUnit) return stepOf(gluedUnit, Number(glued[1]), at + 1)
  if (text === 'half' || text === 'quarter') {
    const unitAt = at + (/^(?:an|of)$/.test(textAt(atoms, at + 1)) ? (textAt(atoms, at + 2) === 'an' ? 3 : 2) : 1)
    if (unitOf(textAt(atoms, unitAt)) === 'hour') return stepOf('minute', text === 'half' ? 30 : 15, unitAt + 1)
    return text === 'quarter' ? stepOf('quarter', 1, at + 1) : undefined
  }
  if (/^(?:few|couple|several|some)$/.test(text) && unitOf(textAt(atoms, at + (textAt(atoms, at + 1) === 'of' ? 2 : 1)))) {
    return problem(at + 2, `"every ${text}" is no number: say how many, such as "every 5 minutes".`)
  }
  const alone = unitOf(text)
  if (alone && text.length > 1 && !text.endsWith('s')) return stepOf(alone, 1, at + 1)
  const count = text === 'other' ? 2 : (numberOf(text) ?? ordinalOf(text))
  const unit = unitOf(textAt(atoms, at + 1))
  if (count !== undefined && unit) return stepOf(unit, count, at + 2)
  // "every other Monday": no cron expression has every second week.
  const other = count === 2 ? weekdayList(atoms, at + 1) : undefined
  return other ? problem(other.next, 'Every other week is no cron expression; the nearest is every week.') : undefined
}

function stepOf(unit: Unit, count: number, next: number): Reading {
  return read(next, { kind: 'step', unit, count })
}

/** "weekday", "weekends", "Monday and Thursday", "Mon-Fri", "Monday to Friday". */
export function weekdayList(atoms: Atom[], at: number): { days: number[]; next: number; isPlural: boolean } | undefined {
  const group = weekdayGroup(atoms, at)
  if (group) return group
  const first = weekdayOf(textAt(atoms, at))
  if (!first) {
    const range = /^(\p{L}{3,9})-(\p{L}{3,9})$/u.exec(textAt(atoms, at))
    const [from, to] = [weekdayOf(range?.[1] ?? ''), weekdayOf(range?.[2] ?? '')]
    return from && to ? { days: span(from.day, to.day), next: at + 1, isPlural: true } : undefined
  }
  const days = [first.day]
  let isPlural = first.isPlural
  let next = at + 1
  for (;;) {
    const separator = textAt(atoms, next)
    if (/^(?:to|through|thru|until|till|-|–)$/.test(separator) && days.length === 1) {
      const last = weekdayOf(textAt(atoms, next + 1))
      return last ? { days: span(first.day, last.day), next: next + 2, isPlural: true } : { days, next, isPlural }
    }
    let from = next
    while (/^(?:,|and|&|or|on|every|each)$/.test(textAt(atoms, from))) from++
    const more = from > next ? weekdayOf(textAt(atoms, from)) : undefined
    if (!more) return { days: [...new Set(days)].sort(), next, isPlural }
    days.push(more.day)
    isPlural ||= more.isPlural
    next = from + 1
  }
}

function weekdayGroup(atoms: Atom[], at: number): { days: number[]; next: number; isPlural: boolean } | undefined {
  const text = textAt(atoms, at)
  const isPlural = text.endsWith('s')
  if (/^(?:weekdays?|workdays?)$/.test(text)) return { days: weekdays, next: at + 1, isPlural }
  if (/^weekends?$/.test(text)) return { days: weekend, next: at + 1, isPlural }
  if (/^(?:working|business|work|week)$/.test(text) && /^days?$/.test(textAt(atoms, at + 1))) {
    return { days: weekdays, next: at + 2, isPlural: textAt(atoms, at + 1).endsWith('s') }
  }
  return undefined
}

function span(from: number, to: number): number[] {
  const length = ((to - from + 7) % 7) + 1
  return Array.from({ length }, (_, index) => (from + index) % 7).sort()
}

/** "twice a day", "3 times per hour", "once a week". */
function timesPer(atoms: Atom[], at: number): Reading | undefined {
  const text = textAt(atoms, at)
  const isTimes = textAt(atoms, at + 1) === 'times'
  const count = text === 'once' ? 1 : text === 'twice' ? 2 : text === 'thrice' ? 3 : isTimes ? numberOf(text) : undefined
  if (count === undefined) return undefined
  const per = at + (isTimes ? 2 : 1)
  if (!/^(?:a|an|per|each|every)$/.test(textAt(atoms, per))) return undefined
  const unit = unitOf(textAt(atoms, per + 1))
  if (!unit) return undefined
  const next = per + 2
  if (count === 1) return stepOf(unit, 1, next)
  const size = unit === 'day' ? 24 : unit === 'hour' ? 60 : unit === 'year' ? 12 : undefined
  if (size !== undefined && Number.isInteger(count) && count > 0 && size % count === 0) {
    return stepOf(unit === 'day' ? 'hour' : unit === 'hour' ? 'minute' : 'month', size / count, next)
  }
  const shown = `${count === 2 ? 'twice' : `${count} times`} a ${unit}`
  return problem(
    next,
    `"${shown}" does not say when: name the times, such as "every day at 9:00 and 17:00" or "every Monday and Thursday".`,
  )
}

/** "on the first of each month", "the 1st and 15th of every month", "on the last Friday of the month", "on the 15th". */
function monthDayAt(atoms: Atom[], at: number): Reading | undefined {
  const hasOn = textAt(atoms, at) === 'on'
  const start = hasOn ? at + 1 : at
  return textAt(atoms, start) === 'the'
    ? ordinalInMonth(atoms, start + 1, false, hasOn)
    : hasOn
      ? ordinalInMonth(atoms, start, false, true)
      : undefined
}

function ordinalInMonth(atoms: Atom[], at: number, isEvery: boolean, hasOn = false): Reading | undefined {
  const days: (number | 'L')[] = []
  let next = at
  const isLast = textAt(atoms, at) === 'last'
  for (;;) {
    const day = isLast ? 'L' : ordinalOf(textAt(atoms, next))
    if (day === undefined) break
    days.push(day)
    next++
    let from = next
    while (/^(?:,|and|&|the)$/.test(textAt(atoms, from))) from++
    if (isLast || from === next || ordinalOf(textAt(atoms, from)) === undefined) break
    next = from
  }
  if (days.length === 0) return undefined
  const weekday = weekdayOf(textAt(atoms, next))
  const isGroup = weekdayGroup(atoms, next)
  if (textAt(atoms, next) === 'day') next++
  else if (isGroup && ofMonth(atoms, isGroup.next)) {
    return problem(
      isGroup.next + 3,
      `"${isLast ? 'last' : 'first'} working day of the month" is no cron expression; the nearest is "on the ${isLast ? 'last' : 'first'} day of each month".`,
    )
  } else if (weekday) {
    const end = ofMonth(atoms, next + 1)
    const nth = isLast ? -1 : (days[0] as number)
    if (!end || days.length > 1 || nth > 5) return undefined
    return read(end, { kind: 'weekdays', days: [weekday.day], nth, isRecurrent: true })
  }
  const end = ofMonth(atoms, next)
  if (end) return invalidDay(days, end) ?? read(end, { kind: 'monthdays', days, isRecurrent: true })
  // "on the 31st of February" is a date; "on the 15th" the next one.
  if (monthOf(textAt(atoms, textAt(atoms, next) === 'of' ? next + 1 : next)) || isLast || isEvery || !hasOn) return undefined
  const isNumeric = /^\d/.test(textAt(atoms, next - 1))
  return isNumeric ? (invalidDay(days, next) ?? read(next, { kind: 'monthdays', days, isRecurrent: false })) : undefined
}

function invalidDay(days: (number | 'L')[], next: number): Reading | undefined {
  const wrong = days.find((day) => day !== 'L' && (day < 1 || day > 31))
  return wrong === undefined ? undefined : problem(next, `No month has a day ${wrong}.`)
}

/** Behind "of each month", "every month", "of the month", "in a month"; nothing when it is not there. */
function ofMonth(atoms: Atom[], at: number): number | undefined {
  const from = /^(?:of|in)$/.test(textAt(atoms, at)) ? at + 1 : at
  const article = textAt(atoms, from)
  if (/^(?:each|every|the|a|any)$/.test(article) && textAt(atoms, from + 1) === 'month') {
    return from > at || /^(?:each|every)$/.test(article) ? from + 2 : undefined
  }
  return from > at && /^months?$/.test(article) ? from + 1 : undefined
}
