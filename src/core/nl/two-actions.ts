/** Sentences that ask for two things: one of them would be lost silently. */
import type { Action } from './action.ts'
import { neutral, verbs } from './lexicon.ts'
import { stem } from './stem.ts'

/** Verbs that are nouns as often: "with name ${a} and email ${b}" asks for one thing. */
const nounsToo = new Set(
  `email mail message text alert report order review comment label tag index load post score mention link map test archive store name
  title subject body format invoice bill address document image video photo picture account rate schedule backup export import copy
  display filter group vote view visit share like update change process charge extract crop watermark caption digest model mark`
    .split(/\s+/)
    .map(stem),
)

/** The second verb, if there is one. */
export function secondAction({ tokens, contents }: Action, isExplained: (token: number) => boolean): string | undefined {
  for (let at = 1; at < tokens.length; at++) {
    const token = tokens[at]
    if (token?.kind !== 'word' || !token.stems.some((one) => verbs.has(one)) || /(?:[^s]s|ed|ing)$/.test(token.text)) continue
    const before = tokens[at - 1]
    const isThen = before?.kind === 'word' && before.text === 'then'
    const isJoined =
      isThen || (before?.kind === 'word' ? before.text === 'and' : before?.kind === 'mark' && /[,.→]/.test(before.text))
    if (!isJoined) continue
    const earlier = contents.filter((content) => content.tokens.every((place) => place < at) && !neutral.has(content.stem))
    if (earlier.length === 0) continue
    if (!isThen && token.stems.some((one) => nounsToo.has(one))) continue
    const isRepeated = earlier.some((content) => token.stems.includes(content.stem))
    // "import and merge contacts" is one task where its id says so.
    const isOne = isExplained(at) && earlier.every((content) => content.tokens.some(isExplained)) && !isRepeated
    if (isThen || !isOne) return token.text
  }
  return undefined
}
