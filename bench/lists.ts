/** Lists in an environment with 500,000 finished runs: time inside the object, on the first page and far from it. */
import { join } from 'node:path'
import { root } from '../scripts/local-host.ts'
import { type Cell, median, printTable, untilFinished } from './measure.ts'
import { startOurs } from './peers/trigger-do.ts'
import type { FillRequest, ListRequest } from './worker/list-lab.ts'

const rounds = 9
const perFill = 10_000
/** Lists of one call, so that the call itself weighs little. */
const times = 20
const dayMs = 86_400_000

type Filter = Omit<ListRequest['input'], 'size'>

const filters: Record<string, Filter> = {
  'no filter': {},
  'one task of 50': { tasks: ['task-7'] },
  'five tasks': { tasks: ['task-1', 'task-2', 'task-3', 'task-4', 'task-5'] },
  'failed (1 in 5,000)': { statuses: ['COMPLETED_WITH_ERRORS'] },
  'failed, of one task': { statuses: ['COMPLETED_WITH_ERRORS'], tasks: ['task-0'] },
  'completed, of one task': { statuses: ['COMPLETED_SUCCESSFULLY'], tasks: ['task-7'] },
  'a tag all have': { tags: ['all'] },
  'a rare tag (1 in 2,500)': { tags: ['needle'] },
  'a rare queue, no index': { queues: ['rare-queue'] },
  'test runs (none), no index': { isTest: true },
}

export async function run(share: number): Promise<void> {
  const count = Math.ceil((500_000 * share) / perFill) * perFill
  const ours = await startOurs({ entry: join(root, 'bench/worker/list-lab.ts') })
  const post = async <T>(path: string, body: FillRequest | ListRequest): Promise<T> => {
    const response = await ours.fetch(path, { method: 'POST', body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as T
  }
  try {
    const runId = await ours.trigger('noop', {})
    await untilFinished(ours, 'noop', runId)
    for (let from = 0; from < count; from += perFill) await post('/bench/fill', { runId, from, to: from + perFill, of: count })
    const timed = async (input: ListRequest['input'], repeats: number): Promise<{ ms: number; found: number; next?: string }> => {
      const startedAt = performance.now()
      const result = await post<{ found: number; next?: string }>('/bench/list', { runId, input, times: repeats })
      return { ms: performance.now() - startedAt, ...result }
    }
    const rows: Cell[][] = []
    for (const [name, filter] of Object.entries(filters)) {
      const first = { size: 20, ...filter }
      const deep = { ...first, to: Date.now() - (count / 1440 / 2) * dayMs }
      const taken = { first: [] as number[], deep: [] as number[] }
      let page = { found: 0, next: undefined as string | undefined }
      for (let round = 0; round < rounds; round++)
        for (const [place, input] of Object.entries({ first, deep }) as ['first' | 'deep', ListRequest['input']][]) {
          const once = await timed(input, 1)
          const many = await timed(input, times + 1)
          taken[place].push((many.ms - once.ms) / times)
          if (place === 'first') page = { found: once.found, next: once.next }
        }
      rows.push([name, page.found, page.next ? 'yes' : 'no', median(taken.first), median(taken.deep)])
    }
    printTable(
      `A page of 20 of ${count} finished runs, ms inside EnvironmentDO, median of ${rounds}`,
      ['filter', 'runs', 'next', 'newest', 'half-way down'],
      rows,
    )
  } finally {
    await ours.stop()
  }
}
