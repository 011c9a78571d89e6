/** Time zones as people name them: IANA names, "UTC", "Berlin time", usual abbreviations. */
import { validateTimezone } from '../../schedule/next-tick.ts'
import { type Atom, textAt } from './atoms.ts'
import { problem, type Reading, read } from './pieces.ts'

/** An abbreviation means the clock of the place, in summer and winter: "9am EST" in July is nine in New York. */
const abbreviations: Record<string, string> = {
  est: 'America/New_York',
  edt: 'America/New_York',
  et: 'America/New_York',
  cst: 'America/Chicago',
  cdt: 'America/Chicago',
  mst: 'America/Denver',
  mdt: 'America/Denver',
  pst: 'America/Los_Angeles',
  pdt: 'America/Los_Angeles',
  pt: 'America/Los_Angeles',
  cet: 'Europe/Berlin',
  cest: 'Europe/Berlin',
  bst: 'Europe/London',
  wet: 'Europe/Lisbon',
  eet: 'Europe/Helsinki',
  msk: 'Europe/Moscow',
  ist: 'Asia/Kolkata',
  jst: 'Asia/Tokyo',
  kst: 'Asia/Seoul',
  sgt: 'Asia/Singapore',
  aest: 'Australia/Sydney',
  aedt: 'Australia/Sydney',
}

/** Places whose zone is not called after them. */
const places: Record<string, string> = {
  eastern: 'America/New_York',
  central: 'America/Chicago',
  mountain: 'America/Denver',
  pacific: 'America/Los_Angeles',
  boston: 'America/New_York',
  miami: 'America/New_York',
  washington: 'America/New_York',
  'san francisco': 'America/Los_Angeles',
  seattle: 'America/Los_Angeles',
  california: 'America/Los_Angeles',
  dallas: 'America/Chicago',
  houston: 'America/Chicago',
  munich: 'Europe/Berlin',
  hamburg: 'Europe/Berlin',
  german: 'Europe/Berlin',
  uk: 'Europe/London',
  barcelona: 'Europe/Madrid',
  milan: 'Europe/Rome',
  geneva: 'Europe/Zurich',
  mumbai: 'Asia/Kolkata',
  delhi: 'Asia/Kolkata',
  india: 'Asia/Kolkata',
  bangalore: 'Asia/Kolkata',
  beijing: 'Asia/Shanghai',
  osaka: 'Asia/Tokyo',
  japan: 'Asia/Tokyo',
}
const regions = ['Europe', 'America', 'Asia', 'Australia', 'Africa', 'Pacific', 'Atlantic']

export function zoneAt(atoms: Atom[], at: number): Reading | undefined {
  const start = /^(?:in|at)$/.test(textAt(atoms, at)) ? at + 1 : at
  const from = textAt(atoms, start) === 'the' ? start + 1 : start
  const text = textAt(atoms, from)
  // "in UTC time", "UTC timezone".
  const behind = (next: number): number => {
    const last = /^time-?zone$/.test(textAt(atoms, next)) ? next + 1 : next
    return textAt(atoms, last) === 'time' ? (textAt(atoms, last + 1) === 'zone' ? last + 2 : last + 1) : last
  }
  const found = (next: number, zone: string, note?: string): Reading => ({
    ...read(behind(next), { kind: 'zone', zone, ...(note ? { note } : {}) }),
    needsNeighbour: true,
  })
  if (/^(?:utc|gmt|zulu|etc\/utc)$/.test(text)) {
    // "UTC+3" is a word of its own; "UTC + 3" would be read as UTC otherwise.
    return /^[+-]\d/.test(textAt(atoms, from + 1))
      ? offsetProblem(from + 2, text + textAt(atoms, from + 1))
      : found(from + 1, 'UTC')
  }
  if (/^(?:utc|gmt)[+-]\d{1,2}(?::\d\d)?$/.test(text)) return offsetProblem(from + 1, text)
  if (Object.hasOwn(abbreviations, text)) {
    const zone = abbreviations[text] as string
    return found(from + 1, zone, `${text.toUpperCase()} was read as the clock of ${zone}.`)
  }
  const raw = atoms[from]?.raw ?? ''
  if (/^[A-Za-z_]{2,20}\/[A-Za-z_+\-0-9/]{2,40}$/.test(raw)) {
    if (!validateTimezone(raw)) return found(from + 1, raw)
    return regions.some((region) => raw.toLowerCase().startsWith(`${region.toLowerCase()}/`))
      ? { ...problem(from + 1, `"${raw}" is no time zone. Use an IANA name such as Europe/Berlin.`), needsNeighbour: true }
      : undefined
  }
  return placeAt(atoms, at, from, found)
}

function offsetProblem(next: number, shown: string): Reading {
  return {
    ...problem(
      next,
      `"${shown.toUpperCase()}" names no place whose clock can be followed. Use UTC or an IANA name such as Europe/Berlin.`,
    ),
    needsNeighbour: true,
  }
}

/** "Berlin time", "New York time", "in London": at most three words. */
function placeAt(
  atoms: Atom[],
  at: number,
  from: number,
  found: (next: number, zone: string, note?: string) => Reading,
): Reading | undefined {
  const names = atoms
    .slice(from, from + 3)
    .map(({ isMark, isValue, raw }) => !isMark && !isValue && /^\p{L}[\p{L}'-]*$/u.test(raw))
  const isProper = (length: number): boolean => atoms.slice(from, from + length).every(({ raw }) => /^\p{Lu}/u.test(raw))
  for (let length = 1; length <= 3 && names[length - 1]; length++) {
    if (textAt(atoms, from + length) !== 'time') continue
    const zone = zoneOfPlace(atoms.slice(from, from + length))
    if (zone) return found(from + length, zone)
    const place = atoms
      .slice(from, from + length)
      .map(({ raw }) => raw)
      .join(' ')
    return isProper(length)
      ? {
          ...problem(from + length + 1, `No time zone is known for "${place}": use an IANA name such as Europe/Berlin.`),
          needsNeighbour: true,
        }
      : undefined
  }
  if (textAt(atoms, at) !== 'in') return undefined
  for (const length of [2, 1]) {
    if (!names.slice(0, length).every(Boolean) || names.length < length || !isProper(length)) continue
    const zone = zoneOfPlace(atoms.slice(from, from + length))
    if (zone) return found(from + length, zone, `The time was read as the clock of ${zone}.`)
  }
  return undefined
}

function zoneOfPlace(words: Atom[]): string | undefined {
  const place = words.map(({ text }) => text).join(' ')
  if (Object.hasOwn(places, place)) return places[place]
  const name = words.map(({ text }) => text.charAt(0).toUpperCase() + text.slice(1)).join('_')
  return regions.map((region) => `${region}/${name}`).find((one) => !validateTimezone(one))
}
