/// <reference types="@cloudflare/vitest-plugin/types" />
import { runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { mintId } from '../contracts/ids.ts'
import type { ListRunsInput, ListRunsResult, RunStatus } from '../contracts/rpc.ts'
import { isFinal } from '../core/run/statuses.ts'
import { insertRun, type StoredRun } from '../storage/run-table.ts'
import { listRuns } from './environment/run-list.ts'
import type { EnvironmentState } from './environment/state.ts'
import { Environment, FakeExecutors, must } from './testing.ts'

const count = 12_000
const start = Date.now() - 20 * 86_400_000
let environment: Environment
let stored: StoredRun[]

const endings: [RunStatus, number][] = [
  ['CRASHED', 4_000],
  ['CANCELED', 500],
  ['COMPLETED_WITH_ERRORS', 50],
]

/** One run a minute; rare things are far apart. */
function made(index: number): StoredRun {
  const { locator } = environment.identity
  const createdAt = start + index * 60_000
  const status = endings.find(([, every]) => index % every === every - 1)?.[0] ?? 'COMPLETED_SUCCESSFULLY'
  return {
    id: mintId('run', locator, '0', createdAt),
    task: index % 3_000 === 7 ? 'rare' : index % 2 ? 'odd' : 'even',
    status,
    createdAt,
    tags: [
      ...(index % 2_500 === 3 ? ['needle'] : []),
      ...(index % 3 === 0 ? ['third', 'third-2', 'third-3', 'third-4', 'third-5'] : []),
    ],
    queue: index % 5_000 === 11 ? 'special' : 'task/odd',
    ...(index % 4_000 === 13 ? { batchId: 'batch_x' } : {}),
    ...(index % 1_000 === 17 ? { scheduleId: 'sched_x' } : {}),
    version: index < count / 2 ? '20260101.1' : '20260102.1',
    isTest: index % 999 === 0,
    attemptNumber: 1,
    engine: { operationId: '', lease: 0, slot: 0, score: 0, holdsSlot: false, waits: [], lost: 0 },
  } as unknown as StoredRun
}

async function inside<T>(work: (state: EnvironmentState) => T): Promise<T> {
  return await runInDurableObject(environment.stub as never, (object) =>
    work((object as unknown as { state: EnvironmentState }).state),
  )
}

/** A page, and the rows it read. */
function page(state: EnvironmentState, input: ListRunsInput): { result: ListRunsResult; rows: number } {
  const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = []
  const sql = {
    exec: (query: string, ...values: unknown[]) => {
      const cursor = state.sql.exec(query, ...values)
      cursors.push(cursor)
      return cursor
    },
  }
  const result = listRuns(Object.create(state, { sql: { value: sql } }), input)
  return { result, rows: cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0) }
}

function matches(run: StoredRun, input: ListRunsInput): boolean {
  const among = <T>(list: T[] | undefined, value: T | undefined): boolean =>
    !list || (value !== undefined && list.includes(value))
  return (
    among(input.statuses, run.status) &&
    among(input.tasks, run.task) &&
    among(input.versions, run.version) &&
    among(input.queues, run.queue) &&
    (!input.tags || input.tags.some((tag) => run.tags.includes(tag))) &&
    (input.batchId === undefined || run.batchId === input.batchId) &&
    (input.scheduleId === undefined || run.scheduleId === input.scheduleId) &&
    (input.isTest === undefined || run.isTest === input.isTest) &&
    (input.from === undefined || run.createdAt >= input.from) &&
    (input.to === undefined || run.createdAt <= input.to)
  )
}

const filters: Record<string, Omit<ListRunsInput, 'size'>> = {
  none: {},
  'rare task': { tasks: ['rare'] },
  'two tasks': { tasks: ['rare', 'odd'] },
  'rare state': { statuses: ['CRASHED'] },
  'two rare states, one of live runs': { statuses: ['CRASHED', 'COMPLETED_WITH_ERRORS', 'PENDING_VERSION'] },
  'rare state of a task': { statuses: ['COMPLETED_WITH_ERRORS'], tasks: ['odd'] },
  success: { statuses: ['COMPLETED_SUCCESSFULLY'], tasks: ['rare'] },
  'rare tag': { tags: ['needle'] },
  'two tags': { tags: ['needle', 'third'] },
  'five tags of the same runs': { tags: ['third', 'third-2', 'third-3', 'third-4', 'third-5'], queues: ['special'] },
  'tag and state': { tags: ['third'], statuses: ['CRASHED'] },
  batch: { batchId: 'batch_x' },
  schedule: { scheduleId: 'sched_x' },
  queue: { queues: ['special'] },
  version: { versions: ['20260101.1'], tasks: ['rare'] },
  test: { isTest: true },
  period: { from: start + 100 * 60_000, to: start + 400 * 60_000 },
  'period and tag': { from: start + 100 * 60_000, to: start + 4_000 * 60_000, tags: ['needle'] },
  'a state nothing is in': { statuses: ['EXPIRED'] },
  'a tag nothing has': { tags: ['nothing'] },
}

beforeEach(async () => {
  environment = new Environment(new FakeExecutors())
  await environment.deploy('known')
  stored = Array.from({ length: count }, (_, index) => made(index))
  await inside((state) => {
    for (const run of stored) insertRun(state.sql, run, false, {})
  })
  // Not final: they wait for a version, in memory.
  for (const task of ['odd', 'rare']) {
    const id = await environment.trigger(task, { tags: ['third'] })
    stored.push({ ...(await environment.run(id)) } as never)
  }
})
afterEach(() => vi.restoreAllMocks())

describe('a list of runs', () => {
  it('is complete and in order at any depth in both directions, and reads at most 2,000 rows a page', async () => {
    expect(stored.filter((run) => !isFinal(run.status))).toHaveLength(2)
    const problems = await inside((state) => {
      const found: string[] = []
      for (const [name, filter] of Object.entries(filters)) {
        const wanted = stored.filter((run) => matches(run, filter as ListRunsInput)).map((run) => run.id)
        const newestFirst = wanted.toSorted().reverse()
        const size = wanted.length > 1_000 ? 100 : 7
        for (const way of ['next', 'previous'] as const) {
          const seen: string[] = []
          let cursor: string | undefined = way === 'next' ? undefined : 'run_0'
          let pages = 0
          do {
            const { result, rows } = page(state, {
              size,
              ...filter,
              ...(cursor === undefined ? {} : { [way === 'next' ? 'after' : 'before']: cursor }),
            })
            const ids = result.runs.map((run) => run.id)
            if (way === 'next') seen.push(...ids)
            else seen.unshift(...ids)
            if (rows > 2_000) found.push(`${name}: ${rows} rows`)
            cursor = result[way]
            pages += 1
          } while (cursor !== undefined && pages < 1_000)
          if (seen.join() !== newestFirst.join())
            found.push(`${name} by ${way}: ${seen.length} of ${wanted.length}, ${pages} pages`)
        }
      }
      return found
    })
    expect(problems).toEqual([])
  })

  it('finds what is rare in one page', async () => {
    const rows = await inside((state) =>
      (['rare task', 'rare state', 'rare tag', 'batch', 'a state nothing is in'] as const).map((name) => {
        const { result, rows } = page(state, { size: 20, ...filters[name] })
        expect(result.next, name).toBeUndefined()
        return rows
      }),
    )
    expect(Math.max(...rows)).toBeLessThan(60)
  })

  it('knows the tags a run has now', async () => {
    const id = await environment.trigger('odd')
    await environment.object.addTags(environment.caller, id, ['late'])
    const listed = await environment.object.listRuns(environment.caller, { size: 5, tags: ['late'] })
    expect(listed.ok && listed.value.runs.map((run) => run.id)).toEqual([id])
    const debounce = { key: 'k', delayMs: 60_000, mode: 'trailing' as const }
    const pushed = await environment.trigger('odd', { debounce, tags: ['before'] })
    expect(await environment.trigger('odd', { debounce, tags: ['after'] })).toBe(pushed)
    const tagged = await Promise.all(
      ['before', 'after'].map(async (tag) =>
        must(await environment.object.listRuns(environment.caller, { size: 5, tags: [tag] })).runs.map((run) => run.id),
      ),
    )
    expect(tagged).toEqual([[], [pushed]])
  })
})
