/** CPU a run pays for a library that its task file imports: third-party code is evaluated anew for each run. */
import { join } from 'node:path'
import { root } from '../scripts/local-host.ts'
import { phasesModule, repeat } from './lab.ts'
import { type Cell, median, printTable, untilFinished } from './measure.ts'
import { startOurs } from './peers/trigger-do.ts'

const rounds = 5
const tasks: Record<string, string> = {
  nothing: 'nothing',
  supabase: '@supabase/supabase-js',
  openai: 'openai',
  stripe: 'stripe',
  axios: 'axios',
  s3: '@aws-sdk/client-s3',
  cheerio: 'cheerio',
  ai: 'ai and @ai-sdk/openai',
  schemas: '50 zod schemas',
}

export async function run(share: number): Promise<void> {
  const ours = await startOurs({ entry: join(root, 'bench/worker/measuring.ts'), project: 'libraries' })
  try {
    const main = await phasesModule()
    const names = Object.keys(tasks)
    for (const task of names) await untilFinished(ours, task, await ours.trigger(task, {}))
    const taken = new Map(names.map((task) => [task, [] as number[]]))
    for (let round = -1; round < rounds; round++)
      for (const task of names) {
        const count = Math.ceil((task === 'nothing' ? 500 : 100) * share)
        const { cpu } = await repeat(ours, { task, isolate: 'libraries', main, upTo: 'execute', count })
        if (round >= 0) taken.get(task)?.push(cpu)
      }
    const of = (task: string): number => median(taken.get(task) ?? [])
    printTable(
      'CPU of a run whose task file imports, ms',
      ['', 'a run', 'over nothing', 'ratio'],
      names.map((task): Cell[] => [tasks[task] as string, of(task), of(task) - of('nothing'), of(task) / of('nothing')]),
    )
  } finally {
    await ours.stop()
  }
}
