/** Memory of the server after each 2,000 runs: what the fifth leaves over the second is a leak. */
import { type Cell, printTable, sleep, throughput } from './measure.ts'
import { startOurs } from './peers/trigger-do.ts'
import { residentMb } from './process.ts'

const rounds = 5
const concurrency = 50
const burst = 400
const idleMs = 60_000
/** Growth from the second to the last round, after an idle minute each. */
const allowed = 0.05

export async function run(share: number): Promise<void> {
  const count = Math.ceil(2_000 * share)
  const ours = await startOurs()
  try {
    // How many isolates are open is the peak of the load, not growth: twice the load opens all that the rounds can need.
    await throughput(ours, burst, 2 * concurrency)
    const rows: Cell[][] = [['deployed, and a burst', residentMb(ours.pid), Number.NaN]]
    const idle: number[] = []
    for (let round = 1; round <= rounds; round++) {
      await throughput(ours, count, concurrency)
      const busy = residentMb(ours.pid)
      // The rounds that are compared get the whole minute, the others pass on.
      await sleep(round === 2 || round === rounds ? idleMs : 1_000)
      idle.push(residentMb(ours.pid))
      rows.push([`${round} × ${count} runs`, busy, idle.at(-1) as number])
    }
    printTable('Memory of the server, MB resident', ['after', 'at once', 'after idling'], rows)
    const growth = (idle.at(-1) as number) / (idle[1] as number) - 1
    console.log(`\nGrowth from the second to the last: ${(growth * 100).toFixed(1)} % (at most ${allowed * 100} %)`)
  } finally {
    await ours.stop()
  }
}
