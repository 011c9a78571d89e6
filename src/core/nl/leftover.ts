/** Words that read like a time and were not understood as one. A sentence that has them is refused: its time would be lost silently. */
import { numberOf, unitOf, weekdayOf } from './time/atoms.ts'
import type { Token } from './tokens.ts'

const timeWords = new Set(
  `tomorrow tonight noon midnight midday weekday weekdays weekend weekends until till except excluding unless starting beginning ending
  later soon sometime sometimes occasionally often regularly periodically frequently eventually constantly continuously ago`.split(
    /\s+/,
  ),
)
const leads = new Set('every each at on in next between until after before starting during this from by'.split(' '))
/** Also begin a phrase about things: "in ${folder}, …". */
const ofThings = new Set(['in', 'on', 'from', 'by', 'at', 'after'])

/** The words, as they stand; undefined when there are none. `isExplained`: the task has the word. */
export function leftoverTime(action: Token[], isExplained: (token: number) => boolean): string | undefined {
  for (const [at, token] of action.entries()) {
    if (token.kind !== 'word' || isExplained(at)) continue
    const { text } = token
    const following = action[at + 1]
    const next = following?.kind === 'word' ? following.text : ''
    const weekday = weekdayOf(text)
    if (timeWords.has(text) || (weekday && !weekday.isShort) || /^\d{1,2}(?::\d\d)?(?:am|pm)$/.test(text)) return text
    if (text === 'between' && /^\d/.test(next) && action[at + 2]?.kind === 'word') return `between ${next} …`
    if (text === 'every' || text === 'each') {
      if (!following || following.kind === 'mark' || /^(?:now|so|once)$/.test(next)) return text
      if (following?.kind === 'value') return `${text} \${…}`
      if (next === 'other' || unitOf(next) || numberOf(next) !== undefined) return `${text} ${next}`
    }
    const before = action[at - 1]
    if (before?.kind === 'value' && unitOf(text) && text.length > 1) {
      const lead = action[at - 2]
      if (lead?.kind === 'word' && /^(?:in|every|after|each)$/.test(lead.text)) return `${lead.text} \${…} ${text}`
    }
  }
  return leadingPhrase(action, isExplained)
}

/** "every blue moon, run the cleanup": a phrase before the comma that is neither time nor event. */
function leadingPhrase(action: Token[], isExplained: (token: number) => boolean): string | undefined {
  const first = action.findIndex((token) => token.kind !== 'mark')
  const lead = action[first]
  if (lead?.kind !== 'word' || !leads.has(lead.text)) return undefined
  const end = action.findIndex((token, at) => at > first && token.kind === 'mark' && token.text === ',')
  if (end < 0 || action.slice(end).every((token) => token.kind === 'mark')) return undefined
  const phrase = action.slice(first, end)
  if (ofThings.has(lead.text) && phrase.some((token) => token.kind === 'value')) return undefined
  if (phrase.some((_, offset) => isExplained(first + offset))) return undefined
  return phrase.map((token) => (token.kind === 'word' ? token.raw : token.kind === 'value' ? '…' : token.text)).join(' ')
}
