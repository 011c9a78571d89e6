/** Sentences that ask for something not to happen. They never run anything, whatever else they say. */
import type { Token } from './tokens.ts'

const words = new Set(
  'not never dont doesnt didnt wont cant cannot shouldnt mustnt isnt arent wasnt werent hasnt havent neither nor nobody nothing'.split(
    ' ',
  ),
)
const phrases = [
  'no longer',
  'no more',
  'instead of',
  'rather than',
  'refrain from',
  'hold off',
  'anything but',
  'any longer',
  'leave off',
]

/** The words that negate it; undefined when nothing does. */
export function negationIn(tokens: Token[]): string | undefined {
  const texts = tokens.map((token) => (token.kind === 'word' ? token.text : ''))
  for (const [at, text] of texts.entries()) {
    if (words.has(text) || /.n't$/.test(text)) return text
    const pair = `${text} ${texts[at + 1] ?? ''}`
    if (phrases.includes(pair)) return pair
    // "no cleanup today"; "with no watermark" is an option of the task.
    if (text === 'no' && (at === 0 || /^(?:when|whenever|if|once)$/.test(texts[at - 1] ?? ''))) return text
  }
  return undefined
}
