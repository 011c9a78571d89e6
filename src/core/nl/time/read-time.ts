/** Finds the time phrases of a sentence. A phrase is a time only if the grammar reads all of it; other words stay in the sentence. */
import type { Token } from '../tokens.ts'
import { type Atom, atomsOf, textAt } from './atoms.ts'
import { recurrenceAt } from './every.ts'
import { singleAt } from './once.ts'
import type { Piece, Reading } from './pieces.ts'
import { zoneAt } from './zone.ts'

export interface TimePhrase {
  pieces: Piece[]
  /** Tokens it is made of. */
  tokens: number[]
  adjective?: string
  /** An adjective with another word behind it: "daily digest" may be a thing and no time. */
  isLoose: boolean
}

interface Found extends Reading {
  from: number
}

export function readTime(tokens: Token[], isFree: (token: number) => boolean = () => true): TimePhrase[] {
  const atoms = atomsOf(tokens, isFree)
  const phrases = withNeighbours(atoms, readAll(atoms))
  const hasRhythm = phrases.some(({ pieces }) => pieces.some((piece) => piece.kind === 'step'))
  // "rows between 9 and 17" are no hours.
  const meant = phrases.filter(({ pieces }) => hasRhythm || pieces[0]?.kind !== 'window')
  return meant.map((found) => ({
    pieces: found.pieces,
    tokens: [...new Set(atoms.slice(found.from, found.next).map(({ token }) => token))],
    ...(found.adjective ? { adjective: found.adjective } : {}),
    isLoose: found.adjective !== undefined && isModifier(atoms, found.next),
  }))
}

function readAll(atoms: Atom[]): Found[] {
  const found: Found[] = []
  for (let at = 0; at < atoms.length; ) {
    const reading = isTokenStart(atoms, at) ? readingAt(atoms, at, found.at(-1)) : undefined
    if (!reading) {
      at++
      continue
    }
    found.push({ ...reading, from: at })
    at = reading.next
  }
  return found
}

function readingAt(atoms: Atom[], at: number, before: Found | undefined): Reading | undefined {
  const atom = atoms[at]
  if (!atom || atom.isMark) return undefined
  // A phrase begins with a word of the sentence: values by themselves are data.
  const reading = atom.isValue && !isTouching(atoms, before, at) ? undefined : (recurrenceAt(atoms, at) ?? singleAt(atoms, at))
  const zone = reading ? undefined : isTouching(atoms, before, at) ? zoneAt(atoms, at) : undefined
  const result = reading ?? zone
  return result && isWhole(atoms, result.next) ? result : undefined
}

/** A value is read whole or not at all. */
function isWhole(atoms: Atom[], next: number): boolean {
  return atoms[next]?.token !== atoms[next - 1]?.token
}

function isTokenStart(atoms: Atom[], at: number): boolean {
  return at === 0 || atoms[at - 1]?.token !== atoms[at]?.token
}

function isTouching(atoms: Atom[], before: Found | undefined, at: number): boolean {
  return before !== undefined && isJoint(atoms, before.next, at)
}

/** Only commas, "and" and brackets' remains between two places. */
function isJoint(atoms: Atom[], from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (!/^(?:,|and|–|-|:|starting)$/.test(textAt(atoms, at))) return false
  return true
}

/** Drops what is a time only beside another one and stands alone. */
function withNeighbours(atoms: Atom[], found: Found[]): Found[] {
  const isBeside = (one: Found, other: Found | undefined): boolean =>
    other !== undefined && (other.from > one.from ? isJoint(atoms, one.next, other.from) : isJoint(atoms, other.next, one.from))
  const held = new Set(found.filter(({ needsNeighbour }) => !needsNeighbour))
  // A chain hangs on its first firm phrase: forwards, then backwards.
  found.forEach((one, index) => {
    const before = found[index - 1]
    if (before && held.has(before) && isBeside(one, before)) held.add(one)
  })
  for (let index = found.length - 1; index >= 0; index--) {
    const [one, after] = [found[index] as Found, found[index + 1]]
    if (after && held.has(after) && isBeside(one, after)) held.add(one)
  }
  // "Monday at 9": both lean on each other, and the second has its preposition or its own form.
  found.forEach((one, index) => {
    const after = found[index + 1]
    if (after && !held.has(one) && !held.has(after) && isBeside(one, after) && isPair(one, after)) held.add(one).add(after)
  })
  return found.filter((one) => held.has(one) || (one.needsNeighbour && isAlone(atoms, one)))
}

function isPair(one: Found, other: Found): boolean {
  const kinds = [one, other].map(({ pieces }) => pieces[0]?.kind)
  return kinds.includes('clock') && kinds.some((kind) => kind === 'weekdays' || kind === 'date' || kind === 'zone')
}

/** Set apart by a comma at the sentence's start: "Monday, run the cleanup", "9am: run the cleanup". */
function isAlone(atoms: Atom[], { from, next, pieces }: Found): boolean {
  const first = pieces[0]?.kind
  return from === 0 && atoms[next]?.isMark === true && (first === 'weekdays' || first === 'clock' || first === 'date')
}

const prepositions = new Set('at on in for to with from by of and then via into as between until using , : ; .'.split(' '))

function isModifier(atoms: Atom[], next: number): boolean {
  const atom = atoms[next]
  return atom !== undefined && !atom.isMark && !atom.isValue && !prepositions.has(atom.text)
}
