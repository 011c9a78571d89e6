/**
 * `npm run bench` runs all, `npm run bench -- <name> …` some, in the order of the list. Figures of different platforms are
 * taken in turns in one process; read the ratios, absolute figures belong to the machine and its neighbours.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from '../scripts/local-host.ts'
import { ourSettings } from './peers/trigger-do.ts'

/** Each is a file of this folder that exports `run`. */
const benchmarks = [
  'throughput',
  'fan-out',
  'wakes',
  'cost',
  'capacity',
  'cpu',
  'libraries',
  'start-up',
  'memory',
  'lists',
  'api',
  'queues',
  'ticks',
  'dev',
  'sentences',
  'plans',
  'streams',
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  // Below 1 shortens a benchmark; 1 is what the documents quote.
  options: { share: { type: 'string', default: '1' } },
})
const unknown = positionals.filter((name) => !benchmarks.includes(name))
if (unknown.length > 0) {
  console.error(`Unknown: ${unknown.join(', ')}. There are: ${benchmarks.join(', ')}`)
  process.exit(2)
}

// Miniflare and the peers end their processes when this one exits.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const require = createRequire(import.meta.url)
const version = (name: string): string => (require(`${name}/package.json`) as { version: string }).version
const restate = JSON.parse(readFileSync(join(root, 'bench/restate/package.json'), 'utf8')) as {
  dependencies: Record<string, string>
}
const settings = Object.entries(ourSettings).map(([name, value]) => `${name}=${value}`)
console.log(
  [
    `workerd ${version('workerd')}, Node ${process.versions.node}, @trigger.dev/sdk ${version('@trigger.dev/sdk')}`,
    `Restate ${restate.dependencies['@restatedev/restate-server']} (SDK ${restate.dependencies['@restatedev/restate-sdk']})`,
    `${cpus().length} × ${cpus()[0]?.model}`,
    `settings of ours: ${settings.join(', ')}; API rate limit ${ourSettings.RATE_LIMIT}`,
  ].join('\n'),
)
let failed = false
for (const name of positionals.length > 0 ? positionals : benchmarks) {
  try {
    const { run } = (await import(`./${name}.ts`)) as { run(share: number): Promise<void> }
    await run(Number(values.share))
  } catch (error) {
    failed = true
    console.error(`${name} failed:`, error)
  }
}
process.exit(failed ? 1 : 0)
