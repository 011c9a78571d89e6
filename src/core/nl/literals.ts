/** Plain words of a sentence that are a field's value: "to 1080p", "with quality high", a word of an enum. */

import { isSame, misfit } from './field-fit.ts'
import { literalFields, prepositions, rolesOf, stopwords } from './lexicon.ts'
import type { PreparedField } from './task-index.ts'
import type { Token, Word } from './tokens.ts'

export interface Literal {
  field: PreparedField
  value: unknown
  tokens: number[]
}

const leads = new Set(['to', 'with', 'as', 'in', 'into', 'at', 'using', 'via', 'by'])

/** `isFree`: a word that the task's id does not explain. */
export function literalsFor(tokens: Token[], fields: PreparedField[], isFree: (word: Word) => boolean): Literal[] {
  const found: Literal[] = []
  const open = (): PreparedField[] => fields.filter((field) => !found.some((literal) => literal.field === field))
  const isTaken = (at: number): boolean => found.some((literal) => literal.tokens.includes(at))
  const add = (field: PreparedField | undefined, value: unknown, at: number[]): void => {
    if (field && !at.some(isTaken) && misfit(field, { value, isPlaceholder: false }) === undefined)
      found.push({ field, value, tokens: at })
  }
  // An enum's own word, wherever it stands.
  tokens.forEach((token, at) => {
    if (token.kind !== 'word' || !(isFree(token) || /^\d/.test(token.text))) return
    const lead = tokens[at - 1]
    const roles = lead?.kind === 'word' ? (rolesOf[lead.text] ?? []) : []
    const accepting = open().flatMap((field) => {
      const member = field.enum?.find((one) =>
        typeof one === 'string' ? one.toLowerCase() === token.text : isSame(one, numberOf(token.text)),
      )
      return member === undefined ? [] : [{ field, member }]
    })
    // "from de to en": the preposition says which of two fields with the same words.
    const place = ({ field }: (typeof accepting)[number]): number => (roles.indexOf(field.name.toLowerCase()) + 100) % 100
    const [meant] = accepting.sort((one, other) => place(one) - place(other))
    if (meant) add(meant.field, meant.member, [at])
  })
  // "quality high", "width 300", "width = 300"; "300 pixels wide" is not.
  tokens.forEach((token, at) => {
    if (token.kind !== 'word') return
    const field = open().find(
      (one) => one.stems.length === token.stems.length && one.stems.every((part, index) => part === token.stems[index]),
    )
    const valueAt = tokens[at + 1]?.kind === 'mark' ? at + 2 : at + 1
    const following = tokens[valueAt]
    if (!field || following?.kind !== 'word' || prepositions.has(following.text) || stopwords.has(following.text)) return
    if (isFree(following) || /^\d/.test(following.text)) add(field, typed(field, following), [valueAt])
  })
  // "to 1080p": a field of that kind, or the only required one left.
  tokens.forEach((token, at) => {
    const lead = tokens[at - 1]
    if (
      token.kind !== 'word' ||
      lead?.kind !== 'word' ||
      !leads.has(lead.text) ||
      isTaken(at) ||
      tokens[at + 1]?.kind === 'value'
    )
      return
    if (stopwords.has(token.text) || !isFree(token)) return
    const accepting = open().filter((field) => misfit(field, { value: typed(field, token), isPlaceholder: false }) === undefined)
    const kind = accepting.filter((field) => field.stems.some((part) => literalFields.has(part)))
    const required = accepting.filter((field) => field.required)
    const isCode = /\d/.test(token.text)
    const field =
      kind.length === 1
        ? kind[0]
        : kind.filter((one) => one.required).length === 1
          ? kind.find((one) => one.required)
          : required.length === 1 && isCode
            ? required[0]
            : undefined
    add(field, field && typed(field, token), [at])
  })
  return found
}

function typed(field: PreparedField, word: Word): unknown {
  const number = numberOf(word.text)
  if ((field.type === 'number' || field.type === 'integer') && number !== undefined) return number
  return field.type === 'boolean' && /^(?:true|false)$/.test(word.text) ? word.text === 'true' : word.raw
}

function numberOf(text: string): number | undefined {
  return /^-?\d{1,15}(?:\.\d{1,6})?$/.test(text) ? Number(text) : undefined
}
