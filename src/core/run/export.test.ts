import { describe, expect, it } from 'vitest'
import { mintId, relocateId, timeOf } from '../../contracts/ids.ts'
import type { RunRecord, RunStatus } from '../../contracts/rpc.ts'
import { exportedRun, importVerdict, relocatedRun } from './export.ts'
import { bucketKey, dayBounds, historyDay } from './retention.ts'
import { allStatuses, isFinal } from './statuses.ts'

const at = Date.UTC(2026, 10, 24, 12)
const run = (more: Partial<RunRecord> = {}): RunRecord => ({
  id: mintId('run', 'aaaaaa', '0', at),
  task: 't',
  status: 'COMPLETED_SUCCESSFULLY',
  createdAt: at,
  updatedAt: at,
  completedAt: at,
  tags: [],
  queue: 'task/t',
  depth: 0,
  resumeParentOnCompletion: false,
  attemptNumber: 1,
  priorityMs: 0,
  isTest: false,
  durationMs: 1,
  costInCents: 0,
  baseCostInCents: 0,
  traceId: '0'.repeat(32),
  spanId: '0'.repeat(16),
  ...more,
})

describe('an exported run', () => {
  it('has nothing of the engine, and what an unfinished one needs to begin again', () => {
    const engine = { lease: 7, lockToVersion: '1', parked: { externalId: 'e' } }
    const exported = exportedRun({ ...run(), waitingReason: 'x', engine } as never, { spans: [] })
    expect(exported).toEqual({ run: run({ id: exported.run.id }), spans: [], lockToVersion: '1', externalDeploymentId: 'e' })
  })
})

describe('a run in another environment', () => {
  it('has the id the old one decides, and so has all it refers to', () => {
    const ids = {
      parentRunId: mintId('run', 'aaaaaa'),
      rootRunId: mintId('run', 'aaaaaa'),
      batchId: mintId('batch', 'aaaaaa'),
      replayOf: mintId('run', 'aaaaaa'),
      bulkActionIds: [mintId('bulk', 'aaaaaa')],
    }
    const old = run(ids)
    const moved = relocatedRun(old, 'bbbbbb')
    expect(moved).toEqual(relocatedRun(old, 'bbbbbb'))
    expect(moved.id).toBe(relocateId(old.id, 'bbbbbb'))
    expect([moved.importedFrom, timeOf(moved.id)]).toEqual([old.id, at])
    for (const id of [moved.parentRunId, moved.rootRunId, moved.batchId, moved.replayOf, moved.bulkActionIds?.[0]])
      expect(id).toMatch(/bbbbbb0$/)
    // Back at home it is the run it was; elsewhere its first id is kept.
    expect(relocatedRun(moved, 'aaaaaa').id).toBe(old.id)
    expect(relocatedRun(moved, 'cccccc').importedFrom).toBe(old.id)
  })

  it('keeps its ids in the same one', () => {
    const old = run({ parentRunId: mintId('run', 'aaaaaa') })
    expect(relocatedRun(old, 'aaaaaa')).toEqual(old)
  })
})

describe('the verdict on an imported run', () => {
  const verdict = (
    status: RunStatus,
    more: { isKnown?: boolean; queueUnfinished?: boolean; cutoff?: number; isMadeByUnfinished?: boolean } = {},
  ): string =>
    importVerdict(
      { run: run({ status }), ...(more.isMadeByUnfinished ? { isMadeByUnfinished: true } : {}) },
      { isKnown: more.isKnown ?? false, queueUnfinished: more.queueUnfinished ?? false, cutoff: more.cutoff ?? 0 },
    )

  it('never takes a run that is not final as it stands', () => {
    for (const status of allStatuses) {
      expect(verdict(status)).toBe(isFinal(status) ? 'import' : 'unfinished')
      expect(verdict(status, { queueUnfinished: true })).toBe(isFinal(status) ? 'import' : 'queueAgain')
      expect(verdict(status, { isKnown: true, queueUnfinished: true })).toBe('known')
    }
  })

  it('leaves to a parent what the parent makes again, and to the past what is past', () => {
    expect(verdict('EXECUTING', { queueUnfinished: true, isMadeByUnfinished: true })).toBe('madeByParent')
    expect(verdict('CANCELED', { queueUnfinished: true, isMadeByUnfinished: true })).toBe('import')
    expect(verdict('CANCELED', { cutoff: at + 1 })).toBe('expired')
    expect(verdict('DELAYED', { cutoff: at + 1, queueUnfinished: true })).toBe('queueAgain')
  })
})

describe('the bucket', () => {
  it('has an object by environment, day and first run', () => {
    const id = mintId('run', 'aaaaaa', '0', at)
    expect(bucketKey({ projectRef: 'proj_x', id: 'env' }, id)).toBe(`archive/proj_x/env/20261124/${id}.ndjson`)
  })

  it('knows the ids of a day', () => {
    const [from, before] = dayBounds('20261124')
    const first = mintId('run', 'aaaaaa', '0', Date.UTC(2026, 10, 24))
    const last = mintId('run', 'aaaaaa', '0', Date.UTC(2026, 10, 25) - 1)
    const next = mintId('run', 'aaaaaa', '0', Date.UTC(2026, 10, 25))
    expect([first >= from, last >= from && last < before, next >= before, historyDay(last)]).toEqual([
      true,
      true,
      true,
      '20261124',
    ])
  })
})
