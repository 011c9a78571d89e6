/**
 * Glob patterns: `*` and `?` within a segment, `**` for any number of segments, `[abc]`, `[!a-z]`, `{ts,tsx}`. Segments that begin
 * with a dot are met by patterns that do, too, unless hidden ones are asked for. Matched without regular expressions, in time
 * linear in path times pattern, because patterns come from outside.
 */
import { fileLimits } from '../../contracts/files.ts'

export type Glob = (path: string) => boolean

type Piece = { any: true } | { one: true } | { chars: string } | { set: [string, string][]; negated: boolean }
type Segment = 'deep' | { pieces: Piece[]; dotted: boolean }

/** Why a pattern cannot be used, or how it matches a path that is relative to where the search begins. */
export function compileGlob(pattern: string, hidden = false): { match: Glob } | { refusal: string } {
  if (pattern === '') return { refusal: 'pattern is empty' }
  if (pattern.length > fileLimits.patternChars)
    return { refusal: `pattern is ${pattern.length} characters long; at most ${fileLimits.patternChars} are taken` }
  const alternatives = unfold(pattern)
  if (typeof alternatives === 'string') return { refusal: alternatives }
  const compiled = alternatives.map((alternative) =>
    alternative
      .split('/')
      .filter((segment) => segment !== '' && segment !== '.')
      .map(compileSegment),
  )
  return {
    match: (path) => {
      const segments = path.split('/').filter(Boolean)
      return compiled.some((parts) => matchSegments(parts, segments, hidden))
    },
  }
}

/** Braces first, as shells do: one pattern for each choice. */
function unfold(pattern: string): string[] | string {
  const most = fileLimits.patternAlternatives
  const done: string[] = []
  const open = [pattern]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const braces = firstBraces(next)
    if (!braces) done.push(next)
    else for (const choice of braces.choices) open.push(next.slice(0, braces.start) + choice + next.slice(braces.end))
    if (done.length + open.length > most) return `pattern unfolds to more than ${most} patterns`
  }
  return done
}

function firstBraces(pattern: string): { start: number; end: number; choices: string[] } | undefined {
  for (let start = pattern.indexOf('{'); start >= 0; start = pattern.indexOf('{', start + 1)) {
    const choices: string[] = []
    let depth = 0
    let from = start + 1
    for (let at = start; at < pattern.length; at++) {
      const char = pattern[at]
      if (char === '{') depth++
      else if (char === ',' && depth === 1) {
        choices.push(pattern.slice(from, at))
        from = at + 1
      } else if (char === '}' && --depth === 0) {
        choices.push(pattern.slice(from, at))
        // `{a}` is not a choice; shells keep it as it is.
        if (choices.length > 1) return { start, end: at + 1, choices }
        break
      }
    }
  }
  return undefined
}

function compileSegment(text: string): Segment {
  if (text === '**') return 'deep'
  const pieces: Piece[] = []
  for (let at = 0; at < text.length; ) {
    const char = String.fromCodePoint(text.codePointAt(at) as number)
    at += char.length
    if (char === '*') {
      if (!pieces.at(-1) || !('any' in (pieces.at(-1) as Piece))) pieces.push({ any: true })
    } else if (char === '?') pieces.push({ one: true })
    else if (char === '[') {
      const set = readSet(text, at)
      if (set) {
        pieces.push(set.piece)
        at = set.end
      } else pieces.push({ chars: char })
    } else pieces.push({ chars: char })
  }
  return { pieces, dotted: text.startsWith('.') }
}

function readSet(text: string, start: number): { piece: Piece; end: number } | undefined {
  const negated = text[start] === '!' || text[start] === '^'
  const from = negated ? start + 1 : start
  const end = text.indexOf(']', from + 1)
  if (end < 0) return undefined
  const chars = [...text.slice(from, end)]
  const set: [string, string][] = []
  for (let at = 0; at < chars.length; at++) {
    const first = chars[at] as string
    const isRange = chars[at + 1] === '-' && chars[at + 2] !== undefined
    set.push([first, isRange ? (chars[at + 2] as string) : first])
    if (isRange) at += 2
  }
  return { piece: { set, negated }, end: end + 1 }
}

/** Which of the pattern's places can be reached after each segment of the path. */
function matchSegments(parts: Segment[], segments: string[], hidden: boolean): boolean {
  let reached = closure(parts, new Set([0]))
  for (const segment of segments) {
    const next = new Set<number>()
    const chars = [...segment]
    for (const place of reached) {
      const part = parts[place]
      if (part === undefined) continue
      if (part === 'deep') {
        if (hidden || !segment.startsWith('.')) next.add(place)
      } else if ((hidden || part.dotted || !segment.startsWith('.')) && matchSegment(part.pieces, chars)) next.add(place + 1)
    }
    if (next.size === 0) return false
    reached = closure(parts, next)
  }
  return reached.has(parts.length)
}

/** `**` may stand for no segment at all. */
function closure(parts: Segment[], places: Set<number>): Set<number> {
  for (const place of places) if (parts[place] === 'deep') places.add(place + 1)
  return places
}

/** The last star takes one character more whenever what follows it fails: no earlier one ever has to. */
function matchSegment(pieces: Piece[], chars: string[]): boolean {
  let piece = 0
  let char = 0
  let star = -1
  let resume = 0
  while (char < chars.length) {
    const current = pieces[piece]
    if (current && 'any' in current) {
      star = piece++
      resume = char
    } else if (current && fits(current, chars[char] as string)) {
      piece++
      char++
    } else if (star >= 0) {
      piece = star + 1
      char = ++resume
    } else return false
  }
  while (pieces[piece] && 'any' in (pieces[piece] as Piece)) piece++
  return piece === pieces.length
}

function fits(piece: Piece, char: string): boolean {
  if ('one' in piece) return true
  if ('chars' in piece) return piece.chars === char
  if ('set' in piece) return piece.set.some(([from, to]) => from <= char && char <= to) !== piece.negated
  return false
}
