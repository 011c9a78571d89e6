import { describe, expect, it } from 'vitest'
import { readOperation } from './operation.ts'

const at = (text: string): number => Date.parse(text)
const circumstances = { now: at('2026-11-24T12:00:00Z'), timezone: 'Europe/Berlin' }
const failed = ['FAILED', 'CRASHED', 'SYSTEM_FAILURE', 'TIMED_OUT']
const queued = ['QUEUED', 'PENDING_VERSION']

function read(strings: TemplateStringsArray, ...values: unknown[]): unknown {
  return readOperation({ strings: [...strings], values }, circumstances)
}

describe('an operation', () => {
  it.each([
    [
      read`retry all failed jobs from yesterday`,
      'replay',
      { status: failed, from: at('2026-11-22T23:00Z'), to: at('2026-11-23T23:00Z') },
    ],
    [read`replay all failed runs of task sync-orders`, 'replay', { status: failed, task: 'sync-orders' }],
    [
      read`retry failed sync-orders runs since Monday`,
      'replay',
      { status: failed, task: 'sync-orders', from: at('2026-11-22T23:00Z') },
    ],
    [
      read`please retry every run that failed today`,
      'replay',
      { status: failed, from: at('2026-11-23T23:00Z'), to: at('2026-11-24T23:00Z') },
    ],
    [read`retry all crashed runs in the last 2 hours`, 'replay', { status: ['CRASHED'], from: at('2026-11-24T10:00Z') }],
    [read`retry all failed runs since 2026-11-20`, 'replay', { status: failed, from: at('2026-11-19T23:00Z') }],
    [read`cancel all queued runs`, 'cancel', { status: queued }],
    [read`cancel all queued runs of ${'resize'}`, 'cancel', { status: queued, task: 'resize' }],
    [read`cancel delayed jobs older than 3 days`, 'cancel', { status: ['DELAYED'], to: at('2026-11-21T12:00Z') }],
    [
      read`replay timed out and crashed runs from last week`,
      'replay',
      { status: ['TIMED_OUT', 'CRASHED'], from: at('2026-11-15T23:00Z'), to: at('2026-11-22T23:00Z') },
    ],
  ])('%#', (result, verb, filter) => expect(result).toEqual({ verb, filter }))

  it.each([
    ['of one thing', read`cancel order ${'o1'}`],
    ['of a task', read`retry payment ${'p1'}`],
    ['that is negated', read`do not retry all failed jobs`],
    ['with a word that is not known', read`retry all failed purple jobs twice`],
    ['that cannot be', read`cancel all failed runs`],
    ['of nothing', read``],
  ])('is not a sentence %s', (_, result) => expect(result).toBeUndefined())
})
