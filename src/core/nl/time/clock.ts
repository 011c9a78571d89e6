/** Times of day: "9am", "9:15 pm", "18:30", "noon", "half past nine", and lists of them. */
import { type Atom, numberOf, textAt } from './atoms.ts'
import { type ClockTime, type Piece, problem, type Reading, read } from './pieces.ts'

interface Clock {
  time: ClockTime
  next: number
  /** A plain "9": an hour only where a time has to follow. */
  isBare: boolean
}

type ClockOrProblem = Clock | { message: string; next: number }

const named: Record<string, ClockTime> = {
  noon: { hour: 12, minute: 0 },
  midday: { hour: 12, minute: 0 },
  midnight: { hour: 0, minute: 0 },
}

/** Parts of the day without a time of their own. */
export const partsOfDay: Record<string, ClockTime> = {
  morning: { hour: 9, minute: 0 },
  afternoon: { hour: 15, minute: 0 },
  evening: { hour: 18, minute: 0 },
  night: { hour: 20, minute: 0 },
}

/** One time. `hasPreposition`: after "at" or the like a plain hour is a time. */
export function clockAt(atoms: Atom[], at: number): ClockOrProblem | undefined {
  const text = textAt(atoms, at)
  if (Object.hasOwn(named, text)) return { time: named[text] as ClockTime, next: at + 1, isBare: false }
  const past = pastHour(atoms, at)
  if (past) return past
  const match = /^(\d{1,2})(?:[:.h](\d{2}))?(?::00)?(am|pm|a\.m|p\.m|h)?$/.exec(text)
  const word = match ? undefined : numberOf(text)
  if (!match && (word === undefined || word < 1 || word > 12 || /\d/.test(text))) return undefined
  const hour = match ? Number(match[1]) : (word as number)
  const minute = Number(match?.[2] ?? 0)
  const hasMinutes = match?.[2] !== undefined
  let half = match?.[3]?.startsWith('a') ? 'am' : match?.[3]?.startsWith('p') ? 'pm' : undefined
  let next = at + 1
  const following = textAt(atoms, next)
  if (!half && /^(?:am|pm|a\.m|p\.m)$/.test(following)) {
    half = following.startsWith('a') ? 'am' : 'pm'
    next++
  }
  let isBare = !half && !hasMinutes && match?.[3] === undefined
  if (isBare && /^o'?clock$/.test(following)) {
    isBare = false
    next++
  }
  const part = !half && textAt(atoms, next) === 'in' && textAt(atoms, next + 1) === 'the' ? textAt(atoms, next + 2) : ''
  if (part === 'morning' || part === 'afternoon' || part === 'evening') {
    half = part === 'morning' || hour > 12 ? undefined : 'pm'
    isBare = false
    next += 3
  } else if (!half && textAt(atoms, next) === 'at' && textAt(atoms, next + 1) === 'night') {
    half = hour > 12 || hour < 5 ? undefined : hour === 12 ? 'am' : 'pm'
    isBare = false
    next += 2
  }
  const shown = atoms
    .slice(at, next)
    .map((atom) => atom.raw)
    .join(' ')
  if (half && (hour < 1 || hour > 12))
    return { message: `"${shown}" is no time of day: before am and pm the hour is 1 to 12.`, next }
  if (hour > 23 || minute > 59) {
    return isBare ? undefined : { message: `"${shown}" is no time of day: the hour is 0 to 23, the minute 0 to 59.`, next }
  }
  const full = half === 'am' ? hour % 12 : half === 'pm' ? (hour % 12) + 12 : hour
  return { time: { hour: full, minute }, next, isBare }
}

/** "half past nine", "quarter to 5", "10 past 9". */
function pastHour(atoms: Atom[], at: number): ClockOrProblem | undefined {
  const start = textAt(atoms, at) === 'a' ? at + 1 : at
  const first = textAt(atoms, start)
  const minutes = first === 'half' ? 30 : first === 'quarter' ? 15 : numberOf(first)
  const direction = textAt(atoms, start + 1)
  if (minutes === undefined || minutes < 1 || minutes > 59 || !(direction === 'past' || direction === 'to')) return undefined
  // "9 to 5" is a span.
  if (direction === 'to' && first !== 'quarter') return undefined
  const base = clockAt(atoms, start + 2)
  if (!base || 'message' in base || base.time.minute !== 0) return undefined
  const total = base.time.hour * 60 + (direction === 'past' ? minutes : -minutes) + 1_440
  return { time: { hour: Math.floor(total / 60) % 24, minute: total % 60 }, next: base.next, isBare: false }
}

/** Several times: "9am, 12pm and 5pm". `allowBare`: the first may be a plain hour. */
export function clockList(atoms: Atom[], at: number, allowBare: boolean): (Reading & { endsBare: boolean }) | undefined {
  const first = clockAt(atoms, at)
  if (!first) return undefined
  if ('message' in first) return { ...problem(first.next, first.message), endsBare: false }
  if (first.isBare && (!allowBare || atoms[at]?.isValue)) return undefined
  const clocks = [first]
  let next = first.next
  for (;;) {
    let from = next
    while (/^(?:,|and|&)$/.test(textAt(atoms, from))) from++
    if (from === next) break
    if (textAt(atoms, from) === 'at') from++
    const more = clockAt(atoms, from)
    if (!more || 'message' in more || (more.isBare && !first.isBare)) break
    clocks.push(more)
    next = more.next
  }
  // "at 9 and 5pm": a plain hour beside one with am or pm.
  const piece: Piece = { kind: 'clock', times: clocks.map(({ time }) => time) }
  return { ...read(next, piece), endsBare: clocks.at(-1)?.isBare ?? false }
}
