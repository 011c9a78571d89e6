/** A chain of three jobs as a plan, beside the same three started one after the other by the caller, with the same client. */
import { createTrigger } from '../src/index.ts'
import { median, printTable, quantile } from './measure.ts'
import { startOurs } from './peers/trigger-do.ts'

export async function run(share: number): Promise<void> {
  const ours = await startOurs()
  let requests = 0
  const trigger = createTrigger({
    baseURL: ours.origin,
    accessToken: ours.secretKey,
    fetch: (...input) => {
      requests++
      return fetch(...input)
    },
  })
  const ways = {
    'one job': async () => trigger`noop`,
    'three jobs, one after the other': async () => {
      await trigger`noop`
      await trigger`noop`
      await trigger`noop`
    },
    'three jobs as a plan': async () =>
      trigger`noop`.map((first) => trigger`noop at ${first.startedAt}`).map((second) => trigger`noop at ${second.startedAt}`),
  }
  const taken = Object.fromEntries(Object.keys(ways).map((name) => [name, [] as number[]]))
  const asked: Record<string, number> = {}
  const rounds = Math.ceil(100 * share)
  try {
    for (let round = -10; round < rounds; round++)
      for (const [name, way] of Object.entries(ways)) {
        requests = 0
        const startedAt = performance.now()
        await way()
        if (round >= 0) taken[name]?.push(performance.now() - startedAt)
        asked[name] = requests
      }
    printTable(
      `Chains on this machine, where a round trip costs next to nothing; ${rounds} rounds in turns, ms`,
      ['', 'requests', 'p50', 'p99'],
      Object.entries(taken).map(([name, times]) => [name, asked[name] ?? 0, quantile(times, 0.5), quantile(times, 0.99)]),
    )
    const [one, hand, plan] = Object.values(taken).map(median) as [number, number, number]
    console.log(
      `plan to by hand: ${(plan / hand).toFixed(2)}; the platform's part of a stage: ${((plan - one * 3) / 3).toFixed(1)} ms over a job`,
    )
  } finally {
    await ours.stop()
  }
}
