/**
 * Which task a sentence means. A task's score is how much of the sentence's words it explains, times how much of its id the
 * sentence names; both weighted by how few tasks have a word.
 */
import type { Action, Content } from './action.ts'
import { destructive, generic, neutral, nounSynonyms, verbSynonyms, verbs } from './lexicon.ts'
import { type PreparedTask, type TaskIndex, weightOf } from './task-index.ts'

/** The bar: a task below it is not what was meant. Tuned with MARGIN on the table of sentences. */
export const BAR = 0.45
/** A second task nearer than this to the first makes the sentence ambiguous. */
export const MARGIN = 0.06

const SYNONYM = 0.85
/** Where other tasks have the verb itself, a task with a synonym is meant less: "cleanup" beside `cleanup-logs` is seldom `purge`. */
const FARTHER_SYNONYM = 0.65
const KEYWORD = 0.95
const FIELD = 0.8
const DESCRIPTION = 0.6
/** Weight of a label or a place that the task does not have and another has. */
const TELLING = 0.85
/** What a description alone can say of the id. */
const DESCRIBED = 0.8
/** A noun of the id that a value stands for: "process ${file}" and `process-file`. */
const OBJECT = 0.55
/** Another verb than the task's: "create user" is not `delete-user`. */
const OTHER_VERB = 0.4
const UNSAID_DESTRUCTION = 0.3

const mediums = new Set(['email', 'mail', 'sms', 'messag', 'notifi', 'alert', 'webhook', 'push'])

export interface Scored {
  task: PreparedTask
  score: number
  isExact: boolean
}

/** `isUsed`: token already explained by the payload, such as a word that became a field's value. */
export function scoreTask(index: TaskIndex, action: Action, task: PreparedTask, isUsed?: (token: number) => boolean): number {
  const named = new Set(action.contents.map((content) => content.stem))
  const head = action.head === undefined ? undefined : verbSynonyms.get(action.head)
  const explained = explainedPart(index, action, task, isUsed)
  const id = coveredId(index, action, task, named, head)
  const keyword = Math.max(
    0,
    ...task.keywords.map((phrase) => (phrase.filter((one) => named.has(one)).length / phrase.length) * KEYWORD),
  )
  const covered = Math.max(id, keyword, describedPart(action, task) * DESCRIBED)
  return Math.min(1, explained * covered * verbFactor(action, task, named, head))
}

function explainedPart(index: TaskIndex, action: Action, task: PreparedTask, isUsed?: (token: number) => boolean): number {
  let total = 0
  let explained = 0
  for (const content of action.contents) {
    const weight = weightOf(index, content.stem)
    const part = Math.max(explanation(index, content, action, task), isUsed && content.tokens.some(isUsed) ? FIELD : 0)
    if (part === 0 && neutral.has(content.stem)) continue
    // Other tasks are named for it: it says more than a label would.
    const isTelling = content.unexplained > 0 && content.unexplained < 0.9 && index.counts.has(content.stem)
    total += part > 0 ? weight : weight * (isTelling ? TELLING : content.unexplained)
    explained += weight * part
  }
  return total === 0 ? 0 : explained / total
}

/** Whether the word counts for the task at all. */
export function scoresWord(index: TaskIndex, task: PreparedTask, action: Action, token: number): boolean {
  return action.contents.some((content) => content.tokens.includes(token) && explanation(index, content, action, task) > 0)
}

function explanation(index: TaskIndex, content: Content, action: Action, task: PreparedTask): number {
  const { stem } = content
  if (task.terms.some((term) => term.stem === stem)) return 1
  if (task.keywordStems.has(stem)) return KEYWORD
  if (isSynonymIn(content, action, task)) return content.stem === action.head ? verbSynonym(index, action.head) : SYNONYM
  if (task.fieldStems.has(stem)) return FIELD
  return isDescribed(content, action, task) ? DESCRIPTION : 0
}

function isDescribed({ stem }: Content, action: Action, { description }: PreparedTask): boolean {
  if (description.has(stem)) return true
  return stem === action.head && [...(verbSynonyms.get(stem) ?? [])].some((one) => description.has(one))
}

function verbSynonym(index: TaskIndex, head: string): number {
  return index.counts.has(head) ? FARTHER_SYNONYM : SYNONYM
}

function isSynonymIn({ stem }: Content, action: Action, task: PreparedTask): boolean {
  const same = stem === action.head ? verbSynonyms.get(stem) : nounSynonyms.get(stem)
  return same !== undefined && task.terms.some((term) => same.has(term.stem))
}

function coveredId(
  index: TaskIndex,
  action: Action,
  task: PreparedTask,
  named: Set<string>,
  head: Set<string> | undefined,
): number {
  let total = 0
  let covered = 0
  for (const { stem } of task.terms) {
    const isSaid = named.has(stem)
    // "invoice the customer" is `create-invoice`: the noun is the verb, and the task's own verb adds little.
    const isLight =
      stem === task.verb &&
      action.head !== undefined &&
      action.head !== stem &&
      task.terms.some((term) => term.stem === action.head)
    const isMinor = task.terms.length > 1 && (generic.has(stem) || (neutral.has(stem) && stem !== task.verb) || isLight)
    const weight = weightOf(index, stem) * (isMinor && !isSaid ? 0.2 : 1)
    total += weight
    if (isSaid) covered += weight
    else if (stem === task.verb && action.head !== undefined && head?.has(stem))
      covered += weight * verbSynonym(index, action.head)
    else if ([...(nounSynonyms.get(stem) ?? [])].some((one) => named.has(one))) covered += weight * SYNONYM
    else if (action.hasValueAsObject && !verbs.has(stem) && !mediums.has(stem)) covered += weight * OBJECT
  }
  return total === 0 ? 0 : covered / total
}

function describedPart(action: Action, task: PreparedTask): number {
  const said = action.contents.filter(({ stem, unexplained }) => !neutral.has(stem) && unexplained > 0)
  if (said.length < 2 || task.description.size === 0) return 0
  return (
    said.filter((content) => isDescribed(content, action, task) || task.terms.some(({ stem }) => stem === content.stem)).length /
    said.length
  )
}

/** The sentence's verb against the task's. */
function verbFactor(
  { head }: Action,
  { terms, verb, keywordStems, description }: PreparedTask,
  named: Set<string>,
  same: Set<string> | undefined,
): number {
  if (verb === undefined || named.has(verb) || same?.has(verb) || keywordStems.has(head ?? '')) return 1
  if (destructive.has(verb)) return UNSAID_DESTRUCTION
  return head === undefined || terms.some(({ stem }) => stem === head) || neutral.has(head) || description.has(head)
    ? 1
    : OTHER_VERB
}

/** The best first; of equals the one registered first. */
export function rankTasks(index: TaskIndex, action: Action): Scored[] {
  const places = new Set<number>()
  const described = new Set<number>()
  for (const { stem } of action.contents) {
    const same = stem === action.head ? verbSynonyms.get(stem) : nounSynonyms.get(stem)
    for (const one of same ? [stem, ...same] : [stem]) for (const place of index.named.get(one) ?? []) places.add(place)
    // One word of a description is no match: the second one counts.
    const mentions = new Set<number>()
    for (const one of stem === action.head && same ? [stem, ...same] : [stem])
      for (const place of index.described.get(one) ?? []) mentions.add(place)
    for (const place of mentions) {
      if (described.has(place)) places.add(place)
      described.add(place)
    }
  }
  const exact = exactPlace(index, action)
  if (exact !== undefined) places.add(exact)
  return [...places]
    .map((place) => {
      const task = index.tasks[place] as PreparedTask
      return place === exact
        ? { task, score: 1, isExact: true, place }
        : { task, score: scoreTask(index, action, task), isExact: false, place }
    })
    .filter(({ score }) => score > 0)
    .sort((one, other) => Number(other.isExact) - Number(one.isExact) || other.score - one.score || one.place - other.place)
    .map(({ task, score, isExact }) => ({ task, score, isExact }))
}

/** The id itself in the sentence, when it is no plain word of the language: "run daily-cleanup", "invoice.create for …". */
function exactPlace(index: TaskIndex, { tokens }: Action): number | undefined {
  const places = tokens.flatMap((token) => {
    if (token.kind !== 'word' || !/[^\p{Ll}]/u.test(token.raw)) return []
    const place = index.byId.get(token.raw.toLowerCase())
    const id = place === undefined ? '' : (index.tasks[place]?.entry.id ?? '')
    // A capital at the sentence's start makes no id of a word.
    return place !== undefined && (/[^\p{L}]/u.test(id) || id === token.raw) ? [place] : []
  })
  return new Set(places).size === 1 ? places[0] : undefined
}
