/**
 * `npm run bench -- [--runs 2000] [--concurrency 50]`: no-op runs end to end over HTTP and trigger → first line of user
 * code at low load, ours beside Cloudflare Workflows in the same workerd build, in turns. Read the ratios.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Peer, startWorkflows } from './workflows-peer.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '2000' },
    concurrency: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '3' },
  },
})
const runs = Number(values.runs)
const concurrency = Number(values.concurrency)
const rounds = Number(values.rounds)
const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const project = join(root, 'bench/project')

interface Endpoints {
  apiUrl: string
  accessToken: string
  secretKeys: { prod: string }
}

async function startOurs(): Promise<Peer & { endpoints: Endpoints }> {
  const state = mkdtempSync(join(tmpdir(), 'bench-state-'))
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const child = spawn(
    process.execPath,
    ['scripts/dev.ts', '--port', String(port), '--state', state, '--project', 'proj_benchbenchbenchbench'],
    {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, RATE_LIMIT: 'off', ENVIRONMENT_CONCURRENCY: '300' },
    },
  )
  // A bench that fails or is stopped leaves no platform behind.
  process.once('exit', () => child.kill('SIGTERM'))
  const file = join(state, 'endpoints.json')
  for (let i = 0; i < 300 && !existsSync(file); i++) await new Promise((resolve) => setTimeout(resolve, 200))
  const endpoints = JSON.parse(readFileSync(file, 'utf8')) as Endpoints
  deploy(endpoints)
  const headers = { authorization: `Bearer ${endpoints.secretKeys.prod}`, 'content-type': 'application/json' }
  return {
    name: 'trigger.do',
    endpoints,
    async trigger() {
      const response = await fetch(`${endpoints.apiUrl}/api/v1/tasks/noop/trigger`, {
        method: 'POST',
        headers,
        body: '{"payload":{}}',
      })
      if (!response.ok) throw new Error(`trigger: ${response.status} ${await response.text()}`)
      return ((await response.json()) as { id: string }).id
    },
    async finished(id) {
      const response = await fetch(`${endpoints.apiUrl}/api/v3/runs/${id}`, { headers })
      const run = (await response.json()) as { status: string; output?: { startedAt: number }; error?: unknown }
      if (['FAILED', 'CRASHED', 'SYSTEM_FAILURE'].includes(run.status))
        throw new Error(`run ${id}: ${run.status} ${JSON.stringify(run.error)}`)
      return run.status === 'COMPLETED' ? (run.output?.startedAt ?? 0) : undefined
    },
    async stop() {
      child.kill('SIGTERM')
      await new Promise((resolve) => child.once('exit', resolve))
    },
  }
}

function deploy(endpoints: Endpoints): void {
  if (!existsSync(join(project, 'node_modules')))
    spawnSync('npm', ['install', '--no-audit', '--no-fund'], { cwd: project, stdio: 'ignore' })
  const result = spawnSync(
    process.execPath,
    [join(root, 'node_modules/.bin/trigger'), 'deploy', '--skip-update-check', '--skip-telemetry'],
    {
      cwd: project,
      encoding: 'utf8',
      env: {
        ...process.env,
        TRIGGER_API_URL: endpoints.apiUrl,
        TRIGGER_ACCESS_TOKEN: endpoints.accessToken,
        XDG_CONFIG_HOME: mkdtempSync(join(tmpdir(), 'bench-home-')),
        CI: '1',
      },
    },
  )
  if (result.status !== 0) throw new Error(`deploy failed:\n${result.stdout}\n${result.stderr}`)
}

/** Ends when every run is finished, so that work put off counts. */
async function throughput(peer: Peer, count: number): Promise<number> {
  const startedAt = performance.now()
  let left = count
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const id = await peer.trigger()
      while ((await peer.finished(id)) === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
  return count / ((performance.now() - startedAt) / 1000)
}

async function startLatency(peer: Peer, count: number): Promise<number[]> {
  const latencies: number[] = []
  for (let i = 0; i < count; i++) {
    const at = Date.now()
    const id = await peer.trigger()
    let started = await peer.finished(id)
    while (started === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 2))
      started = await peer.finished(id)
    }
    latencies.push(started - at)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return latencies.sort((a, b) => a - b)
}

const median = (list: number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0
const at = (sorted: number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const [ours, workflows] = [await startOurs(), await startWorkflows()]
const rates = { ours: [] as number[], workflows: [] as number[] }
const peerRuns = Math.max(100, Math.floor(runs / 8))
console.log(`${runs} no-op runs (${peerRuns} for Workflows) at concurrency ${concurrency}, ${rounds} rounds; API rate limit off`)
await throughput(ours, Math.min(200, runs))
await throughput(workflows, 20)
for (let round = 0; round < rounds; round++) {
  rates.ours.push(await throughput(ours, runs))
  rates.workflows.push(await throughput(workflows, peerRuns))
}
const latency = { ours: await startLatency(ours, 200), workflows: await startLatency(workflows, 100) }
const [a, b] = [median(rates.ours), median(rates.workflows)]
console.log(`runs/s end to end        trigger.do ${a.toFixed(0)}   Workflows ${b.toFixed(0)}   ratio ${(a / b).toFixed(1)}`)
console.log(
  `trigger → user code, ms  trigger.do p50 ${at(latency.ours, 0.5)} p99 ${at(latency.ours, 0.99)}   Workflows p50 ${at(latency.workflows, 0.5)} p99 ${at(latency.workflows, 0.99)}`,
)
await Promise.all([ours.stop(), workflows.stop()])
process.exit(0)
