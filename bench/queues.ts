/** 10,000 waiting runs are let go: over 100 queues with 10 keys each, beside as many in one queue. */
import { type Cell, median, printTable, sleep } from './measure.ts'
import { type OurPeer, startOurs } from './peers/trigger-do.ts'

const rounds = 3
const queueCount = 100
const keyCount = 10
const perBatch = 500
/** All at once would be 125 isolates; those of one workerd share 4 GB. */
const runsAtOnce = 100

type Options = { queue: { name: string }; concurrencyKey?: string }
const shapes: Record<string, (index: number) => Options> = {
  'one queue': () => ({ queue: { name: 'bench-wide' } }),
  [`${queueCount} queues × ${keyCount} keys`]: (index) => ({
    queue: { name: `bench-${index % queueCount}` },
    concurrencyKey: `key-${Math.floor(index / queueCount) % keyCount}`,
  }),
  'a key for each run': (index) => ({ queue: { name: 'bench-wide' }, concurrencyKey: `user-${index}` }),
}

export async function run(share: number): Promise<void> {
  const count = Math.ceil((10_000 * share) / perBatch) * perBatch
  const ours = await startOurs({ concurrency: runsAtOnce })
  try {
    const taken = new Map(Object.keys(shapes).map((name) => [name, { enqueue: [] as number[], dispatch: [] as number[] }]))
    for (let round = 0; round < rounds; round++)
      for (const [name, options] of Object.entries(shapes)) {
        const { enqueueMs, dispatchMs } = await once(ours, count, options)
        taken.get(name)?.enqueue.push(enqueueMs)
        taken.get(name)?.dispatch.push(dispatchMs)
      }
    const of = (name: string, what: 'enqueue' | 'dispatch'): number => count / (median(taken.get(name)?.[what] ?? []) / 1000)
    const [first = ''] = Object.keys(shapes)
    printTable(
      `${count} runs enqueued in batches of ${perBatch}, then let go, runs/s, median of ${rounds} rounds`,
      ['', 'enqueued', 'run', 'to one queue'],
      Object.keys(shapes).map((name): Cell[] => [
        name,
        of(name, 'enqueue'),
        of(name, 'dispatch'),
        of(name, 'dispatch') / of(first, 'dispatch'),
      ]),
    )
  } finally {
    await ours.stop()
  }
}

async function once(
  ours: OurPeer,
  count: number,
  options: (index: number) => Options,
): Promise<{ enqueueMs: number; dispatchMs: number }> {
  await pause(ours, true)
  const startedAt = performance.now()
  for (let from = 0; from < count; from += perBatch) {
    const items = Array.from({ length: perBatch }, (_, index) => ({
      task: 'queued',
      payload: {},
      options: options(from + index),
    }))
    await call(ours, '/api/v2/tasks/batch', { items })
  }
  const enqueueMs = performance.now() - startedAt
  const letGoAt = performance.now()
  await pause(ours, false)
  // Read from the queues: nothing is left that waits or runs.
  for (;;) {
    const { data } = (await (await ours.fetch('/api/v1/queues?perPage=100')).json()) as {
      data: { queued: number; running: number }[]
    }
    const more = (await (await ours.fetch('/api/v1/queues?perPage=100&page=2')).json()) as {
      data: { queued: number; running: number }[]
    }
    if ([...data, ...more.data].every(({ queued, running }) => queued + running === 0)) break
    await sleep(50)
  }
  return { enqueueMs, dispatchMs: performance.now() - letGoAt }
}

async function pause(ours: OurPeer, isPaused: boolean): Promise<void> {
  const action = isPaused ? 'pause' : 'resume'
  const names = ['bench-wide', ...Array.from({ length: queueCount }, (_, index) => `bench-${index}`)]
  for (const name of names) await call(ours, `/api/v1/queues/${name}/pause`, { type: 'custom', action })
}

async function call(ours: OurPeer, path: string, body: unknown): Promise<void> {
  const response = await ours.fetch(path, { method: 'POST', body: JSON.stringify(body) })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
}
