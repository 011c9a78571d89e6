/** The registered tasks, prepared once per version: their words, and which tasks have which. */
import { generic, neutral, stopwords, verbs } from './lexicon.ts'
import type { Field, TaskEntry } from './sentence.ts'
import { stem } from './stem.ts'
import { partsOf } from './tokens.ts'

export interface Term {
  stem: string
  /** Place in the id. */
  place: number
}

export interface PreparedField extends Field {
  /** Stems of the name's parts: `videoId` has video and id. */
  stems: string[]
}

export interface PreparedTask {
  entry: TaskEntry
  terms: Term[]
  /** The verb of the id, if it has one. */
  verb?: string
  keywords: string[][]
  keywordStems: Set<string>
  description: Set<string>
  fields?: PreparedField[]
  fieldStems: Set<string>
}

export interface TaskIndex {
  tasks: PreparedTask[]
  byId: Map<string, number>
  /** Stem → tasks that have it in their id or keywords. */
  named: Map<string, number[]>
  /** Stem → tasks that have it in their description only. */
  described: Map<string, number[]>
  /** Stem → in how many ids and keywords. */
  counts: Map<string, number>
}

const DESCRIPTION_AT_MOST = 500
const KEYWORDS_AT_MOST = 50

export function prepareTasks(entries: TaskEntry[]): TaskIndex {
  const index: TaskIndex = { tasks: [], byId: new Map(), named: new Map(), described: new Map(), counts: new Map() }
  for (const entry of entries) {
    const place = index.tasks.length
    const task = prepared(entry)
    index.tasks.push(task)
    if (!index.byId.has(entry.id.toLowerCase())) index.byId.set(entry.id.toLowerCase(), place)
    const named = new Set([...task.terms.map((term) => term.stem), ...task.keywordStems])
    for (const one of named) {
      index.counts.set(one, (index.counts.get(one) ?? 0) + 1)
      add(index.named, one, place)
    }
    for (const one of task.description) if (!named.has(one)) add(index.described, one, place)
  }
  return index
}

function add(postings: Map<string, number[]>, one: string, place: number): void {
  const list = postings.get(one)
  if (list) list.push(place)
  else postings.set(one, [place])
}

function prepared(entry: TaskEntry): PreparedTask {
  const words = partsOf(entry.id)
  const meaningful = words.filter((word) => !stopwords.has(word))
  const stems = [...new Set((meaningful.length > 0 ? meaningful : words).map(stem))]
  const terms = stems.map((one, place) => ({ stem: one, place }))
  // The verb stands first (`send-email`) or last (`email.send`); between two, first.
  const verb = [stems[0], stems.at(-1), ...stems].find((one) => one !== undefined && verbs.has(one) && !generic.has(one))
  const keywords = (entry.keywords ?? [])
    .slice(0, KEYWORDS_AT_MOST)
    .map((phrase) => contentStems(phrase))
    .filter((phrase) => phrase.length > 0)
  const fields = entry.fields?.map((field) => ({ ...field, stems: partsOf(field.name).map(stem) }))
  return {
    entry,
    terms,
    ...(verb ? { verb } : {}),
    keywords,
    keywordStems: new Set(keywords.flat()),
    description: new Set(
      contentStems((entry.description ?? '').slice(0, DESCRIPTION_AT_MOST)).filter((one) => !neutral.has(one)),
    ),
    ...(fields ? { fields } : {}),
    fieldStems: new Set(fields?.flatMap((field) => field.stems.filter((one) => one !== 'id'))),
  }
}

function contentStems(text: string): string[] {
  return [
    ...new Set(
      partsOf(text)
        .filter((word) => !stopwords.has(word))
        .map(stem),
    ),
  ]
}

/** 1 to 2: a word that few tasks have says more. One that none has says nothing about which, and lies between. */
export function weightOf(index: TaskIndex, one: string): number {
  const count = index.counts.get(one)
  const size = index.tasks.length
  if (count === undefined || size < 2) return 1.5
  return 1 + Math.log((size + 1) / count) / Math.log(size + 1)
}
