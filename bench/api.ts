/** Requests/s of the calls an app makes most, at concurrency 50, beside what Workflows and Restate have for them. */
import { type Cell, median, printTable, quantile, untilFinished } from './measure.ts'
import { withPeers } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'

const rounds = 3
const concurrency = 50
/** A slower peer gets fewer for about the same time. */
const requestsOf: Record<string, number> = { Workflows: 250 }

type Call = (index: number) => Promise<unknown>

export async function run(share: number): Promise<void> {
  await withPeers(async ({ ours, others }) => {
    const finished = new Map<Peer, string[]>()
    const calls: { name: string; peer: Peer; call: Call; rates: number[]; times: number[] }[] = []
    const add = (name: string, peer: Peer, call: Call): unknown => calls.push({ name, peer, call, rates: [], times: [] })
    for (const peer of [ours, ...others]) {
      const ids = await Promise.all(Array.from({ length: concurrency }, () => peer.trigger('noop', {})))
      for (const id of ids) await untilFinished(peer, 'noop', id)
      finished.set(peer, ids)
    }
    for (const peer of [ours, ...others]) add('trigger a job', peer, () => peer.trigger('noop', {}))
    for (const peer of [ours, ...others])
      add('read a finished job', peer, (index) => peer.result('noop', finished.get(peer)?.[index % concurrency] as string))
    add('list 20 runs', ours, () => read(ours.fetch('/api/v1/runs?page[size]=20')))
    add('list 20 runs of a tag', ours, () => read(ours.fetch('/api/v1/runs?page[size]=20&filter[tag]=none')))
    for (let round = 0; round < rounds; round++)
      for (const entry of calls) {
        const count = Math.ceil((requestsOf[entry.peer.name] ?? 2_000) * share)
        entry.rates.push(await measure(entry.call, count, entry.times))
      }
    const rateOf = (name: string, peer: Peer): number =>
      median(calls.find((entry) => entry.name === name && entry.peer === peer)?.rates ?? [])
    printTable(
      `Requests at concurrency ${concurrency}, median of ${rounds} rounds`,
      ['', 'of', 'requests/s', 'ours / theirs', 'p50 ms', 'p99 ms'],
      calls.map(({ name, peer, rates, times }): Cell[] => [
        name,
        peer.name,
        median(rates),
        rateOf(name, ours) / median(rates),
        quantile(times, 0.5),
        quantile(times, 0.99),
      ]),
    )
  })
}

async function measure(call: Call, count: number, times: number[]): Promise<number> {
  const startedAt = performance.now()
  let index = 0
  const lane = async (): Promise<void> => {
    while (index < count) {
      const at = performance.now()
      await call(index++)
      times.push(performance.now() - at)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
  return count / ((performance.now() - startedAt) / 1000)
}

async function read(answer: Promise<Response>): Promise<unknown> {
  const response = await answer
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return response.json()
}
