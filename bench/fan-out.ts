/** One parent starts 100 children and waits for all of them. */
import { type Cell, median, printTable, untilFinished } from './measure.ts'
import { withPeers } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'

const rounds = 9
const count = 100

export async function run(share: number): Promise<void> {
  await withPeers(async ({ ours, others }) => {
    const peers = [ours, ...others]
    const times = new Map(peers.map((peer) => [peer, [] as number[]]))
    for (const peer of peers) await once(peer)
    for (let round = 0; round < Math.ceil(rounds * share); round++)
      for (const peer of peers) times.get(peer)?.push(await once(peer))
    const time = (peer: Peer): number => median(times.get(peer) ?? [])
    printTable(
      `Parent and ${count} children, trigger until the parent is finished, ${rounds} rounds`,
      ['', 'median ms', 'best ms', 'worst ms', 'theirs / ours'],
      peers.map((peer): Cell[] => {
        const taken = times.get(peer) ?? []
        return [peer.name, time(peer), Math.min(...taken), Math.max(...taken), time(peer) / time(ours)]
      }),
    )
  })
}

async function once(peer: Peer): Promise<number> {
  const at = performance.now()
  const output = await untilFinished(peer, 'fan-out', await peer.trigger('fan-out', { count }))
  if (output.ok !== count) throw new Error(`${peer.name}: ${output.ok} of ${count} children`)
  return performance.now() - at
}
