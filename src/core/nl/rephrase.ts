/**
 * Asking a language model about a sentence the grammar did not read: it may only put it in other words, which the grammar then reads as
 * it reads everybody's. So a model decides nothing: what it says is understood by the same rules, and checked against the same tasks.
 */
import type { Sentence, TaskEntry } from './sentence.ts'

/** What the model gets to see of the tasks; more would not fit into its attention. */
const tasksShown = 200
const longestAnswer = 500

export interface Message {
  role: 'system' | 'user'
  content: string
}

const rules = `You put a request for background jobs into words that a small grammar reads. Answer with JSON only: {"sentence": "..."} or {"sentence": null} when no task fits or when the request says that nothing should be done.
The sentence names one task by words of its id, gives every required field of its payload, and uses each value of the request by its mark, {0}, {1}, ...; never invent a value.
Forms: "<task words> <field words> {0}"; "every day at 3am, <task words>"; "at 9am on weekdays, <task words>"; "when <thing> <happens>, <task words>".`

export function askFor({ strings, values }: Sentence, tasks: TaskEntry[]): Message[] {
  const text = strings.reduce((all, part, index) => `${all}${index > 0 ? `{${index - 1}}` : ''}${part}`, '')
  const kinds = values.map((value, index) => `{${index}}: ${kindOf(value)}`)
  const list = tasks.slice(0, tasksShown).map(({ id, description, fields }) =>
    JSON.stringify({
      id,
      ...(description ? { description } : {}),
      ...(fields ? { fields: fields.map(({ name, required }) => `${name}${required ? '' : ' (optional)'}`) } : {}),
    }),
  )
  const parts = [`Tasks:\n${list.join('\n')}`, `Values:\n${kinds.join('\n') || 'none'}`, `Request: ${text}`]
  return [
    { role: 'system', content: rules },
    { role: 'user', content: parts.join('\n\n') },
  ]
}

/** The sentence of a model's answer with the request's own values, or undefined when it is none. */
export function readAnswer(answer: string, { values }: Sentence): Sentence | undefined {
  const json = /\{[\s\S]*\}/.exec(answer.slice(0, 10_000))?.[0]
  let said: unknown
  try {
    said = (JSON.parse(json ?? '') as { sentence?: unknown } | null)?.sentence
  } catch {
    return undefined
  }
  if (typeof said !== 'string' || said.trim() === '' || said.length > longestAnswer) return undefined
  const strings: string[] = []
  const used: unknown[] = []
  let rest = 0
  for (const match of said.matchAll(/\{(\d+)\}/g)) {
    const index = Number(match[1])
    if (index >= values.length) return undefined
    strings.push(said.slice(rest, match.index))
    used.push(values[index])
    rest = match.index + match[0].length
  }
  strings.push(said.slice(rest))
  return { strings, values: used }
}

/** The values themselves stay here: a model needs to know where one goes, not what it is. */
function kindOf(value: unknown): string {
  if (typeof value === 'string')
    return /^[^@\s]+@[^@\s]+$/.test(value) ? 'an e-mail address' : /^https?:/.test(value) ? 'a URL' : 'a text'
  if (Array.isArray(value)) return `a list of ${value.length}`
  return value === null
    ? 'null'
    : typeof value === 'object'
      ? `an object with ${Object.keys(value).slice(0, 20).join(', ')}`
      : `a ${typeof value}`
}
