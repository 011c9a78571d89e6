/** The words around a value that say which field it is. */
import { neutral, nounSynonyms, prepositions, rolesOf, stopwords, verbs } from './lexicon.ts'
import { stem } from './stem.ts'
import type { PreparedField } from './task-index.ts'
import { partsOf, type Token, type Word } from './tokens.ts'

export interface Label {
  /** Nouns right before the value, the nearest last: "user id ${x}". */
  before: Word[]
  /** The noun it stands before without a preposition: "${template} email". */
  after?: Word
  /** The preposition that leads to it: "with encoding ${x}", "to ${x}". */
  preposition?: string
  /** Right behind the verb. */
  isObject: boolean
}

export function labelOf(tokens: Token[], at: number): Label {
  const before: Word[] = []
  let place = at - 1
  for (; place >= 0 && before.length < 3; place--) {
    const token = tokens[place] as Token
    // "encoding: ${x}" and "encoding=${x}" label as well as "encoding ${x}".
    if (token.kind === 'mark' && place === at - 1 && /[:=]/.test(token.text)) continue
    if (token.kind !== 'word' || prepositions.has(token.text) || /^(?:and|or)$/.test(token.text)) break
    if (stopwords.has(token.text)) continue
    if (place === firstWord(tokens) && isLikelyVerb(tokens, place)) break
    before.unshift(token)
  }
  const lead = tokens[place]
  const following = tokens[at + 1]
  const isNoun = following?.kind === 'word' && !prepositions.has(following.text) && !stopwords.has(following.text)
  const preposition = lead?.kind === 'word' && prepositions.has(lead.text) ? lead.text : undefined
  return {
    before,
    ...(isNoun ? { after: following } : {}),
    ...(preposition ? { preposition } : {}),
    isObject: before.length === 0 && preposition === undefined,
  }
}

function firstWord(tokens: Token[]): number {
  return tokens.findIndex((token) => token.kind === 'word' && !stopwords.has(token.text) && !neutral.has(token.stems[0] ?? ''))
}

/** A sentence begins with its verb, be it a known one or not; behind a preposition it does not. */
function isLikelyVerb(tokens: Token[], at: number): boolean {
  const word = tokens[at] as Word
  if (word.stems.some((one) => verbs.has(one))) return true
  const before = tokens[at - 1]
  const isLed = before?.kind === 'word' && (prepositions.has(before.text) || stopwords.has(before.text))
  return !isLed && !word.stems.some((one) => nounSynonyms.has(one) || containers.has(one))
}

const containers = new Set(
  [
    'id',
    'url',
    'uri',
    'name',
    'key',
    'path',
    'ref',
    'number',
    'code',
    'address',
    'count',
    'text',
    'type',
    'size',
    'date',
    'list',
  ].map(stem),
)

/** How strongly the label names the field; 0 when it does not. */
export function labelScore(label: Label, field: PreparedField, tasksNouns: Set<string>): number {
  const words = label.before.flatMap((word) => word.stems)
  const nearest = label.before.at(-1)
  let score = 0
  if (nearest) {
    const near = new Set(nearest.stems.flatMap((one) => [one, ...(nounSynonyms.get(one) ?? [])]))
    const isNear = field.stems.some((one) => near.has(one))
    const said = field.stems.filter((one) => words.includes(one) || near.has(one)).length
    const isWhole = said === field.stems.length
    if (isNear) score += isWhole ? 12 : field.stems.every((one) => near.has(one) || containers.has(one)) ? 10 : 7
    else if (said > 0) score += isWhole ? 6 : 3
  }
  if (score === 0 && label.after && label.after.stems.some((one) => field.stems.includes(one))) score += 3
  if (score === 0 && label.preposition) {
    const roles = rolesOf[label.preposition] ?? []
    const place = roles.findIndex((role) =>
      partsOf(role)
        .map(stem)
        .every((one) => field.stems.includes(one)),
    )
    if (place >= 0 && label.before.length === 0) score += place === 0 ? 6 : 4
  }
  // "transcode ${x}": the thing of `transcode-video` is the video.
  if (score === 0 && label.isObject && field.stems.some((one) => tasksNouns.has(one))) score += 4
  return score
}

/**
 * The key of a value in a payload without a schema; only words decide, so that one template always gives the same keys. The noun right
 * before ("video ${x}" → video, "user id ${x}" → userId), else the preposition ("to ${x}" → to), else the task's own noun, else "value".
 */
export function keyOf(label: Label, tasksNouns: string[]): string {
  const nearest = label.before.at(-1)
  if (nearest) {
    const key = partsOf(nearest.raw)
    const owner = label.before.at(-2)
    const isContainer = key.length === 1 && containers.has(nearest.stems[0] ?? '')
    return camel(isContainer && owner ? [...partsOf(owner.raw), ...key] : key)
  }
  if (label.preposition) return label.preposition
  return tasksNouns[0] ?? 'value'
}

function camel(parts: string[]): string {
  return parts.map((part, index) => (index === 0 ? part : part.charAt(0).toUpperCase() + part.slice(1))).join('')
}
