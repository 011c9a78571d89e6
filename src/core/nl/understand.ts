/**
 * What a sentence means: its event and its time are split off, the rest is matched against the tasks and fills the payload of the
 * best. Pure and deterministic. What must stay true: a task is meant only above the bar and clear of the second; nothing is run that
 * was negated, and no word that reads like a time is dropped.
 */
import { type Action, actionOf } from './action.ts'
import { type Split, splitEvent } from './event-clause.ts'
import { type Filling, fill, missingMessage } from './fill.ts'
import { leftoverTime } from './leftover.ts'
import { neutral, stoppers } from './lexicon.ts'
import { BAR, MARGIN, rankTasks, type Scored, scoresWord, scoreTask } from './match.ts'
import { negationIn } from './negation.ts'
import { readOperation } from './operation.ts'
import {
  type Candidate,
  type Circumstances,
  type Refusal,
  refusal,
  type Sentence,
  type Understanding,
  type Understood,
} from './sentence.ts'
import type { PreparedTask, TaskIndex } from './task-index.ts'
import { cronInWords } from './time/cron-words.ts'
import { readTime, type TimePhrase } from './time/read-time.ts'
import { isRecurrent, type Timing, timingOf } from './time/timing.ts'
import { TEXT_AT_MOST, type Token, tokensOf, VALUES_AT_MOST } from './tokens.ts'
import { secondAction } from './two-actions.ts'

/** Candidates whose payload is tried, and how many an answer names. */
const TRIED = 6
const NAMED = 5

export function understand(sentence: Sentence, index: TaskIndex, circumstances: Circumstances): Understanding {
  const length = sentence.strings.reduce((sum, text) => sum + text.length, 0)
  if (length > TEXT_AT_MOST || sentence.values.length > VALUES_AT_MOST) {
    return refusal(
      'TOO_LONG',
      `A sentence has at most ${TEXT_AT_MOST} characters and ${VALUES_AT_MOST} values; this one has ${length} and ${sentence.values.length}.`,
    )
  }
  const tokens = tokensOf(sentence)
  if (!tokens.some(({ kind }) => kind === 'word')) {
    return refusal('EMPTY', 'The sentence has no words: say what is to be done, such as "process video 7".')
  }
  const negation = negationIn(tokens)
  if (negation !== undefined) {
    return refusal(
      'NEGATED',
      `"${negation}" negates the sentence, and a negated sentence runs nothing. To stop runs or schedules, cancel or deactivate them.`,
    )
  }
  const split = splitEvent(tokens, (action) => rankTasks(index, actionOf(withoutTime(action, readTime(action))))[0]?.score ?? 0)
  if (split.event && 'problem' in split.event) return refusal('NOT_UNDERSTOOD', split.event.problem)
  const reading = readAction(split.action, index, circumstances)
  if (reading.timing.kind === 'problem') return refusal('IMPOSSIBLE_TIME', reading.timing.message, candidatesOf(reading.ranked))
  const clash = eventClash(split, reading.timing)
  if (clash) return refusal('NOT_UNDERSTOOD', clash, candidatesOf(reading.ranked))
  return decide(sentence, index, circumstances, split, reading)
}

interface ActionReading {
  action: Action
  timing: Timing
  ranked: Scored[]
}

/** "daily digest" is a thing where the task is called so, and a rhythm where it is not or a time of day stands beside it. */
function readAction(tokens: Token[], index: TaskIndex, { now, timezone }: Circumstances): ActionReading {
  const phrases = readTime(tokens)
  const firm = phrases.filter(({ isLoose }) => !isLoose)
  const loose = phrases.filter(({ isLoose }) => isLoose)
  const read = (used: TimePhrase[], removed: TimePhrase[]): ActionReading => {
    const action = actionOf(withoutTime(tokens, removed))
    const timing = timingOf(
      used.flatMap(({ pieces }) => pieces),
      { now, timezone },
    )
    return { action, timing, ranked: rankTasks(index, action) }
  }
  if (loose.length === 0) return read(firm, firm)
  const kinds = firm.flatMap(({ pieces }) => pieces)
  const asThing = read(firm, firm)
  const isNamed = asThing.ranked[0] !== undefined && loose.some((phrase) => explainsAdjective(asThing, phrase))
  const asks = tokens.some((token) => token.kind === 'word' && /^(?:schedule|set)$/.test(token.text))
  const isFree = kinds.every((piece) => piece.kind === 'clock' || piece.kind === 'zone' || piece.kind === 'window')
  const isRhythm = isFree && (!isNamed || asks || kinds.length > 0)
  return isRhythm ? read(phrases, isNamed ? firm : phrases) : read(firm, isNamed ? firm : phrases)
}

function explainsAdjective({ ranked }: ActionReading, { adjective }: TimePhrase): boolean {
  const task = ranked[0]?.task
  if (!task || !adjective || (ranked[0]?.score ?? 0) < BAR) return false
  const word = adjective.replace(/y$/, 'i')
  return (
    task.terms.some(({ stem }) => stem === word) ||
    task.keywordStems.has(word) ||
    (task.fields ?? []).some((field) => field.enum?.some((one) => typeof one === 'string' && one.toLowerCase() === adjective))
  )
}

/** Marks in place of the tokens of its times: words on both sides do not become neighbours. */
function withoutTime(tokens: Token[], phrases: TimePhrase[]): Token[] {
  const removed = new Set(phrases.flatMap((phrase) => phrase.tokens))
  return tokens.map((token, at) => (removed.has(at) ? { kind: 'mark', text: ';' } : token))
}

function eventClash({ event, clause }: Split, timing: Timing): string | undefined {
  if (!event) return undefined
  if (timing.kind !== 'none')
    return 'The sentence names an event and a time: it can wait for one of them. Put a delay into the task.'
  const phrases = readTime(clause ?? [])
  return phrases.some(({ pieces }) =>
    pieces.some((piece) => isRecurrent(piece) || piece.kind === 'clock' || piece.kind === 'delay'),
  )
    ? 'The event has a time in it: an event is waited for whenever it happens.'
    : undefined
}

interface Tried extends Scored {
  filling: Filling
}

function decide(
  sentence: Sentence,
  index: TaskIndex,
  circumstances: Circumstances,
  split: Split,
  { action, timing, ranked }: ActionReading,
): Understanding {
  const isPlaceholder = circumstances.isPlaceholder ?? (() => false)
  const tried = ranked.slice(0, TRIED).map((scored): Tried => {
    const filling = fill(action, scored.task, isPlaceholder)
    const score = scored.isExact
      ? 1
      : Math.max(
          scored.score,
          scoreTask(index, action, scored.task, (token) => filling.used.has(token)),
        )
    return { ...scored, score, filling }
  })
  tried.sort((one, other) => Number(other.isExact) - Number(one.isExact) || other.score - one.score)
  const candidates = candidatesOf(tried)
  const best = tried[0]
  const stopper = action.contents.find(({ stem }) => stoppers.has(stem))
  if (stopper && stopper === firstMeant(action) && !(best && says(best.task, stopper.stem))) {
    return refusal(
      'NEGATED',
      `The sentence asks to ${wordOf(action, stopper.tokens)} something and no task is called that: nothing is run. To stop runs or schedules, cancel or deactivate them.`,
      candidates,
    )
  }
  const isMeant = best !== undefined && best.score >= BAR
  const chosen = isMeant ? (best.isExact ? best : chooseClear(tried)) : undefined
  const leftover = leftoverTime(action.tokens, (at) => isExplained(chosen ?? best, action, at))
  if (leftover !== undefined) {
    return refusal(
      'NOT_UNDERSTOOD',
      `"${leftover}" reads like a time and is none that is understood: say it like "every day at 9:00", "on weekdays" or "in 10 minutes".`,
      candidates,
    )
  }
  if (!isMeant) return noMatch(sentence, index, circumstances, candidates)
  if (!chosen) {
    const near = tried.filter(({ score }) => best.score - score < MARGIN)
    const names = near.map(({ task, score }) => `"${task.entry.id}" (${rounded(score)})`).join(' and ')
    return refusal('AMBIGUOUS', `The sentence fits ${names} about equally: use the id of the one that is meant.`, candidates)
  }
  const second = secondAction(action, (at) => isExplained(chosen, action, at))
  if (second !== undefined) {
    return refusal(
      'NOT_UNDERSTOOD',
      `Two things are asked for ("${second}" begins the second), and one sentence runs one task: make one sentence of each.`,
      candidates,
    )
  }
  return meaning(index, chosen, action, split, timing, candidates)
}

/** The first, if the second is far enough; else the only one of the near ones that the values fit. */
function chooseClear(tried: Tried[]): Tried | undefined {
  const best = tried[0] as Tried
  const near = tried.filter(({ score }) => score >= BAR && best.score - score < MARGIN)
  if (near.length < 2) return best
  const fitting = near.filter(({ filling }) => !filling.problem && filling.missing.length === 0 && filling.unused.length === 0)
  return fitting.length === 1 ? fitting[0] : undefined
}

function meaning(
  index: TaskIndex,
  tried: Tried,
  action: Action,
  { event }: Split,
  timing: Timing,
  candidates: Candidate[],
): Understanding {
  const { task, score, filling } = tried
  if (filling.problem) return refusal(filling.problem.code, filling.problem.message, candidates, filling.problem.field)
  const missing = filling.missing.map(({ name }) => name)
  if (missing.length > 0 && !event) return refusal('MISSING_FIELD', missingMessage(task, filling.missing), candidates, missing[0])
  const notes = [...('notes' in timing ? timing.notes : []), ...unread(index, tried, action)]
  const common = {
    understood: true as const,
    task: task.entry.id,
    payload: filling.payload,
    confidence: rounded(score),
    candidates,
    ...(filling.unused.length > 0 ? { unused: filling.unused } : {}),
    ...(notes.length > 0 ? { notes } : {}),
  }
  if (event && 'event' in event) {
    return {
      ...common,
      kind: 'event',
      event: event.event,
      ...(event.filter ? { filter: event.filter } : {}),
      ...(missing.length > 0 ? { fromEvent: missing } : {}),
    }
  }
  return timed(common, timing)
}

/** Words that changed nothing: said, so that nobody takes them for understood. */
function unread(index: TaskIndex, tried: Tried, action: Action): string[] {
  const places = action.tokens.flatMap((token, at) => {
    if (token.kind !== 'word' || isExplained(tried, action, at) || scoresWord(index, tried.task, action, at)) return []
    const isMeant = action.contents.some((content) => content.tokens.includes(at) && !neutral.has(content.stem))
    return isMeant && action.tokens[at + 1]?.kind !== 'value' ? [token.raw] : []
  })
  return places.length > 0 ? [`Not read: ${places.slice(0, 10).join(', ')}.`] : []
}

function timed(common: Omit<Extract<Understood, { kind: 'run' }>, 'kind'>, timing: Timing): Understood {
  if (timing.kind === 'cron') {
    return { ...common, kind: 'schedule', cron: timing.cron, cronInWords: cronInWords(timing.cron), timezone: timing.timezone }
  }
  return timing.kind === 'at'
    ? { ...common, kind: 'run', at: new Date(timing.at).toISOString(), timezone: timing.timezone }
    : { ...common, kind: 'run' }
}

function noMatch(sentence: Sentence, index: TaskIndex, circumstances: Circumstances, candidates: Candidate[]): Refusal {
  if (index.tasks.length === 0) return refusal('NO_MATCH', 'No task is registered yet: deploy one, or start the dev server.')
  const operation = readOperation(sentence, circumstances)
  if (operation)
    return refusal(
      'NOT_UNDERSTOOD',
      `This is about runs that are there already (${operation.verb}), and names no task to run.`,
      candidates,
    )
  const nearest = candidates.slice(0, 3).map(({ task, score }) => `"${task}" (${score})`)
  const found = nearest.length > 0 ? `The nearest are ${nearest.join(', ')}; ${BAR} is needed.` : 'None has a word of it.'
  return refusal(
    'NO_MATCH',
    `No task fits the sentence. ${found} Use words of the task's id, or give the task keywords.`,
    candidates,
  )
}

function firstMeant(action: Action): Action['contents'][number] | undefined {
  return action.contents.find(({ unexplained, stem }) => unexplained > 0 || stoppers.has(stem))
}

function says(task: PreparedTask, stem: string): boolean {
  return task.terms.some((term) => term.stem === stem) || task.keywordStems.has(stem)
}

function isExplained(tried: Tried | undefined, action: Action, at: number): boolean {
  if (!tried) return false
  const { task, filling } = tried
  if (filling.used.has(at)) return true
  const token = action.tokens[at]
  return token?.kind === 'word' && token.stems.some((one) => says(task, one) || task.fieldStems.has(one))
}

function wordOf(action: Action, tokens: number[]): string {
  const token = action.tokens[tokens[0] ?? 0]
  return token?.kind === 'word' ? token.text : 'stop'
}

function candidatesOf(scored: Scored[]): Candidate[] {
  return scored.slice(0, NAMED).map(({ task, score }) => ({ task: task.entry.id, score: rounded(score) }))
}

function rounded(score: number): number {
  return Math.round(score * 100) / 100
}
