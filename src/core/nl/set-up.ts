/**
 * "set up a background job to process uploaded videos": what an agent asks for when it means a sentence. The frame is taken off, and a
 * thing that something happened to ("uploaded videos", "new orders") becomes the event that the rest waits for.
 */
import type { Sentence } from './sentence.ts'

const frame =
  /^\s*(?:please\s+)?(?:can you\s+|could you\s+)?(?:set\s*up|create|add|make|build|schedule|define|start)\s+(?:me\s+)?(?:an?\s+|the\s+)?(?:new\s+)?(?:background\s+|async\s+|recurring\s+|scheduled\s+)*(?:job|task|worker|process)\s+(?:to|that|which|for)\s+/i
const happened = /^(\p{L}+)\s+(?:all\s+|every\s+|each\s+|any\s+|the\s+|our\s+)*(new|\p{L}+ed)\s+(\p{L}+)\s*[.!]?$/iu

/** The sentence it stands for, or undefined when it is not put that way. */
export function withoutSetUp(sentence: Sentence): Sentence | undefined {
  const [first = '', ...rest] = sentence.strings
  const match = frame.exec(first)
  if (!match) return undefined
  const text = first.slice(match[0].length)
  if (rest.length > 0) return { strings: [text, ...rest], values: sentence.values }
  return { strings: [asEvent(text) ?? text], values: [] }
}

function asEvent(text: string): string | undefined {
  const match = happened.exec(text.trim())
  if (!match) return undefined
  const [, verb, what, things] = match as unknown as [string, string, string, string]
  const thing = singular(things)
  const participle = what.toLowerCase() === 'new' ? 'created' : what.toLowerCase()
  return `when ${/^[aeiou]/i.test(thing) ? 'an' : 'a'} ${thing} is ${participle}, ${verb} ${thing}`
}

function singular(word: string): string {
  if (/[^aeiou]ies$/i.test(word)) return `${word.slice(0, -3)}y`
  if (/(?:s|x|z|ch|sh)es$/i.test(word)) return word.slice(0, -2)
  return /[^s]s$/i.test(word) ? word.slice(0, -1) : word
}
