/** A sentence as words, values and marks, in order. Values keep their type; so do addresses, numbers and quoted text in the text. */
import type { Sentence } from './sentence.ts'
import { stem } from './stem.ts'

export interface Word {
  kind: 'word'
  /** Lower case, without the marks around it. */
  text: string
  raw: string
  /** Stems of its parts: "daily-cleanup" has two. */
  stems: string[]
}

export interface Value {
  kind: 'value'
  value: unknown
  /** Place among the sentence's values; missing for text that is a value by its look: quoted, an address, a URL. */
  index?: number
}

export interface Mark {
  kind: 'mark'
  text: string
}

export type Token = Word | Value | Mark

/** Longer ones are no sentences; and they keep the time a reading takes bounded. */
export const TEXT_AT_MOST = 1_000
export const VALUES_AT_MOST = 50

const piece = /"([^"]*)"|“([^”]*)”|(?<![\p{L}\p{N}])'([^']*)'(?![\p{L}\p{N}])|[^\s"“”]+/gu

export function tokensOf({ strings, values }: Sentence): Token[] {
  const tokens: Token[] = []
  strings.forEach((text, index) => {
    readText(text, tokens)
    if (index < values.length) tokens.push({ kind: 'value', value: values[index], index })
  })
  return tokens
}

function readText(text: string, tokens: Token[]): void {
  for (const match of text.normalize('NFKC').replaceAll('’', "'").matchAll(piece)) {
    const quoted = match[1] ?? match[2] ?? match[3]
    if (quoted !== undefined) {
      if (quoted.trim() !== '') tokens.push({ kind: 'value', value: quoted })
    } else readPiece(match[0], tokens)
  }
}

function readPiece(text: string, tokens: Token[]): void {
  const address = /^[(<]?(https?:\/\/.+)$/i.exec(text)?.[1]?.replace(/[.,;:!?)>]+$/, '')
  if (address !== undefined) {
    tokens.push({ kind: 'value', value: address })
    if (/[.,;:!?]$/.test(text)) addMark(text.at(-1) as string, tokens)
    return
  }
  let start = 0
  let end = text.length
  // A sign is no mark in front of a number.
  const isEdge = (at: number): boolean =>
    !/[\p{L}\p{N}]/u.test(text[at] as string) && !(text[at] === '-' && /\d/.test(text[at + 1] ?? ''))
  while (start < end && isEdge(start)) start++
  while (end > start && isEdge(end - 1)) end--
  for (const mark of text.slice(0, start)) addMark(mark, tokens)
  if (end > start) addCore(text.slice(start, end), tokens)
  for (const mark of text.slice(end)) addMark(mark, tokens)
}

function addMark(text: string, tokens: Token[]): void {
  if (/[,;:.!?→&–-]/.test(text)) tokens.push({ kind: 'mark', text })
}

function addCore(core: string, tokens: Token[]): void {
  if (/^[^@\s]+@[^@\s]+\.[^@\s.]+$/.test(core)) {
    tokens.push({ kind: 'value', value: core })
    return
  }
  // "width=300" and "upload,then" are two words each; "2026-12-24T08:00", "9:15", "1,000" and "Europe/Berlin" one.
  const parts = core.split(/[=;→]+|,(?!\d)/)
  parts.forEach((part, index) => {
    if (index > 0) tokens.push({ kind: 'mark', text: core.includes(',') ? ',' : '=' })
    if (part !== '') tokens.push(wordOf(part))
  })
}

export function wordOf(raw: string): Word {
  const text = raw.toLowerCase().replace(/'s$/, '')
  return { kind: 'word', text, raw, stems: partsOf(raw.replace(/'s$/i, '')).map(stem) }
}

/** "userImage_id.v2" → user, image, id, v2. Capitals in a row are one part, and so are digits with the letters before them. */
export function partsOf(name: string): string[] {
  const spaced = name.replace(/([\p{Ll}\p{N}])(\p{Lu})/gu, '$1 $2').replace(/(\p{Lu}+)(\p{Lu}\p{Ll})/gu, '$1 $2')
  return joined(
    spaced
      .toLowerCase()
      .split(/[^\p{L}\p{N}]+/u)
      .filter((part) => part !== ''),
  )
}

/** Verbs of two words that are also written as one. */
const oneWord = new Set(
  'cleanup backup setup signup checkout rollback lookup shutdown teardown startup followup login logout warmup spinup failover'.split(
    ' ',
  ),
)

export function joined(parts: string[]): string[] {
  const result: string[] = []
  for (const part of parts) {
    const before = result.at(-1)
    const verb = before === undefined ? '' : (before.replace(/(?:ning|n?ing|ed|s)$/, '') as string)
    if (before !== undefined && oneWord.has(before + part)) result[result.length - 1] = before + part
    else if (before !== undefined && oneWord.has(verb + part)) result[result.length - 1] = verb + part
    else result.push(part)
  }
  return result
}
