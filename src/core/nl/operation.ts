/**
 * Sentences about runs that are there already: "retry all failed jobs from yesterday", "cancel all queued runs of task x". Every word has
 * to be understood; a sentence with one that is not is no operation.
 */
import { negationIn } from './negation.ts'
import { spanAt } from './past-span.ts'
import type { Circumstances, Operation, OperationFilter, Sentence } from './sentence.ts'
import { type Atom, atomsOf, textAt } from './time/atoms.ts'
import { TEXT_AT_MOST, tokensOf, VALUES_AT_MOST } from './tokens.ts'

const verbs: Record<string, Operation['verb']> = {
  retry: 'replay',
  replay: 'replay',
  rerun: 'replay',
  're-run': 'replay',
  restart: 'replay',
  cancel: 'cancel',
  stop: 'cancel',
  abort: 'cancel',
  kill: 'cancel',
  terminate: 'cancel',
}

const failed = ['FAILED', 'CRASHED', 'SYSTEM_FAILURE', 'TIMED_OUT']
const live = ['QUEUED', 'PENDING_VERSION', 'DELAYED', 'DEQUEUED', 'EXECUTING', 'WAITING']
const final = ['COMPLETED', 'CANCELED', 'EXPIRED', ...failed]
/** The statuses of the list of runs that a word stands for. */
const statuses: Record<string, string[]> = {
  failed,
  failing: failed,
  broken: failed,
  unsuccessful: failed,
  errored: ['FAILED'],
  crashed: ['CRASHED'],
  'timed-out': ['TIMED_OUT'],
  timeouted: ['TIMED_OUT'],
  expired: ['EXPIRED'],
  canceled: ['CANCELED'],
  cancelled: ['CANCELED'],
  completed: ['COMPLETED'],
  successful: ['COMPLETED'],
  succeeded: ['COMPLETED'],
  finished: final,
  queued: ['QUEUED', 'PENDING_VERSION'],
  pending: ['QUEUED', 'PENDING_VERSION', 'DELAYED'],
  delayed: ['DELAYED'],
  running: ['EXECUTING', 'DEQUEUED'],
  executing: ['EXECUTING', 'DEQUEUED'],
  active: live,
  waiting: ['WAITING'],
}
const courtesy = new Set('please can could you all every any of the my our each these those just currently still now'.split(' '))

export function readOperation(sentence: Sentence, { now, timezone }: Circumstances): Operation | undefined {
  if (sentence.values.length > VALUES_AT_MOST || sentence.strings.join('').length > TEXT_AT_MOST) return undefined
  const tokens = tokensOf(sentence)
  if (negationIn(tokens) !== undefined) return undefined
  const atoms = atomsOf(tokens, () => true).filter(({ isMark }) => !isMark)
  let at = skip(atoms, 0)
  const verb = Object.hasOwn(verbs, textAt(atoms, at)) ? verbs[textAt(atoms, at++)] : undefined
  if (!verb) return undefined
  const found: OperationFilter = { status: [] }
  const head = readHead(atoms, at, found)
  if (head === undefined) return undefined
  at = head
  while (at < atoms.length) {
    const next = readQualifier(atoms, at, found, { now, timezone })
    if (next === undefined) return undefined
    at = next
  }
  const status = found.status.length > 0 ? [...new Set(found.status)] : verb === 'cancel' ? live : final
  // A final run cannot be canceled, and a live one not be replayed.
  const possible = verb === 'cancel' ? status.filter((one) => live.includes(one)) : status.filter((one) => final.includes(one))
  return possible.length > 0 ? { verb, filter: { ...found, status: possible } } : undefined
}

function skip(atoms: Atom[], from: number): number {
  let at = from
  while (courtesy.has(textAt(atoms, at))) at++
  return at
}

const isNoun = (text: string): boolean => /^(?:jobs?|runs?|executions?|tasks)$/.test(text)

/** Up to "runs" or "jobs": statuses, and at most one word that is the task's id. */
function readHead(atoms: Atom[], from: number, found: OperationFilter): number | undefined {
  for (let at = skip(atoms, from); at < atoms.length; at = skip(atoms, at)) {
    if (isNoun(textAt(atoms, at))) return at + 1
    const next = statusAt(atoms, at, found)
    if (next !== undefined) at = next
    else if (found.task === undefined && isId(atoms[at])) found.task = atoms[at++]?.raw
    else return undefined
  }
  return undefined
}

function isId(atom: Atom | undefined): boolean {
  return atom !== undefined && /^[\w./-]+$/.test(atom.raw) && atom.raw.length <= 128
}

function statusAt(atoms: Atom[], from: number, found: OperationFilter): number | undefined {
  const at = /^(?:and|or|are|were|is|have|has|had)$/.test(textAt(atoms, from)) ? from + 1 : from
  const isTimedOut = textAt(atoms, at) === 'timed' && textAt(atoms, at + 1) === 'out'
  const word = isTimedOut ? 'timed-out' : textAt(atoms, at)
  if (!Object.hasOwn(statuses, word)) return undefined
  found.status.push(...(statuses[word] as string[]))
  return at + (isTimedOut ? 2 : 1)
}

/** Behind the noun: "of task x", "that failed", a span of the past. */
function readQualifier(
  atoms: Atom[],
  at: number,
  found: OperationFilter,
  clock: { now: number; timezone: string },
): number | undefined {
  const text = textAt(atoms, at)
  if (/^(?:that|which)$/.test(text) || text === 'and') return statusAt(atoms, at + 1, found)
  const span = spanAt(atoms, at, clock)
  if (span) {
    if ((span.from !== undefined && found.from !== undefined) || (span.to !== undefined && found.to !== undefined))
      return undefined
    if (span.from !== undefined) found.from = span.from
    if (span.to !== undefined) found.to = span.to
    return span.next
  }
  if (!/^(?:of|for|from|in)$/.test(text) || found.task !== undefined) return undefined
  let id = skip(atoms, at + 1)
  if (textAt(atoms, id) === 'task') id++
  const isWord = isId(atoms[id])
  if (!isWord) return undefined
  found.task = atoms[id]?.raw
  return textAt(atoms, id + 1) === 'task' ? id + 2 : id + 1
}
