/** Splits a sentence into the event it waits for and what is to be done. */
import { type EventReading, readEvent } from './event.ts'
import { verbs } from './lexicon.ts'
import { numberOf, unitOf } from './time/atoms.ts'
import type { Token } from './tokens.ts'

export interface Split {
  action: Token[]
  event?: EventReading
  clause?: Token[]
}

/** How well the rest of the sentence matches a task: decides where a clause without a comma ends. */
export type Judge = (action: Token[]) => number

const TRIES_AT_MOST = 6
/** Also lead to a time or a thing: a clause only if it says what happens. */
const weak = new Set(['after', 'upon', 'on', 'following'])
const courtesy = new Set(['please', 'and', 'then', 'just', 'ok', 'hey', 'so', 'also'])

export function splitEvent(tokens: Token[], judge: Judge): Split {
  for (let at = 0; at < tokens.length; at++) {
    const connector = connectorAt(tokens, at)
    if (!connector) continue
    const rest = tokens.slice(at + connector.length)
    const before = tokens.slice(0, at)
    const isFirst = before.every((token) => token.kind === 'mark' || (token.kind === 'word' && courtesy.has(token.text)))
    const split = isFirst ? clauseFirst(rest, judge) : { action: before, clause: trimmed(rest) }
    const event = split.clause.length > 0 ? readEvent(split.clause) : { problem: `"${connector.text}" is followed by no event.` }
    if (connector.isWeak && ('problem' in event || !isNamedOrVerb(split.clause))) continue
    return { ...split, event }
  }
  return { action: tokens }
}

function isNamedOrVerb(clause: Token[]): boolean {
  return clause.some(
    (token) =>
      token.kind === 'word' &&
      (/^[a-z][\w-]*(?:\.[\w-]+)+$/i.test(token.raw) ||
        /^(?:is|are|was|were|has|have)$/.test(token.text) ||
        /(?:[^s]s|ed)$/.test(token.text)),
  )
}

function connectorAt(tokens: Token[], at: number): { length: number; isWeak: boolean; text: string } | undefined {
  const text = wordAt(tokens, at)
  const found = (length: number, isWeak = false): { length: number; isWeak: boolean; text: string } => ({ length, isWeak, text })
  if (/^(?:when|whenever|if)$/.test(text)) return found(wordAt(tokens, at + 1) === 'ever' ? 2 : 1)
  // "once a day" is a rhythm, and "run it once" says how often.
  if (text === 'once')
    return at + 1 < tokens.length &&
      !/^(?:|a|an|per|every|each|more|again|only)$/.test(wordAt(tokens, at + 1) || valueMark(tokens[at + 1]))
      ? found(1)
      : undefined
  if (text === 'as' && wordAt(tokens, at + 1) === 'soon' && wordAt(tokens, at + 2) === 'as') {
    return wordAt(tokens, at + 3) === 'possible' ? undefined : found(3)
  }
  if (/^(?:every|each|any)$/.test(text) && wordAt(tokens, at + 1) === 'time')
    return found(wordAt(tokens, at + 2) === 'that' ? 3 : 2)
  if (text === 'anytime') return found(1)
  if (text === 'on' || text === 'upon')
    return /\w[.:]\w/.test(wordAt(tokens, at + 1)) && !/^\d/.test(wordAt(tokens, at + 1)) ? found(1, true) : undefined
  return weak.has(text) && !startsDelay(tokens, at + 1) ? found(1, true) : undefined
}

/** "after 10 minutes" is no event. */
function startsDelay(tokens: Token[], at: number): boolean {
  return (
    [at + 1, at + 2, at + 3].some((place) => unitOf(wordAt(tokens, place)) !== undefined) &&
    (tokens[at]?.kind === 'value' || /^(?:an?|half)$/.test(wordAt(tokens, at)) || numberOf(wordAt(tokens, at)) !== undefined)
  )
}

function valueMark(token: Token | undefined): string {
  return token?.kind === 'value' ? 'value' : ''
}

function wordAt(tokens: Token[], at: number): string {
  const token = tokens[at]
  return token?.kind === 'word' ? token.text : ''
}

/** The clause ends at the comma or "then"; without one, where a verb begins an action that fits best. */
function clauseFirst(rest: Token[], judge: Judge): { action: Token[]; clause: Token[] } {
  const end = rest.findIndex(
    (token) => (token.kind === 'mark' && /[,;:→]/.test(token.text)) || (token.kind === 'word' && token.text === 'then'),
  )
  if (end >= 0) return { clause: rest.slice(0, end), action: rest.slice(end + 1) }
  let best = { at: rest.length, score: 0 }
  let tries = 0
  for (let at = 1; at < rest.length && tries < TRIES_AT_MOST; at++) {
    const token = rest[at]
    if (token?.kind !== 'word' || /(?:[^s]s|ed|ing)$/.test(token.text) || !token.stems.some((one) => verbs.has(one))) continue
    if ('problem' in readEvent(rest.slice(0, at))) continue
    tries++
    const score = judge(rest.slice(at))
    if (score > best.score) best = { at, score }
  }
  return { clause: rest.slice(0, best.at), action: rest.slice(best.at) }
}

/** Without marks at its end. */
function trimmed(tokens: Token[]): Token[] {
  const end = tokens.findLastIndex((token) => token.kind !== 'mark')
  return tokens.slice(0, end + 1)
}
