/** What is left of a sentence without its time and event: the words that say what to do, and where the values stand among them. */
import { adjectives, neutral, prepositions, stopwords, verbs } from './lexicon.ts'
import { stem } from './stem.ts'
import { joined, type Token, type Word } from './tokens.ts'

export interface Content {
  stem: string
  /** Places of its tokens. */
  tokens: number[]
  /** Weight when the task does not explain it, against 1: a word that labels a value or only describes says less. */
  unexplained: number
}

export interface Action {
  /** What was taken out is a mark, so that no words meet across it. */
  tokens: Token[]
  contents: Content[]
  /** Stem of the verb it begins with, if that is one. */
  head?: string
  /** A value stands where the thing would: "process ${file}". */
  hasValueAsObject: boolean
}

export function actionOf(tokens: Token[]): Action {
  const contents: Content[] = []
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at] as Token
    if (token.kind !== 'word') continue
    const following = tokens[at + 1]
    const pair = following?.kind === 'word' ? joined([token.text, following.text]) : []
    if (pair.length === 1) {
      contents.push({ stem: stem(pair[0] as string), tokens: [at, at + 1], unexplained: 1 })
      at++
      continue
    }
    if (stopwords.has(token.text)) continue
    const unexplained = weightOf(tokens, at, token)
    for (const one of token.stems) contents.push({ stem: one, tokens: [at], unexplained })
  }
  const first = contents.find((content) => !neutral.has(content.stem) && content.unexplained > 0) ?? contents[0]
  const isVerb = first !== undefined && verbs.has(first.stem)
  if (first && isVerb) first.unexplained = 1
  return { tokens, contents, ...(isVerb ? { head: first.stem } : {}), hasValueAsObject: hasValueAsObject(tokens) }
}

function weightOf(tokens: Token[], at: number, word: Word): number {
  const before = tokens[at - 1]
  const after = tokens[at + 1]
  if (/^\d/.test(word.text)) return 0
  if (neutral.has(word.stems[0] ?? '')) return 0
  if (after?.kind === 'value') return 0.4
  if (word.stems.some((one) => adjectives.has(one)) || (/(?:ed|ly)$/.test(word.text) && after?.kind === 'word')) return 0.25
  // "to CDN", "in Paris": where to, seldom what.
  return before?.kind === 'word' && prepositions.has(before.text) ? 0.6 : 1
}

/** "process ${file}", "transcode ${id} to 1080p"; not "send ${template} email". */
function hasValueAsObject(tokens: Token[]): boolean {
  return tokens.some((token, at) => {
    if (token.kind !== 'value') return false
    const before = tokens[at - 1]
    const after = tokens[at + 1]
    const isEnd = after?.kind !== 'word' || prepositions.has(after.text) || after.text === 'and'
    return isEnd && before?.kind === 'word' && (before.stems.some((one) => verbs.has(one)) || neutral.has(before.stems[0] ?? ''))
  })
}
