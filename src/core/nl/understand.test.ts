import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { validateCron } from '../schedule/next-tick.ts'
import { catalog, distractors } from './fixtures/catalog.ts'
import { type Expected, sentences } from './fixtures/sentences.ts'
import type { Sentence, Understanding } from './sentence.ts'
import { prepareTasks } from './task-index.ts'
import { understand } from './understand.ts'

const circumstances = { now: Date.parse('2026-11-24T12:00:00Z'), timezone: 'UTC' }
const few = prepareTasks(catalog)
const many = prepareTasks([...distractors.slice(0, 230), ...catalog, ...distractors.slice(230)])

function written({ strings, values }: Sentence): string {
  return strings.map((text, at) => (at < values.length ? `${text}\${${JSON.stringify(values[at])}}` : text)).join('')
}

function check(result: Understanding, expected: Expected): void {
  if (typeof expected === 'string') expect(result).toMatchObject({ understood: false, code: expected })
  else {
    expect(result).toMatchObject({ understood: true, ...expected })
    // toMatchObject lets a payload have more.
    if ('payload' in expected) expect(result).toHaveProperty('payload', expected.payload)
    if (expected.kind === 'run') expect('at' in result).toBe('at' in expected)
    if (expected.kind === 'event') expect('filter' in result ? result.filter : undefined).toEqual(expected.filter)
  }
}

describe('the table', () => {
  const rows = sentences.map(([sentence, expected]) => ({ name: written(sentence), sentence, expected }))
  it('has 150 sentences and more', () => expect(rows.length).toBeGreaterThanOrEqual(150))
  it.each(rows)('$name', ({ sentence, expected }) => check(understand(sentence, few, circumstances), expected))
  it('means the same among 460 other tasks', () => {
    for (const { name, sentence, expected } of rows) {
      try {
        check(understand(sentence, many, circumstances), expected)
      } catch (error) {
        throw new Error(`${name}: ${error instanceof Error ? error.message : error}`)
      }
    }
  })
  it('makes only expressions the scheduler takes', () => {
    const crons = rows
      .map(({ sentence }) => understand(sentence, few, circumstances))
      .flatMap((one) => ('cron' in one ? [one.cron] : []))
    expect(crons.length).toBeGreaterThan(20)
    expect(crons.map(validateCron).filter((problem) => problem !== undefined)).toEqual([])
  })
})
