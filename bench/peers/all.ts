/** Starts ours and the two peers, and ends them whatever happens. */
import type { Peer } from './peer.ts'
import { startRestate } from './restate.ts'
import { type OurPeer, startOurs } from './trigger-do.ts'
import { startWorkflows } from './workflows.ts'

export async function withPeers(work: (peers: { ours: OurPeer; others: Peer[] }) => Promise<void>): Promise<void> {
  const started: Peer[] = []
  try {
    const ours = await startOurs()
    started.push(ours)
    for (const start of [startRestate, startWorkflows]) started.push(await start())
    await work({ ours, others: started.slice(1) })
  } finally {
    await Promise.all(started.map((peer) => peer.stop()))
  }
}
