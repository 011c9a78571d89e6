/** How many runs one RunDO (and its isolate) should serve: what tasks that wait 10 s on the network cost with 1 and with 8. */
import { readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { build } from 'esbuild'
import { root } from '../scripts/local-host.ts'
import { sum, takeCounts } from './cost.ts'
import { type Cell, printTable, sleep, untilFinished } from './measure.ts'
import { type OurPeer, startOurs } from './peers/trigger-do.ts'
import { gbPerObject, prices } from './prices.ts'
import { residentMb } from './process.ts'
import { scratchFolder } from './scratch.ts'

const waitMs = 10_000
const capacities = [1, 8]
const loads = [1, 8, 40]

export async function run(share: number): Promise<void> {
  const server = await slowServer()
  const folder = scratchFolder('capacity')
  const rows: Cell[][] = []
  try {
    for (const capacity of capacities) {
      const ours = await startOurs({ entry: await workerWith(capacity, folder) })
      try {
        await untilFinished(ours, 'noop', await ours.trigger('noop', {}))
        const counts = loads.map((load) => Math.ceil(load * share))
        // Loads the isolates; what is measured is waiting.
        await measure(ours, server.url, Math.max(...counts))
        for (const count of counts) rows.push([capacity, count, ...(await measure(ours, server.url, count))])
      } finally {
        await ours.stop()
      }
    }
  } finally {
    server.close()
    rmSync(folder, { recursive: true, force: true })
  }
  const columns = [
    'runs per RunDO',
    'at once',
    'objects',
    'object s a run',
    'GB-s a run',
    'requests',
    'rows',
    '$ per million',
    'server MB',
  ]
  printTable(`A task that waits ${waitMs / 1000} s on the network`, columns, rows)
}

async function measure(ours: OurPeer, url: string, count: number): Promise<Cell[]> {
  await takeCounts(ours)
  const ids = await Promise.all(Array.from({ length: count }, () => ours.trigger('network', { url })))
  await sleep(waitMs / 2)
  const memory = residentMb(ours.pid)
  await sleep(waitMs / 2)
  for (const id of ids) await untilFinished(ours, 'network', id, 200)
  await sleep(1_000)
  const counts = await takeCounts(ours)
  const seconds = sum(counts, 'active ms ') / 1000 / count
  const requests = (sum(counts, 'request ') + sum(counts, 'alarm ')) / count
  const rows = sum(counts, 'rows written ') / count
  const dollars =
    seconds * gbPerObject * prices.gbSecond +
    requests * prices.objectRequest +
    rows * prices.rowWritten +
    ((sum(counts, 'worker request ') + sum(counts, 'isolate.')) / count) * prices.workerRequest
  return [seconds, seconds * gbPerObject, requests, rows, dollars, memory]
}

/** The capacity is a constant; the measured Worker is built with another one. */
async function workerWith(capacity: number, folder: string): Promise<string> {
  const outfile = join(folder, `worker-${capacity}.js`)
  const pattern = /(export const slotCapacity = )\d+/
  let replaced = 0
  await build({
    entryPoints: [join(root, 'bench/worker/measuring.ts')],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    outfile,
    conditions: ['workerd', 'worker'],
    loader: { '.txt': 'text' },
    external: ['cloudflare:*', 'node:*'],
    logLevel: 'error',
    plugins: [
      {
        name: 'capacity',
        setup(builder) {
          builder.onLoad({ filter: /environment\/state\.ts$/ }, ({ path }) => {
            const text = readFileSync(path, 'utf8')
            if (pattern.test(text)) replaced += 1
            return { contents: text.replace(pattern, `$1${capacity}`), loader: 'ts' }
          })
        },
      },
    ],
  })
  if (replaced !== 1) throw new Error('The constant slotCapacity was not found in environment/state.ts')
  return outfile
}

function slowServer(): Promise<{ url: string; close(): Server }> {
  const server = createServer((_request, response) => setTimeout(() => response.end('done'), waitMs))
  return new Promise((done) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      done({ url: `http://127.0.0.1:${port}/`, close: () => server.close() })
    })
  })
}
