/** Phrases of one instant, and those that go with either: "in 10 minutes", "tomorrow", "on 24 December", "at 9am", "between 9 and 17". */
import { type Atom, monthOf, numberOf, ordinalOf, textAt, type Unit, unitOf } from './atoms.ts'
import { clockAt, clockList, partsOfDay } from './clock.ts'
import { weekdayList } from './every.ts'
import { type ClockTime, type Piece, problem, type Reading, read } from './pieces.ts'

const MINUTE_MS = 60_000

export function singleAt(atoms: Atom[], at: number): Reading | undefined {
  return (
    instantAt(atoms, at) ??
    dateAt(atoms, at) ??
    dayAt(atoms, at) ??
    delayAt(atoms, at) ??
    windowAt(atoms, at) ??
    timeOfDayAt(atoms, at)
  )
}

/** "2026-12-24T08:00:00Z", "2026-12-24", "24.12.2026". */
function instantAt(atoms: Atom[], at: number): Reading | undefined {
  const start = /^(?:at|on)$/.test(textAt(atoms, at)) ? at + 1 : at
  const text = textAt(atoms, start)
  const iso = /^(\d{4})-(\d{2})-(\d{2})(?:t(\d{2}):(\d{2})(?::(\d{2})(?:\.\d{1,9})?)?(z|[+-]\d{2}:?\d{2})?)?$/.exec(text)
  const german = /^(\d{1,2})\.(\d{1,2})\.(\d{4})$/.exec(text)
  if (!iso && !german) return undefined
  const [year, month, day] = (iso ? [iso[1], iso[2], iso[3]] : [german?.[3], german?.[2], german?.[1]]).map(Number) as [
    number,
    number,
    number,
  ]
  // A bare value or date is data, not a time, unless a preposition or another time says so.
  const needsNeighbour = start === at
  if (!isDay(year, month, day)) return { ...problem(start + 1, `There is no ${text}.`), needsNeighbour }
  if (!iso?.[4]) return { ...read(start + 1, { kind: 'date', year, month, day }), needsNeighbour }
  const [hour, minute, second] = [iso[4], iso[5], iso[6] ?? '0'].map(Number) as [number, number, number]
  if (hour > 23 || minute > 59 || second > 59) return { ...problem(start + 1, `There is no ${text}.`), needsNeighbour }
  const wall = Date.UTC(year, month - 1, day, hour, minute, second)
  const zone = iso[7]
  if (!zone) return { ...read(start + 1, { kind: 'wall', wall }), needsNeighbour }
  const offset = zone === 'z' ? 0 : (zone.startsWith('-') ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2)))
  return { ...read(start + 1, { kind: 'instant', at: wall - offset * MINUTE_MS }), needsNeighbour }
}

export function isDay(year: number, month: number, day: number): boolean {
  return month >= 1 && month <= 12 && day >= 1 && day <= daysIn(month, year)
}

export function daysIn(month: number, year: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate()
}

/** "on 24 December", "on December 24th, 2026", "the 24th of December". */
function dateAt(atoms: Atom[], at: number): Reading | undefined {
  const hasOn = textAt(atoms, at) === 'on'
  let next = hasOn ? at + 1 : at
  if (textAt(atoms, next) === 'the') next++
  const dayText = (index: number): number | undefined =>
    ordinalOf(textAt(atoms, index)) ?? (/^\d{1,2}$/.test(textAt(atoms, index)) ? Number(textAt(atoms, index)) : undefined)
  let day = dayText(next)
  let month: number | undefined
  if (day !== undefined) {
    next++
    if (textAt(atoms, next) === 'of') next++
    month = monthOf(textAt(atoms, next++))
  } else {
    month = monthOf(textAt(atoms, next))
    if (textAt(atoms, ++next) === 'the') next++
    day = dayText(next++)
  }
  if (month === undefined || day === undefined) return undefined
  const yearAt = textAt(atoms, next) === ',' ? next + 1 : next
  const year = /^(?:19|20|21)\d{2}$/.test(textAt(atoms, yearAt)) ? Number(textAt(atoms, yearAt)) : undefined
  if (year !== undefined) next = yearAt + 1
  // 2024 stands for any leap year.
  if (!isDay(year ?? 2024, month, day)) {
    const shown = atoms
      .slice(at, next)
      .map(({ raw }) => raw)
      .join(' ')
    return problem(next, `"${shown}" is no day: the month has ${daysIn(month, year ?? 2024)} days.`)
  }
  return { ...read(next, { kind: 'date', month, day, ...(year === undefined ? {} : { year }) }), needsNeighbour: !hasOn }
}

/** "tomorrow morning", "tonight", "next Monday", "on Friday", "on weekdays", "next week", "now". */
function dayAt(atoms: Atom[], at: number): Reading | undefined {
  const text = textAt(atoms, at)
  const withPart = (piece: Piece, next: number): Reading => {
    const part = textAt(atoms, next)
    return Object.hasOwn(partsOfDay, part)
      ? read(next + 1, piece, { kind: 'clock', times: [partsOfDay[part] as ClockTime] })
      : read(next, piece)
  }
  if (text === 'today') return read(at + 1, { kind: 'in-days', count: 0 })
  if (text === 'tomorrow') return withPart({ kind: 'in-days', count: 1 }, at + 1)
  if (text === 'tonight')
    return read(at + 1, { kind: 'in-days', count: 0 }, { kind: 'clock', times: [partsOfDay.night as ClockTime], isTonight: true })
  if (text === 'this' && Object.hasOwn(partsOfDay, textAt(atoms, at + 1))) return withPart({ kind: 'in-days', count: 0 }, at + 1)
  if (
    text === 'the' &&
    textAt(atoms, at + 1) === 'day' &&
    textAt(atoms, at + 2) === 'after' &&
    textAt(atoms, at + 3) === 'tomorrow'
  ) {
    return withPart({ kind: 'in-days', count: 2 }, at + 4)
  }
  if (/^(?:now|immediately|asap|instantly)$/.test(text)) return read(at + 1, { kind: 'now' })
  if (text === 'as' && [1, 2, 3].map((offset) => textAt(atoms, at + offset)).join(' ') === 'soon as possible') {
    return read(at + 4, { kind: 'now' })
  }
  if (/^(?:right|straight)$/.test(text) && /^(?:now|away)$/.test(textAt(atoms, at + 1))) return read(at + 2, { kind: 'now' })
  const start = text === 'on' ? at + 1 : at
  const word = textAt(atoms, start)
  if (word === 'next') {
    const unit = unitOf(textAt(atoms, start + 1))
    if (unit === 'week' || unit === 'month' || unit === 'year') return read(start + 2, { kind: 'next', unit })
    const day = weekdayList(atoms, start + 1)
    return day?.days.length === 1 ? withPart({ kind: 'weekdays', days: day.days, isRecurrent: false }, day.next) : undefined
  }
  const isNamed = start > at || word === 'this' || word === 'coming'
  const listAt = word === 'this' || word === 'coming' || word === 'the' ? start + 1 : start
  const list = weekdayList(atoms, listAt)
  if (!list) return undefined
  const isComing = word === 'this' || word === 'coming'
  if (isComing && list.days.length > 1)
    return textAt(atoms, listAt) === 'weekend' ? read(list.next, { kind: 'weekdays', days: [6], isRecurrent: false }) : undefined
  const isRecurrent = list.isPlural || list.days.length > 1
  const reading = withPart({ kind: 'weekdays', days: list.days, isRecurrent }, list.next)
  return isNamed ? reading : { ...reading, needsNeighbour: true }
}

/** "in 2 hours and 30 minutes", "after 10 minutes", "in half an hour", "10 minutes from now". */
function delayAt(atoms: Atom[], at: number): Reading | undefined {
  const hasPreposition = /^(?:in|after)$/.test(textAt(atoms, at))
  const first = durationAt(atoms, hasPreposition ? at + 1 : at)
  if (!first) return undefined
  let { ms, months, next } = first
  for (;;) {
    let from = next
    while (/^(?:and|,)$/.test(textAt(atoms, from))) from++
    const more = durationAt(atoms, from)
    if (!more) break
    ms += more.ms
    months += more.months
    next = more.next
  }
  const isBehind = /^(?:later|hence)$/.test(textAt(atoms, next))
    ? 1
    : textAt(atoms, next) === 'from' && textAt(atoms, next + 1) === 'now'
      ? 2
      : 0
  if (!hasPreposition && isBehind === 0) return undefined
  if (textAt(atoms, at) === 'in' && /^(?:time)$/.test(textAt(atoms, next))) next++
  if (ms < 0 || months < 0) return problem(next, 'A delay cannot be negative.')
  return read(next + isBehind, { kind: 'delay', ms, months })
}

const unitMs: Partial<Record<Unit, number>> = {
  second: 1_000,
  minute: MINUTE_MS,
  hour: 3_600_000,
  day: 86_400_000,
  week: 604_800_000,
}
const unitMonths: Partial<Record<Unit, number>> = { month: 1, quarter: 3, year: 12 }

function durationAt(atoms: Atom[], at: number): { ms: number; months: number; next: number } | undefined {
  const text = textAt(atoms, at)
  const sized = (count: number, unit: Unit, next: number): { ms: number; months: number; next: number } | undefined => {
    const months = (unitMonths[unit] ?? 0) * count
    if (Math.abs(count) > 1e6 || !Number.isInteger(months)) return undefined
    return { ms: Math.round((unitMs[unit] ?? 0) * count), months, next }
  }
  const glued = /^(-?\d{1,6}(?:\.\d{1,3})?)(\p{L}+)$/u.exec(text)
  const gluedUnit = glued ? unitOf(glued[2] as string) : undefined
  if (glued && gluedUnit) return sized(Number(glued[1]), gluedUnit, at + 1)
  if (text === 'half' && /^(?:an|a)$/.test(textAt(atoms, at + 1))) {
    const unit = unitOf(textAt(atoms, at + 2))
    return unit && unitMs[unit] ? sized(0.5, unit, at + 3) : undefined
  }
  const isArticle = text === 'a' || text === 'an'
  if (isArticle && textAt(atoms, at + 1) === 'couple' && textAt(atoms, at + 2) === 'of') {
    const unit = unitOf(textAt(atoms, at + 3))
    return unit ? sized(2, unit, at + 4) : undefined
  }
  const count = isArticle ? 1 : numberOf(text)
  const unit = unitOf(textAt(atoms, at + 1))
  return count !== undefined && unit ? sized(count, unit, at + 2) : undefined
}

/** "between 9 and 17", "from 9am to 5pm", "during business hours". Only beside a recurrence. */
function windowAt(atoms: Atom[], at: number): Reading | undefined {
  const text = textAt(atoms, at)
  if (
    (text === 'during' || text === 'in') &&
    /^(?:business|working|office|work)$/.test(textAt(atoms, at + 1)) &&
    textAt(atoms, at + 2) === 'hours'
  ) {
    const hours: Piece = { kind: 'window', from: { hour: 9, minute: 0 }, to: { hour: 17, minute: 0 } }
    return read(at + 3, hours, { kind: 'weekdays', days: [1, 2, 3, 4, 5], isRecurrent: true })
  }
  if (text !== 'between' && text !== 'from') return undefined
  const start = clockAt(atoms, at + 1)
  if (!start || 'message' in start) return start && problem(start.next, start.message)
  const separator = textAt(atoms, start.next)
  if (!(text === 'between' ? /^(?:and|to|-|–)$/ : /^(?:to|until|till|through|-|–)$/).test(separator)) return undefined
  const end = clockAt(atoms, start.next + 1)
  if (!end || 'message' in end) return end && problem(end.next, end.message)
  // "between 9 and 5pm" begins in the morning, "between 1 and 5pm" after noon.
  const isShared =
    start.isBare && !end.isBare && end.time.hour > 12 && start.time.hour < 12 && start.time.hour + 12 < end.time.hour
  const from = isShared ? { ...start.time, hour: start.time.hour + 12 } : start.time
  return read(end.next, { kind: 'window', from, to: end.time })
}

/** "at 9am", "at 9 and 17", "in the morning"; without "at" only beside another time. */
function timeOfDayAt(atoms: Atom[], at: number): Reading | undefined {
  const text = textAt(atoms, at)
  if (text === 'in' && textAt(atoms, at + 1) === 'the' && /^(?:morning|afternoon|evening)$/.test(textAt(atoms, at + 2))) {
    return { ...read(at + 3, { kind: 'clock', times: [partsOfDay[textAt(atoms, at + 2)] as ClockTime] }), needsNeighbour: true }
  }
  const hasAt = /^(?:at|@|by)$/.test(text)
  if (text === 'by') return undefined
  // "schedule it for 9am"; "for 9" is a number.
  if (text === 'for') return clockList(atoms, at + 1, false)
  if (hasAt && /^(?:minute|:\d\d)$/.test(textAt(atoms, at + 1))) {
    const minute = numberOf(textAt(atoms, at + (textAt(atoms, at + 1) === 'minute' ? 2 : 1)).replace(':', ''))
    if (minute !== undefined && minute < 60)
      return { ...read(at + (textAt(atoms, at + 1) === 'minute' ? 3 : 2), { kind: 'minute', minute }), needsNeighbour: true }
  }
  const start = hasAt ? (/^(?:exactly|around|about)$/.test(textAt(atoms, at + 1)) ? at + 2 : at + 1) : at
  const list = clockList(atoms, start, hasAt)
  if (!list) return undefined
  // A plain hour counts only where the phrase ends or another time follows: "at 9 places" is none.
  if (!hasAt || (list.endsBare && !isEnd(atoms, list.next))) return { ...list, needsNeighbour: true }
  return list
}

function isEnd(atoms: Atom[], at: number): boolean {
  const atom = atoms[at]
  return !atom || atom.isMark || atom.text === 'and' || atom.text === 'then'
}
