/** 1,000 runs that wait until the same instant: how late each goes on. */
import { type Cell, median, printTable, quantile, sleep, untilFinished } from './measure.ts'
import { withPeers } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'

const rounds = 3
const lanes = 50
/** From the first trigger to the instant, the first time: all runs must wait by then, in isolates that are new. */
const firstLeadMs = 45_000
const longestLeadMs = 240_000
/** At 5 s the SDK of ours takes a wait for a short one and keeps it to itself. */
const shortestWaitMs = 6_000

export async function run(share: number): Promise<void> {
  const count = Math.ceil(1_000 * share)
  await withPeers(async ({ ours, others }) => {
    const peers = [ours, ...others]
    const measured = new Map(peers.map((peer) => [peer, { p50: [] as number[], p99: [] as number[] }]))
    // All of them once: ours loads the isolates in which so many runs wait.
    for (const peer of peers) await once(peer, count)
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

/** What a peer needs until all of its runs wait, by the round before. */
const leads = new Map<Peer, number>()

async function once(peer: Peer, count: number): Promise<number[]> {
  for (;;) {
    const lead = leads.get(peer) ?? firstLeadMs
    const { triggeringMs, results } = await wakeAll(peer, count, Date.now() + lead)
    if (results.every(({ early }) => (early as number) > shortestWaitMs)) {
      leads.set(peer, Math.min(lead, triggeringMs * 1.5 + shortestWaitMs + 4_000))
      return results.map(({ late }) => late as number)
    }
    if (lead >= longestLeadMs) throw new Error(`${peer.name}: not all runs waited ${lead / 1000} s after the first trigger`)
    leads.set(peer, lead * 2)
  }
}

async function wakeAll(
  peer: Peer,
  count: number,
  until: number,
): Promise<{ triggeringMs: number; results: Record<string, number>[] }> {
  const input = { until: new Date(until).toISOString() }
  const ids: string[] = []
  const startedAt = Date.now()
  let left = count
  const trigger = async (): Promise<void> => {
    while (left-- > 0) ids.push(await peer.trigger('sleeper', input))
  }
  await Promise.all(Array.from({ length: lanes }, trigger))
  const triggeringMs = Date.now() - startedAt
  // Nobody asks while they wake, so that asking costs none of them time.
  await sleep(Math.max(0, until - Date.now()) + 3_000)
  const results: Record<string, number>[] = []
  for (const id of ids) results.push(await untilFinished(peer, 'sleeper', id, 100))
  return { triggeringMs, results }
}
