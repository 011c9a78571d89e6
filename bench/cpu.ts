/** CPU of a no-op run, by phase in the isolate and in the server as a whole. */
import { join } from 'node:path'
import { root } from '../scripts/local-host.ts'
import { phasesModule, repeat } from './lab.ts'
import { type Cell, median, printTable, throughput, untilFinished } from './measure.ts'
import { startOurs } from './peers/trigger-do.ts'
import { cpuMs } from './process.ts'
import { phases } from './worker/phases.ts'

const rounds = 5
const concurrency = 50

export async function run(share: number): Promise<void> {
  const count = Math.ceil(1_000 * share)
  const ours = await startOurs({ entry: join(root, 'bench/worker/measuring.ts') })
  try {
    await untilFinished(ours, 'noop', await ours.trigger('noop', {}))
    const lab = { task: 'noop', count }
    const main = await phasesModule()
    const loops = [
      ...phases.map((upTo) => ({ name: upTo as string, request: { ...lab, isolate: 'phases', main, upTo } })),
      { name: 'by RPC, as RunDO calls it', request: { ...lab, isolate: 'own' } },
      { name: 'an empty RPC', request: { ...lab, isolate: 'own', upTo: phases[0] } },
    ]
    const taken = loops.map(() => [] as number[])
    // The first pass loads the isolates and warms their code.
    for (let round = -1; round < rounds; round++)
      for (const [index, { request }] of loops.entries()) {
        const { cpu } = await repeat(ours, request)
        if (round >= 0) taken[index]?.push(cpu)
      }
    const cumulated = taken.map(median)
    const emptyCall = cumulated.pop() ?? 0
    const rows = cumulated.map((upToHere, index): Cell[] => {
      const before = index === 0 ? 0 : (cumulated[index - 1] ?? 0)
      return [loops[index]?.name ?? '', upToHere - before, upToHere]
    })

    const server: number[] = []
    await throughput(ours, Math.min(200, count), concurrency)
    for (let round = 0; round < 3; round++) {
      const before = cpuMs(ours.pid)
      await throughput(ours, count, concurrency)
      server.push((cpuMs(ours.pid) - before) / count)
    }
    const whole = median(server)
    rows.push(['the rest: HTTP, API, objects, storage, the polls of the caller', whole - (cumulated.at(-1) ?? 0), whole])

    const cold: { cpu: number; wall: number }[] = []
    for (let i = 0; i < rounds; i++) cold.push(await repeat(ours, { task: 'noop', isolate: `cold-${i}`, count: 1 }))
    printTable(`CPU of a no-op run, ms, median of ${rounds} × ${count} runs`, ['phase', 'own', 'up to here'], rows)
    console.log(
      `\nAn empty RPC to an isolate: ${emptyCall.toFixed(2)} ms\nA new isolate with its first run: ${Math.round(median(cold.map(({ cpu }) => cpu)))} ms CPU, ${Math.round(median(cold.map(({ wall }) => wall)))} ms`,
    )
  } finally {
    await ours.stop()
  }
}
