import { describe, expect, it } from 'vitest'
import type { RunDetail } from '../contracts/rpc.ts'
import { columns, offsetOf, revisionOf, rowOf, schemaHeader, wantedColumns } from './run-shape.ts'

const run = (more: Partial<RunDetail> = {}): RunDetail => ({
  id: 'run_1',
  task: 't',
  status: 'PENDING',
  createdAt: Date.UTC(2026, 10, 22, 11, 36, 57, 309),
  updatedAt: Date.UTC(2026, 10, 22, 11, 36, 58),
  tags: ['we"ird\\,{x}', 'plain'],
  queue: 'q',
  depth: 0,
  resumeParentOnCompletion: false,
  attemptNumber: 0,
  priorityMs: 0,
  isTest: false,
  durationMs: 0,
  costInCents: 0,
  baseCostInCents: 0,
  traceId: 't',
  spanId: 's',
  ...more,
})

describe('a row', () => {
  it('is text and null, with times that name no zone and arrays as Postgres writes them', () => {
    const row = rowOf(run(), Object.keys(columns), true)
    expect(Object.values(row).every((value) => value === null || typeof value === 'string')).toBe(true)
    expect(row).toMatchObject({
      createdAt: '2026-11-22T11:36:57.309',
      completedAt: null,
      isTest: 'f',
      usageDurationMs: '0',
      runTags: '{"we\\"ird\\\\,{x}","plain"}',
      realtimeStreams: '{}',
    })
  })

  it('says what ended, and how', () => {
    const error = { type: 'STRING_ERROR', raw: 'no' } as const
    expect(
      rowOf(run({ status: 'COMPLETED_WITH_ERRORS', completedAt: 0, error }), ['completedAt', 'error', 'output'], true),
    ).toEqual({
      completedAt: '1970-01-01T00:00:00.000',
      error: '{"type":"STRING_ERROR","raw":"no"}',
      output: null,
    })
  })

  it('has the statuses that its reader knows', () => {
    const status = (name: RunDetail['status'], isModern: boolean): string | null | undefined =>
      rowOf(run({ status: name }), ['status'], isModern).status
    expect([status('DEQUEUED', true), status('DEQUEUED', false)]).toEqual(['DEQUEUED', 'EXECUTING'])
    expect([status('PENDING_VERSION', true), status('PENDING_VERSION', false)]).toEqual(['PENDING_VERSION', 'WAITING_FOR_DEPLOY'])
  })
})

it('columns are left out when they are not wanted, but for those every reader needs', () => {
  const names = wantedColumns('payload, status,updatedAt,nothing')
  expect(names).not.toContain('payload')
  expect(names).toEqual(expect.arrayContaining(['status', 'updatedAt', 'output']))
  expect(Object.keys(JSON.parse(schemaHeader(names)))).toEqual(names)
  expect(wantedColumns(undefined)).toEqual(Object.keys(columns))
})

it('an offset names a revision', () => {
  expect(revisionOf(offsetOf(1_795_347_417_355))).toBe(1_795_347_417_355)
  for (const text of ['-1', '', undefined, 'x_0', '1', '99999999999999999_0']) expect(revisionOf(text)).toBeUndefined()
})
