/** Gives a sentence's values to the fields of a task's payload: by the words around them, their look and type, at last by position. */
import type { Action } from './action.ts'
import { type Fitting, lookScore, misfit, wanted } from './field-fit.ts'
import { keyOf, type Label, labelOf, labelScore } from './labels.ts'
import { generic, nounSynonyms, prepositions, stopwords, verbs } from './lexicon.ts'
import { literalsFor } from './literals.ts'
import { stem } from './stem.ts'
import type { PreparedField, PreparedTask } from './task-index.ts'
import { partsOf, type Value, type Word } from './tokens.ts'

export interface Filling {
  payload: Record<string, unknown>
  /** Tokens whose meaning is in the payload. */
  used: Set<number>
  unused: unknown[]
  missing: PreparedField[]
  problem?: { code: 'WRONG_TYPE' | 'UNKNOWN_FIELD'; message: string; field?: string }
}

interface Placed extends Fitting {
  at: number
  order: number
  label: Label
  isLiteral: boolean
}

/** A label this strong names the field: a value of another type is then wrong, not elsewhere. */
const NAMED = 6

export function fill(action: Action, task: PreparedTask, isPlaceholder: (value: unknown) => boolean): Filling {
  const values = action.tokens.flatMap((token, at): Placed[] => {
    if (token.kind !== 'value') return []
    return [
      {
        at,
        order: 0,
        value: token.value,
        isPlaceholder: isPlaceholder(token.value),
        label: labelOf(action.tokens, at),
        isLiteral: (token as Value).index === undefined,
      },
    ]
  })
  for (const [order, value] of values.entries()) value.order = order
  return task.fields ? fillFields(action, task, task.fields, values) : fillFreely(action, task, values)
}

/** Words of the id that name a thing, as they stand in it. */
function nounsOf(task: PreparedTask): string[] {
  return partsOf(task.entry.id).filter((part) => !stopwords.has(part) && !generic.has(stem(part)) && !verbs.has(stem(part)))
}

function fillFreely(action: Action, task: PreparedTask, values: Placed[]): Filling {
  const payload = new Map<string, unknown>()
  const used = new Set<number>()
  const said = new Set(action.contents.map((content) => content.stem))
  // A noun of the id that the sentence says is not what the value stands for.
  const nouns = nounsOf(task).filter((noun) => !said.has(stem(noun)))
  const put = (key: string, value: unknown): void => {
    let name = key
    for (let count = 2; payload.has(name); count++) name = `${key}${count}`
    payload.set(name, value)
  }
  const isExplained = (word: Word): boolean =>
    word.stems.some(
      (one) => task.terms.some((term) => term.stem === one) || task.keywordStems.has(one) || task.description.has(one),
    )
  action.tokens.forEach((token, at) => {
    if (token.kind === 'value') {
      const value = values.find((one) => one.at === at)
      if (!value) return
      put(keyOf(value.label, nouns), value.value)
    } else if (token.kind === 'word') {
      const lead = action.tokens[at - 1]
      const isLed = lead?.kind === 'word' && /^(?:to|with|as|into)$/.test(lead.text)
      // "to 1080p", "to CDN": where the task does not explain the word, it is said to it.
      if (
        !isLed ||
        stopwords.has(token.text) ||
        isExplained(token) ||
        action.tokens[at + 1]?.kind === 'value' ||
        (action.tokens[at + 1]?.kind === 'word' && !prepositions.has((action.tokens[at + 1] as Word).text))
      )
        return
      put((lead as Word).text, token.raw)
      used.add(at)
    }
  })
  return { payload: Object.fromEntries(payload), used, unused: [], missing: [] }
}

/** The noun right before the value. */
function labelPlaces(action: Action, at: number): number[] {
  const before = action.tokens[at - 1]
  return before?.kind === 'word' && labelOf(action.tokens, at).before.length > 0 ? [at - 1] : []
}

function fillFields(action: Action, task: PreparedTask, fields: PreparedField[], values: Placed[]): Filling {
  const payload = new Map<PreparedField, unknown>()
  const used = new Set<number>()
  const nouns = new Set(
    nounsOf(task)
      .map(stem)
      .flatMap((one) => [one, ...(nounSynonyms.get(one) ?? [])]),
  )
  const pairs = values.flatMap((value) =>
    fields.map((field, place) => {
      const label = labelScore(value.label, field, nouns)
      const wrong = misfit(field, value)
      const score = label + lookScore(field, value) + (field.required ? 1 : 0) - Math.abs(place - value.order) * 0.1
      return { value, field, label, wrong, score }
    }),
  )
  // A field that is named by the sentence and got a value of the wrong type, with no other that the value was named for.
  const misnamed = pairs
    .filter(
      ({ value, field, label, wrong }) =>
        wrong !== undefined &&
        label >= NAMED &&
        !pairs.some((pair) => pair.wrong === undefined && (pair.value === value || pair.field === field) && pair.label >= label),
    )
    .at(0)
  if (misnamed) return wrongType(task, misnamed.field, misnamed.wrong as string, values)
  const left = new Set(values)
  const assign = (isMeant: (pair: (typeof pairs)[number]) => boolean): void => {
    const meant = pairs
      .filter((pair) => pair.wrong === undefined && isMeant(pair))
      .sort((one, other) => other.score - one.score || one.value.order - other.value.order)
    for (const { value, field, label } of meant) {
      if (!left.has(value) || payload.has(field)) continue
      payload.set(field, value.value)
      left.delete(value)
      if (label > 0) for (const place of labelPlaces(action, value.at)) used.add(place)
    }
  }
  assign(({ label, score }) => label >= NAMED && score > 0)
  assign(({ label, field, score }) => score >= 3 && (label > 0 || field.required || score >= 6))
  const isFree = (word: Word): boolean =>
    !word.stems.some((one) => task.terms.some((term) => term.stem === one) || task.fieldStems.has(one))
  for (const literal of literalsFor(
    action.tokens,
    fields.filter((field) => !payload.has(field)),
    isFree,
  )) {
    payload.set(literal.field, literal.value)
    for (const at of literal.tokens) used.add(at)
  }
  assign(({ field }) => field.required)
  spreadObject(fields, payload, left)
  // The only optional field that takes the only value left.
  const open = fields.filter((field) => !payload.has(field))
  if (left.size === 1 && !open.some((field) => field.required)) {
    const [value] = [...left] as [Placed]
    const taking = open.filter((field) => misfit(field, value) === undefined && lookScore(field, value) >= 0)
    if (taking.length === 1 && !value.isLiteral) assign((pair) => pair.field === taking[0])
  }
  const missing = fields.filter((field) => field.required && !payload.has(field))
  const filled = Object.fromEntries([...payload].map(([field, value]) => [field.name, value]))
  const unused = [...left].map(({ value }) => value)
  const filling: Filling = { payload: filled, used, unused, missing }
  const refused = missing[0] && [...left].find(({ isLiteral }) => !isLiteral)
  if (missing[0] && refused) {
    const wrong = misfit(missing[0], refused)
    if (wrong) return { ...filling, ...wrongType(task, missing[0], wrong, values) }
  }
  if (left.size > 0 && task.entry.isClosed) {
    const message = `Task "${task.entry.id}" has no field for ${[...left].map(({ value }) => JSON.stringify(value)?.slice(0, 60)).join(', ')}; its fields are ${fields.map(({ name }) => name).join(', ')}.`
    return { ...filling, problem: { code: 'UNKNOWN_FIELD', message } }
  }
  return filling
}

/** An object whose keys are the fields that are still needed: "send welcome email to ${user}" and `{ email, name }`. */
function spreadObject(fields: PreparedField[], payload: Map<PreparedField, unknown>, left: Set<Placed>): void {
  for (const placed of left) {
    const { value, isPlaceholder } = placed
    if (isPlaceholder || typeof value !== 'object' || value === null || Array.isArray(value)) continue
    const open = fields.filter((field) => !payload.has(field))
    const own = open.filter((field) => Object.hasOwn(value, field.name))
    const fits = (field: PreparedField): boolean =>
      misfit(field, { value: (value as Record<string, unknown>)[field.name], isPlaceholder: false }) === undefined
    if (own.length === 0 || !own.every(fits) || open.some((field) => field.required && !own.includes(field))) continue
    for (const field of own) payload.set(field, (value as Record<string, unknown>)[field.name])
    left.delete(placed)
  }
}

function wrongType(task: PreparedTask, field: PreparedField, wrong: string, values: Placed[]): Filling {
  return {
    payload: {},
    used: new Set(),
    unused: values.map(({ value }) => value),
    missing: [],
    problem: { code: 'WRONG_TYPE', message: `Field "${field.name}" of task "${task.entry.id}" ${wrong}.`, field: field.name },
  }
}

export function missingMessage(task: PreparedTask, missing: PreparedField[]): string {
  const names = missing.map(
    (field) => `"${field.name}" (${wanted(field)}${field.description ? `: ${field.description.slice(0, 100)}` : ''})`,
  )
  return `Task "${task.entry.id}" needs ${names.join(' and ')}, and the sentence has no value for it: put one in, such as "… with ${missing[0]?.name} \${value}".`
}
