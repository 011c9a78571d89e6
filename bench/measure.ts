/** Load, medians and tables: what every benchmark shares. */
import type { Peer } from './peers/peer.ts'

const pollMs = 5

export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}

export function median(list: number[]): number {
  return quantile(list, 0.5)
}

export function quantile(list: number[], share: number): number {
  const sorted = [...list].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export async function untilFinished(peer: Peer, job: string, id: string, everyMs = pollMs): Promise<Record<string, number>> {
  for (;;) {
    const output = await peer.result(job, id)
    if (output) return output
    await sleep(everyMs)
  }
}

/** Runs per second, from the first trigger until every run is seen finished, so that work put off counts. */
export async function throughput(peer: Peer, count: number, concurrency: number): Promise<number> {
  const startedAt = performance.now()
  let left = count
  const lane = async (): Promise<void> => {
    while (left-- > 0) await untilFinished(peer, 'noop', await peer.trigger('noop', {}))
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
  return count / ((performance.now() - startedAt) / 1000)
}

/** One run at a time: from before the trigger request until the first line of user code. */
export async function startLatency(peer: Peer, count: number): Promise<number[]> {
  const latencies: number[] = []
  for (let i = 0; i < count; i++) {
    const at = Date.now()
    const output = await untilFinished(peer, 'noop', await peer.trigger('noop', {}), 2)
    latencies.push((output.startedAt as number) - at)
    await sleep(10)
  }
  return latencies
}

export type Cell = string | number

export function printTable(title: string, head: string[], rows: Cell[][]): void {
  const text = (cell: Cell): string => (typeof cell === 'string' ? cell : formatNumber(cell))
  const lines = [head, ...rows.map((row) => row.map(text))]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)))
  const draw = (line: string[]): string =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')
  console.log(`\n${title}`)
  console.log(draw(head))
  console.log(widths.map((width) => '-'.repeat(width)).join('  '))
  for (const line of lines.slice(1)) console.log(draw(line))
}

function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Number.isInteger(value) || Math.abs(value) >= 100) return String(Math.round(value))
  return value.toFixed(Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 4)
}
