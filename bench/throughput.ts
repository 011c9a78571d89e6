/** No-op runs per second over HTTP, and trigger → first line of user code with one run at a time. */
import { type Cell, median, printTable, quantile, startLatency, throughput } from './measure.ts'
import { withPeers } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'

const rounds = 3
const concurrency = 50
/** A slower peer gets fewer runs for about the same time. */
const runsOf: Record<string, number> = { Workflows: 250 }

export async function run(share: number): Promise<void> {
  await withPeers(async ({ ours, others }) => {
    const peers = [ours, ...others]
    const countOf = (peer: Peer): number => Math.ceil((runsOf[peer.name] ?? 2_000) * share)
    const rates = new Map(peers.map((peer) => [peer, [] as number[]]))
    const latencies = new Map(peers.map((peer) => [peer, [] as number[]]))
    for (const peer of peers) await throughput(peer, Math.min(200, countOf(peer)), concurrency)
    for (let round = 0; round < rounds; round++) {
      for (const peer of peers) rates.get(peer)?.push(await throughput(peer, countOf(peer), concurrency))
      for (const peer of peers) latencies.get(peer)?.push(...(await startLatency(peer, Math.ceil(100 * share))))
    }
    const rate = (peer: Peer): number => median(rates.get(peer) ?? [])
    const rows = peers.map((peer): Cell[] => {
      const taken = latencies.get(peer) ?? []
      return [peer.name, countOf(peer), rate(peer), rate(ours) / rate(peer), quantile(taken, 0.5), quantile(taken, 0.99)]
    })
    printTable(
      `Single no-op runs, concurrency ${concurrency}, median of ${rounds} rounds; start with one run at a time`,
      ['', 'runs', 'runs/s', 'ours / theirs', 'start p50 ms', 'start p99 ms'],
      rows,
    )
  })
}
