/** 10,000 schedules made over the API, all due in the same minute, beside as many runs triggered by the SDK in batches. */
import { join } from 'node:path'
import { configure, tasks } from '@trigger.dev/sdk'
import { root } from '../scripts/local-host.ts'
import { type Counts, takeCounts } from './cost.ts'
import { type Cell, printTable, sleep } from './measure.ts'
import { type OurPeer, startOurs } from './peers/trigger-do.ts'

const minuteMs = 60_000
const creationsAtOnce = 50
/** What creating one may take at most, so that all are there before the minute comes. */
const creationMs = 12
const perBatch = 500
const pollMs = 100
/** As in production, and as many isolates as fit into one workerd. */
const runsAtOnce = 100
const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Sydney']

interface Made {
  /** Milliseconds until the last run was made, and until the last one had ended. */
  madeMs: number
  endedMs: number
  counts: Counts
}

export async function run(share: number): Promise<void> {
  const count = Math.ceil((10_000 * share) / perBatch) * perBatch
  process.env.SCHEDULE_LIMIT = String(count + 1)
  const ours = await startOurs({ entry: join(root, 'bench/worker/measuring.ts'), concurrency: runsAtOnce })
  try {
    configure({ baseURL: ours.origin, accessToken: ours.secretKey })
    // Both begin with warm isolates.
    await until(ours, 'queued', perBatch, () => batches('queued', perBatch))
    const due = Math.ceil((Date.now() + count * creationMs + 20_000) / minuteMs) * minuteMs
    await takeCounts(ours)
    const startedAt = performance.now()
    await createAll(ours, count, due)
    const creation = { ms: performance.now() - startedAt, counts: await takeCounts(ours) }
    if (Date.now() > due) throw new Error(`Creating ${count} schedules took ${Math.round(creation.ms)} ms, past their minute`)
    const ticks = await until(ours, 'tick', count, () => sleep(due - Date.now()), due)
    console.log(`\n${creation.ms.toFixed(0)} ms to create them, ${ticks.madeMs} ms to make the last run`)
    await checkEachOnce(ours, count, due)
    const batched = await until(ours, 'queued', count, () => batches('queued', count))
    const rows: [string, (made: Made) => number][] = [
      ['the last run is made, s', (made) => made.madeMs / 1000],
      ['the last run has ended, s', (made) => made.endedMs / 1000],
    ]
    printTable(
      `${count} schedules due in one minute, beside ${count} runs by batchTrigger of ${perBatch}`,
      ['', 'ticks', 'batches', 'ratio'],
      rows.map(([name, of]): Cell[] => [name, of(ticks), of(batched), of(ticks) / of(batched)]),
    )
    printTable(
      'Billed for each',
      ['', 'creation', 'tick and its run', 'batched run'],
      billed(count, creation.counts, ticks, batched),
    )
    console.log(`\n${(count / (creation.ms / 1000)).toFixed(0)} schedules created a second at concurrency ${creationsAtOnce}`)
  } finally {
    await ours.stop()
  }
}

/** Most ways of saying this one minute: every hour, every day, in several time zones, with different keys. */
async function createAll(ours: OurPeer, count: number, due: number): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const timezone = zones[index % zones.length] as string
      const clock = new Intl.DateTimeFormat('en-GB', { timeZone: timezone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
      const [hour, minute] = clock.format(due).split(':').map(Number)
      const cron = index % 2 === 0 ? `${minute} ${hour} * * *` : `${minute} * * * *`
      const body = { task: 'tick', cron, timezone, externalId: `user-${index}`, deduplicationKey: `bench-${due}-${index}` }
      const response = await ours.fetch('/api/v1/schedules', { method: 'POST', body: JSON.stringify(body) })
      if (!response.ok) throw new Error(`create: ${response.status} ${await response.text()}`)
      const { nextRun } = (await response.json()) as { nextRun: string }
      if (Date.parse(nextRun) !== due) throw new Error(`${cron} in ${timezone} is due at ${nextRun}`)
    }
  }
  await Promise.all(Array.from({ length: creationsAtOnce }, lane))
}

async function batches(task: string, count: number): Promise<void> {
  for (let from = 0; from < count; from += perBatch)
    await tasks.batchTrigger(
      task,
      Array.from({ length: perBatch }, () => ({ payload: { scheduleId: 'none' } })),
    )
}

/** From `since` until every run is stored, by the environment's statements, and until none of them is left in the queue. */
async function until(
  ours: OurPeer,
  task: string,
  count: number,
  work: () => Promise<unknown>,
  since = Date.now(),
): Promise<Made> {
  await takeCounts(ours)
  const working = work()
  working.catch(() => {})
  let madeMs: number | undefined
  for (;;) {
    const progress = (await (await ours.fetch('/bench/progress')).json()) as Counts
    const made = progress['statement EnvironmentDO: INSERT packets'] ?? 0
    if (made >= count) madeMs ??= Date.now() - since
    if (made > count) throw new Error(`${made} runs were made, not ${count}`)
    if (madeMs !== undefined && (await isIdle(ours, task))) break
    if (Date.now() - since > 10 * minuteMs) throw new Error(`${made} of ${count} runs were made in ten minutes`)
    await sleep(pollMs)
  }
  const endedMs = Date.now() - since
  await working
  return { madeMs, endedMs, counts: await takeCounts(ours) }
}

async function isIdle(ours: OurPeer, task: string): Promise<boolean> {
  const { queued, running } = (await (await ours.fetch(`/api/v1/queues/${task}?type=task`)).json()) as {
    queued: number
    running: number
  }
  return queued + running === 0
}

/** By the runs themselves: as many as schedules, each of another schedule, each of this tick. */
async function checkEachOnce(ours: OurPeer, count: number, due: number): Promise<void> {
  const ids: string[] = []
  for (let after = ''; ; ) {
    const page = (await (
      await ours.fetch(`/api/v1/runs?filter%5BtaskIdentifier%5D=tick&page%5Bsize%5D=100${after && `&page%5Bafter%5D=${after}`}`)
    ).json()) as { data: { id: string; createdAt: string; status: string }[]; pagination: { next?: string } }
    for (const { id, createdAt, status } of page.data) {
      if (Date.parse(createdAt) !== due || status !== 'COMPLETED') throw new Error(`${id} is of ${createdAt} and ${status}`)
      ids.push(id)
    }
    if (!page.pagination.next) break
    after = page.pagination.next
  }
  const schedules = new Set<string>()
  const lane = async (): Promise<void> => {
    for (let id = ids.pop(); id; id = ids.pop()) {
      const run = (await (await ours.fetch(`/api/v3/runs/${id}`)).json()) as { schedule: { id: string } }
      schedules.add(run.schedule.id)
    }
  }
  const made = ids.length
  await Promise.all(Array.from({ length: creationsAtOnce }, lane))
  if (made !== count || schedules.size !== count) throw new Error(`${made} runs of ${schedules.size} schedules, not ${count}`)
}

function billed(count: number, creation: Counts, ticks: Made, batched: Made): Cell[][] {
  const columns = [creation, ticks.counts, batched.counts]
  const names = [...new Set(columns.flatMap((counts) => Object.keys(counts)))].filter(
    (name) =>
      !/^(worker request|active ms|created|statement)/.test(name) && columns.some((counts) => (counts[name] ?? 0) >= count / 500),
  )
  return names.sort().map((name) => [name, ...columns.map((counts) => (counts[name] ?? 0) / count)])
}
