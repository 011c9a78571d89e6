/** What the Worker's own code costs when an isolate of it starts: its process beside one with a Worker that only answers. */
import { gzipSync } from 'node:zlib'
import { convertV4MiniflareOptions, Miniflare } from 'miniflare'
import { bundleWorker } from '../scripts/local-host.ts'
import { median, printTable } from './measure.ts'
import { cpuMs, workerdProcesses } from './process.ts'

const rounds = 7
const hello = `export default { fetch: () => new Response('hello') }`

export async function run(share: number): Promise<void> {
  const scripts = { 'trigger.do': await bundleWorker(), hello }
  const taken = { 'trigger.do': [] as { cpu: number; wall: number }[], hello: [] as { cpu: number; wall: number }[] }
  for (let round = 0; round < Math.max(3, Math.ceil(rounds * share)); round++)
    for (const name of ['trigger.do', 'hello'] as const) taken[name].push(await start(scripts[name]))
  const cpu = (name: keyof typeof taken): number => median(taken[name].map((each) => each.cpu))
  const wall = (name: keyof typeof taken): number => median(taken[name].map((each) => each.wall))
  const code = scripts['trigger.do'].replace(/\/\/# sourceMappingURL=.*\s*$/, '')
  printTable(
    'From nothing to the first answer, ms (an account allows 1,000 ms of CPU for the start of a Worker)',
    ['', 'kB', 'kB gzip', 'CPU', 'time'],
    [
      ['trigger.do', code.length / 1000, gzipSync(code).length / 1000, cpu('trigger.do'), wall('trigger.do')],
      ['a Worker that only answers', hello.length / 1000, gzipSync(hello).length / 1000, cpu('hello'), wall('hello')],
      ['the difference', Number.NaN, Number.NaN, cpu('trigger.do') - cpu('hello'), wall('trigger.do') - wall('hello')],
    ],
  )
}

async function start(script: string): Promise<{ cpu: number; wall: number }> {
  const before = new Set(workerdProcesses())
  const startedAt = performance.now()
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: '127.0.0.1',
      modules: [{ type: 'ESModule', path: 'worker.js', contents: script }],
      modulesRoot: '/',
      compatibilityDate: '2026-11-01',
      compatibilityFlags: ['nodejs_compat'],
    } as never),
  )
  try {
    const url = await miniflare.ready
    await (await fetch(new URL('/health', url))).text()
    const wall = performance.now() - startedAt
    const [pid] = workerdProcesses().filter((process) => !before.has(process))
    return { cpu: cpuMs(pid as number), wall }
  } finally {
    await miniflare.dispose()
  }
}
