/**
 * Event clauses: "when payment fails" → `payment.failed`. The name is the noun the verb is about (the object if there is one) and
 * the verb in the past, joined by dots; "when order.created" names the event itself. Values and comparisons are the filter.
 */
import { prepositions, stopwords, verbs } from './lexicon.ts'
import type { EventFilter } from './sentence.ts'
import { singular, stem } from './stem.ts'
import type { Token, Value, Word } from './tokens.ts'
import { baseOfThird, isIrregularPast, pastOf } from './verb-forms.ts'

export type EventReading = { event: string; filter?: EventFilter } | { problem: string }

const auxiliaries = new Set([
  'is',
  'are',
  'was',
  'were',
  'be',
  'been',
  'being',
  'get',
  'gets',
  'got',
  'has',
  'have',
  'had',
  'will',
  'go',
  'goes',
  'become',
  'becomes',
  'turn',
  'turns',
])
const determiners = new Set('a an the this that their its his her my our your any some each every another new all'.split(' '))
const particles = new Set(['up', 'in', 'out', 'off', 'down', 'back', 'over', 'away'])
const comparisons: { words: string[]; as: 'gt' | 'gte' | 'lt' | 'lte' | 'eq' }[] = [
  { words: ['is', 'greater', 'than', 'or', 'equal', 'to'], as: 'gte' },
  { words: ['is', 'less', 'than', 'or', 'equal', 'to'], as: 'lte' },
  ...['greater', 'more', 'higher', 'larger', 'bigger'].map((word) => ({ words: [word, 'than'], as: 'gt' as const })),
  ...['less', 'lower', 'fewer', 'smaller'].map((word) => ({ words: [word, 'than'], as: 'lt' as const })),
  { words: ['at', 'least'], as: 'gte' },
  { words: ['at', 'most'], as: 'lte' },
  { words: ['equal', 'to'], as: 'eq' },
  ...['exceeds', 'exceed', 'exceeded', 'over', 'above'].map((word) => ({ words: [word], as: 'gt' as const })),
  { words: ['reaches'], as: 'gte' },
  ...['below', 'under'].map((word) => ({ words: [word], as: 'lt' as const })),
  ...['equals', 'is', 'becomes'].map((word) => ({ words: [word], as: 'eq' as const })),
]
/** Only lead to a comparison: "drops below 10", "goes over 5", "is above 3". */
const movements = new Set('drops falls goes rises is are gets sinks climbs was has have drop fall go rise'.split(' '))

const dotted = /^[a-z][\w-]*(?:[.:][\w-]+)+$/i

export function readEvent(clause: Token[]): EventReading {
  const tokens = clause.filter((token) => token.kind !== 'mark')
  if (
    tokens.some(
      (token) => token.kind === 'word' && /^(?:and|or)$/.test(token.text) && !isInComparison(tokens, tokens.indexOf(token)),
    )
  ) {
    return { problem: 'One sentence waits for one event: make one sentence of each.' }
  }
  const filter = new Map<string, unknown>()
  const rest = withoutComparisons(tokens, filter)
  if ('problem' in rest) return rest
  const taken = withoutValues(rest.tokens, filter)
  const explicit = explicitEvent(tokens)
  const event = explicit?.event ?? eventName(taken, rest.compared)
  if (event === undefined) {
    const shown = tokens.map((token) => (token.kind === 'word' ? token.raw : '…')).join(' ')
    return {
      problem: `"${shown}" does not say what happens: write it like "payment fails", "a file is uploaded" or "order.created".`,
    }
  }
  if (explicit?.value) for (const [key, value] of filter) if (value === explicit.value.value) filter.delete(key)
  return filter.size > 0 ? { event, filter: Object.fromEntries(filter) } : { event }
}

/** A dotted name as it stands, or a value called an event: "when event ${name} happens". */
function explicitEvent(tokens: Token[]): { event: string; value?: Value } | undefined {
  for (const [index, token] of tokens.entries()) {
    if (token.kind === 'word' && dotted.test(token.raw)) return { event: token.raw }
    const before = tokens[index - 1]
    if (
      token.kind === 'value' &&
      typeof token.value === 'string' &&
      before?.kind === 'word' &&
      before.text === 'event' &&
      dotted.test(token.value)
    ) {
      return { event: token.value, value: token }
    }
  }
  return undefined
}

function isInComparison(tokens: Token[], at: number): boolean {
  const before = tokens[at - 1]
  return before?.kind === 'word' && before.text === 'than'
}

/** Takes "total exceeds ${100}" out: the noun before is the field. */
function withoutComparisons(
  tokens: Token[],
  filter: Map<string, unknown>,
): { tokens: Token[]; compared?: string } | { problem: string } {
  for (let at = 1; at < tokens.length; at++) {
    for (const { words, as } of comparisons) {
      if (!words.every((word, offset) => textOf(tokens[at + offset]) === word)) continue
      const value = comparedValue(tokens[at + words.length])
      if (value === undefined) continue
      let nounAt = at - 1
      while (nounAt >= 0 && (movements.has(textOf(tokens[nounAt])) || textOf(tokens[nounAt]) === 'than')) nounAt--
      const noun = tokens[nounAt]
      if (
        noun?.kind !== 'word' ||
        stopwords.has(noun.text) ||
        (nounAt === 0 && as !== 'eq' && at === 1 && tokens.length > words.length + 2)
      ) {
        return { problem: 'A comparison needs the field it is about before it: "when order total exceeds 100".' }
      }
      filter.set(noun.raw.toLowerCase() === noun.raw ? noun.text : noun.raw, as === 'eq' ? value.value : { [as]: value.value })
      const before = tokens.slice(0, nounAt)
      const lead = before.at(-1)
      // "with total over 100": the preposition belongs to the comparison.
      if (lead?.kind === 'word' && prepositions.has(lead.text)) before.pop()
      return { tokens: [...before, ...tokens.slice(at + words.length + 1)], compared: singular(noun.text) }
    }
  }
  return { tokens }
}

function comparedValue(token: Token | undefined): { value: unknown } | undefined {
  if (token?.kind === 'value') return { value: token.value }
  return token?.kind === 'word' && /^-?\d+(?:\.\d+)?$/.test(token.text) ? { value: Number(token.text) } : undefined
}

/** The noun right before a value names its field; without one any field may equal it. A value at the front is the one who acts. */
function withoutValues(tokens: Token[], filter: Map<string, unknown>): (Word | 'value')[] {
  return tokens.map((token, index) => {
    if (token.kind === 'word') return token
    if (token.kind === 'mark') return 'value'
    const before = tokens[index - 1]
    const isNoun =
      before?.kind === 'word' && !stopwords.has(before.text) && !prepositions.has(before.text) && !isVerbAt(tokens, index - 1)
    const key = isNoun ? singular(before.text) : '*'
    let name = key
    for (let count = 2; filter.has(name); count++) name = `${key}${count}`
    filter.set(name, token.value)
    return 'value'
  })
}

function isVerbAt(tokens: Token[], at: number): boolean {
  const token = tokens[at]
  return token?.kind === 'word' && at > 0 && /(?:s|ed)$/.test(token.text) && verbs.has(stem(token.text))
}

function textOf(token: Token | undefined): string {
  return token?.kind === 'word' ? token.text : ''
}

/** `compared`: the field of a comparison; with no verb left, its thing was updated. */
function eventName(tokens: (Word | 'value')[], compared: string | undefined): string | undefined {
  const verbAt = findVerb(tokens)
  if (verbAt === undefined) {
    const nouns = nounsOf(tokens)
    return compared === undefined ? undefined : [...(nouns.length > 0 ? nouns : [compared]), 'updated'].join('.')
  }
  const verb = (tokens[verbAt] as Word).text
  const isPassive =
    verbAt > 0 && auxiliaries.has(wordAt(tokens, verbAt - 1)) && !/^(?:has|have|had)$/.test(wordAt(tokens, verbAt - 1))
  const following = wordAt(tokens, verbAt + 1)
  const hasParticle = particles.has(following)
  const subject = nounsOf(tokens.slice(0, verbAt))
  const object = isPassive ? [] : nounsOf(untilPreposition(tokens.slice(verbAt + (hasParticle ? 2 : 1))))
  const nouns = object.length > 0 ? object : subject
  // "when it is done" names nothing; in "when ${userId} signs up" the value is the one who acts.
  if (nouns.length === 0 && !tokens.includes('value')) return undefined
  const past = pastForm(verb, isPassive) + (hasParticle ? `_${following}` : '')
  return [...nouns, past].join('.')
}

function wordAt(tokens: (Word | 'value')[], at: number): string {
  const token = tokens[at]
  return token === undefined || token === 'value' ? '' : token.text
}

/** The first word behind the subject that looks like a verb; the last word if none does. */
function findVerb(tokens: (Word | 'value')[]): number | undefined {
  const isCandidate = (at: number): boolean =>
    at > 0 &&
    wordAt(tokens, at) !== '' &&
    !auxiliaries.has(wordAt(tokens, at)) &&
    !stopwords.has(wordAt(tokens, at)) &&
    !determiners.has(wordAt(tokens, at - 1))
  for (let at = 1; at < tokens.length; at++) if (isCandidate(at) && auxiliaries.has(wordAt(tokens, at - 1))) return at
  for (let at = 1; at < tokens.length; at++) {
    const word = wordAt(tokens, at)
    if (!isCandidate(at)) continue
    const before = wordAt(tokens, at - 1)
    if (prepositions.has(before)) continue
    const isKnown = verbs.has(stem(word)) || verbs.has(stem(baseOfThird(word)))
    if (/ed$/.test(word) || isIrregularPast(word) || (isKnown && /[^s]s$/.test(word))) return at
  }
  for (let at = 1; at < tokens.length; at++) {
    const following = wordAt(tokens, at + 1)
    const isBase = verbs.has(stem(wordAt(tokens, at)))
    if (isCandidate(at) && !prepositions.has(wordAt(tokens, at - 1)) && (isBase || determiners.has(following))) return at
  }
  const last = tokens.length - 1
  return isCandidate(last) && !prepositions.has(wordAt(tokens, last - 1)) && /[^s]s$/.test(wordAt(tokens, last))
    ? last
    : undefined
}

/** Words of the thing itself: not what follows "for" or "of", nor articles and the like. */
function nounsOf(tokens: (Word | 'value')[]): string[] {
  return untilPreposition(tokens).flatMap((token) => {
    if (token === 'value' || stopwords.has(token.text) || determiners.has(token.text) || auxiliaries.has(token.text)) return []
    if (/^(?:someone|somebody|anyone|anybody|something|event|successfully|finally|just)$/.test(token.text)) return []
    return [singular(token.text).replace(/[^\p{L}\p{N}_-]/gu, '')]
  })
}

function untilPreposition(tokens: (Word | 'value')[]): (Word | 'value')[] {
  const end = tokens.findIndex((token) => token !== 'value' && prepositions.has(token.text))
  return end < 0 ? tokens : tokens.slice(0, end)
}

/** "ready" and other words behind "is" that are no verbs stay as they are. */
function pastForm(verb: string, isPassive: boolean): string {
  if (/ed$/.test(verb) || isIrregularPast(verb)) return verb === 'cancelled' ? 'canceled' : verb
  if (isPassive) return verb
  return pastOf(/[^s]s$/.test(verb) ? baseOfThird(verb) : verb)
}
