/** 1,000 runs that wait until the same instant: how late each goes on. */
import { type Cell, median, printTable, quantile, sleep, untilFinished } from './measure.ts'
import { withPeers } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'

const rounds = 3
const lanes = 50
/** The instant has to lie behind the last trigger; every peer gets the time its own triggers take, and this. */
const marginMs = 6_000

export async function run(share: number): Promise<void> {
  const count = Math.ceil(1_000 * share)
  await withPeers(async ({ ours, others }) => {
    const peers = [ours, ...others]
    const measured = new Map(peers.map((peer) => [peer, { p50: [] as number[], p99: [] as number[] }]))
    for (const peer of peers) await once(peer, Math.ceil(count / 10))
    for (let round = 0; round < rounds; round++)
      for (const peer of peers) {
        const late = await once(peer, count)
        measured.get(peer)?.p50.push(quantile(late, 0.5))
        measured.get(peer)?.p99.push(quantile(late, 0.99))
      }
    const of = (peer: Peer): { p50: number; p99: number } => {
      const { p50 = [], p99 = [] } = measured.get(peer) ?? {}
      return { p50: median(p50), p99: median(p99) }
    }
    printTable(
      `${count} runs wake at one instant: lateness, median of ${rounds} rounds`,
      ['', 'p50 ms', 'p99 ms', 'p99 theirs / ours'],
      peers.map((peer): Cell[] => [peer.name, of(peer).p50, of(peer).p99, of(peer).p99 / of(ours).p99]),
    )
  })
}

const triggerSeconds = new Map<Peer, number>()

async function once(peer: Peer, count: number): Promise<number[]> {
  const perRun = triggerSeconds.get(peer) ?? 0.02
  const until = Date.now() + perRun * count * 1_500 + marginMs
  const input = { until: new Date(until).toISOString() }
  const ids: string[] = []
  let left = count
  const at = performance.now()
  const trigger = async (): Promise<void> => {
    while (left-- > 0) ids.push(await peer.trigger('sleeper', input))
  }
  await Promise.all(Array.from({ length: lanes }, trigger))
  triggerSeconds.set(peer, (performance.now() - at) / 1_000 / count)
  const spare = until - Date.now()
  if (spare < marginMs / 3) throw new Error(`${peer.name}: the instant came before all runs waited (${spare} ms left)`)
  // Nobody asks while they wake, so that asking costs none of them time.
  await sleep(spare + 2_000)
  return Promise.all(ids.map(async (id) => (await untilFinished(peer, 'sleeper', id, 100)).late as number))
}
