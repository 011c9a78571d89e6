/** What a no-op run is billed for over its whole life, counted in the running Worker, and the same in dollars. */
import { join } from 'node:path'
import { root } from '../scripts/local-host.ts'
import { type Cell, printTable, sleep, throughput, untilFinished } from './measure.ts'
import { type OurPeer, startOurs } from './peers/trigger-do.ts'
import { gbPerObject, prices } from './prices.ts'
import { cpuMs } from './process.ts'

const concurrency = 50
const quietEveryMs = 6_000
/** Alarms, timers and the minute's cron after the last run belong to its life. */
const afterMs = 70_000

export interface Bill {
  workerRequests: number
  isolateRequests: number
  objectRequests: number
  queueMessages: number
  rowsWritten: number
  rowsRead: number
  objectSeconds: number
  cpuMs: number
}
export type Counts = Record<string, number>

export async function run(share: number): Promise<void> {
  const ours = await startOurs({ entry: join(root, 'bench/worker/measuring.ts') })
  try {
    await untilFinished(ours, 'noop', await ours.trigger('noop', {}))
    await sleep(6_000)
    await takeCounts(ours)

    const busyRuns = Math.ceil(1_000 * share)
    const busy = await life(ours, busyRuns, () => throughput(ours, busyRuns, concurrency))
    const quietRuns = Math.max(3, Math.ceil(10 * share))
    const quiet = await life(ours, quietRuns, async () => {
      for (let i = 0; i < quietRuns; i++) {
        await ours.trigger('noop', {})
        await sleep(quietEveryMs)
      }
    })
    // Between the runs of the quiet life most of the server's CPU is the local host's own.
    quiet['cpu ms'] = ((busy['cpu ms'] ?? 0) / busyRuns) * quietRuns

    const id = await ours.trigger('noop', {})
    await untilFinished(ours, 'noop', id)
    await takeCounts(ours)
    const stored = (await (await ours.fetch('/bench/retention', { method: 'POST', body: id })).json()) as Stored
    const retention = await takeCounts(ours)
    const retentionRows = sum(retention, 'rows written ') / stored.runs

    const bills = [bill(busy, busyRuns), bill(quiet, quietRuns)]
    for (const each of bills) each.rowsWritten += retentionRows
    const columns = ['', `busy (${concurrency} at once)`, `quiet (one per ${quietEveryMs / 1000} s)`]
    printTable(
      `Per no-op run, ${busyRuns} and ${quietRuns} runs, from the trigger until ${afterMs / 1000} s after the last one, and its deletion`,
      columns,
      [...perRun(busy, quiet, busyRuns, quietRuns), ['deleting it: rows written', retentionRows, retentionRows]],
    )
    printTable('Dollars per million runs', columns, dollars(bills))
    console.log(
      `\n${(stored.bytes / stored.runs / 1000).toFixed(1)} kB on disk per run and month: $${storage(stored)} per million runs`,
    )
  } finally {
    await ours.stop()
  }
}

interface Stored {
  runs: number
  bytes: number
}

async function life(ours: OurPeer, count: number, work: () => Promise<unknown>): Promise<Counts> {
  const cpu = cpuMs(ours.pid)
  await work()
  const used = cpuMs(ours.pid) - cpu
  await sleep(afterMs)
  return { ...(await takeCounts(ours)), 'cpu ms': used, runs: count }
}

export async function takeCounts(ours: OurPeer): Promise<Counts> {
  return (await (await ours.fetch('/bench/counts')).json()) as Counts
}

/** Reads by the caller are its own: the platform needs none to finish a run. */
function isOfCaller(name: string): boolean {
  return /getRun|GET \/api/.test(name)
}

export function sum(counts: Counts, prefix: string): number {
  return Object.entries(counts).reduce(
    (total, [name, count]) => total + (name.startsWith(prefix) && !isOfCaller(name) ? count : 0),
    0,
  )
}

export function bill(counts: Counts, runs: number): Bill {
  return {
    workerRequests: sum(counts, 'worker request ') / runs,
    isolateRequests: sum(counts, 'isolate.') / runs,
    objectRequests: (sum(counts, 'request ') + sum(counts, 'alarm ')) / runs,
    queueMessages: sum(counts, 'queue message') / runs,
    rowsWritten: sum(counts, 'rows written ') / runs,
    rowsRead: sum(counts, 'rows read ') / runs,
    objectSeconds: sum(counts, 'active ms ') / 1000 / runs,
    cpuMs: (counts['cpu ms'] ?? 0) / runs,
  }
}

function perRun(busy: Counts, quiet: Counts, busyRuns: number, quietRuns: number): Cell[][] {
  const names = [...new Set([...Object.keys(busy), ...Object.keys(quiet)])]
  const order = [
    'worker request',
    'request',
    'alarm',
    'isolate',
    'queue message',
    'bucket',
    'rows written',
    'rows read',
    'active ms',
    'cpu ms',
  ]
  const rank = (name: string): number => order.findIndex((prefix) => name.startsWith(prefix))
  return names
    .filter((name) => rank(name) >= 0 && !isOfCaller(name))
    .sort((a, b) => rank(a) - rank(b))
    .map((name) => [name, (busy[name] ?? 0) / busyRuns, (quiet[name] ?? 0) / quietRuns])
}

export function dollars(bills: Bill[]): Cell[][] {
  const line = (name: string, price: (bill: Bill) => number): Cell[] => [name, ...bills.map(price)]
  const lines = [
    line('Worker requests', (bill) => bill.workerRequests * prices.workerRequest),
    line('isolate requests', (bill) => bill.isolateRequests * prices.workerRequest),
    line('object requests and alarms', (bill) => bill.objectRequests * prices.objectRequest),
    line('queue messages', (bill) => bill.queueMessages * prices.queueMessage),
    line('rows written', (bill) => bill.rowsWritten * prices.rowWritten),
    line('rows read', (bill) => bill.rowsRead * prices.rowRead),
    line('duration of objects', (bill) => bill.objectSeconds * gbPerObject * prices.gbSecond),
    line('CPU (the whole server, so too much)', (bill) => bill.cpuMs * prices.cpuMs),
  ]
  const total = (column: number): number => lines.reduce((all, cells) => all + (cells[column] as number), 0)
  return [...lines, ['together', ...bills.map((_, index) => total(index + 1))]]
}

function storage(stored: Stored): string {
  return ((stored.bytes / stored.runs / 1e9) * 1e6 * prices.gbMonth).toFixed(2)
}
