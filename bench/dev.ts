/**
 * A session of the CLI's `dev`: from the trigger to the first line of user code on this machine, beside the same task in an isolate; how
 * many requests an idle session makes; how many spans and lines the platform takes.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { root } from '../scripts/local-host.ts'
import { printTable, quantile, sleep, startLatency } from './measure.ts'
import { projectRef, startOurs } from './peers/trigger-do.ts'
import { scratchFolder } from './scratch.ts'

const idleMs = 60_000
const readyMs = 90_000
const spansPerPost = 64
const postsAtOnce = 4

export async function run(share: number): Promise<void> {
  const ours = await startOurs()
  const counter = await countingProxy(ours.origin)
  const session = await startSession(counter.origin, ours.accessToken)
  try {
    const key = await devKey(ours.origin, ours.accessToken)
    const dev = {
      name: 'dev',
      trigger: async (job: string) => {
        const answer = await call(ours.origin, key, 'POST', `/api/v1/tasks/${job}/trigger`, { payload: {} })
        return answer.id as string
      },
      result: async (_: string, id: string) => (await call(ours.origin, key, 'GET', `/api/v3/runs/${id}`)).output,
    } as never as Parameters<typeof startLatency>[0]
    await startLatency(dev, 3)
    await startLatency(ours, 3)
    const [inDev, inIsolate] = [await startLatency(dev, Math.ceil(40 * share)), await startLatency(ours, Math.ceil(200 * share))]
    printTable(
      'From the trigger to the first line of user code, ms',
      ['', 'p50', 'p99'],
      [
        ['a process of `trigger.dev dev`', quantile(inDev, 0.5), quantile(inDev, 0.99)],
        ['an isolate', quantile(inIsolate, 0.5), quantile(inIsolate, 0.99)],
      ],
    )
    await sleep(2_000)
    counter.reset()
    await sleep(idleMs)
    const paths = [...counter.counts]
    const perHour = (count: number): number => (count * 3_600_000) / idleMs
    printTable(
      'Requests of an idle session in an hour',
      ['', 'an hour'],
      [
        ...paths.map(([path, count]): [string, number] => [path, perHour(count)]),
        ['all', perHour(sum(paths.map(([, count]) => count)))],
      ],
    )
    const [taken, health] = [await spans(ours.origin, key, share), await healths(ours.origin, share)]
    printTable(
      `Spans taken at concurrency ${postsAtOnce}, ${spansPerPost} in a request, beside requests that do nothing`,
      ['', 'a second'],
      [
        ['spans', taken * spansPerPost],
        ['requests with spans', taken],
        ['requests to /health', health],
      ],
    )
  } finally {
    session.kill('SIGINT')
    counter.server.close()
    await ours.stop()
  }
}

function sum(list: number[]): number {
  return list.reduce((all, one) => all + one, 0)
}

async function call(origin: string, token: string, method: string, path: string, body?: unknown): Promise<Record<string, never>> {
  const response = await fetch(origin + path, {
    method,
    headers: { authorization: `Bearer ${token}`, 'x-trigger-api-version': '2025-07-16' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Record<string, never>
}

async function devKey(origin: string, accessToken: string): Promise<string> {
  return (await call(origin, accessToken, 'GET', `/api/v1/projects/${projectRef}/dev`)).apiKey as string
}

/** A copy inside the repository, where the SDK is found. */
async function startSession(apiUrl: string, accessToken: string): Promise<ChildProcess> {
  const folder = join(root, '.state/bench-dev')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(root, 'bench/project'), folder, { recursive: true, filter: (path) => !path.includes('node_modules') })
  const home = scratchFolder('home')
  const env: NodeJS.ProcessEnv = { ...process.env, HOME: home, XDG_CONFIG_HOME: home, TRIGGER_API_URL: apiUrl, NO_COLOR: '1' }
  env.TRIGGER_ACCESS_TOKEN = accessToken
  delete env.TRIGGER_SECRET_KEY
  const cli = join(root, 'node_modules/trigger.dev/dist/esm/index.js')
  const child = spawn(process.execPath, [cli, 'dev', '--skip-update-check', '--skip-telemetry'], { cwd: folder, env })
  process.once('exit', () => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const until = Date.now() + readyMs
  while (!output.includes('Local worker ready')) {
    if (child.exitCode !== null || Date.now() > until) throw new Error(`The session did not get ready:\n${output}`)
    await sleep(100)
  }
  return child
}

interface Counter {
  origin: string
  server: Server
  counts: Map<string, number>
  reset(): void
}

async function countingProxy(target: string): Promise<Counter> {
  const { hostname, port } = new URL(target)
  const counts = new Map<string, number>()
  const server = createServer((incoming, outgoing) => {
    const path = (incoming.url ?? '').split('?')[0]?.replace(/run_\w+|snapshot_\w+/g, '*') as string
    counts.set(path, (counts.get(path) ?? 0) + 1)
    const { url, method, headers } = incoming
    const onward = request({ hostname, port, path: url, method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode as number, answer.headers)
      answer.pipe(outgoing)
    })
    onward.once('error', () => outgoing.destroy())
    outgoing.once('close', () => onward.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { origin, server, counts, reset: () => counts.clear() }
}

/** Requests a second. */
async function spans(origin: string, key: string, share: number): Promise<number> {
  const { variables } = (await call(origin, key, 'GET', `/api/v1/projects/${projectRef}/envvars`)) as unknown as {
    variables: Record<string, string>
  }
  const { id } = await call(origin, key, 'POST', '/api/v1/tasks/noop/trigger', { payload: {} })
  const one = (at: number): object => ({
    traceId: 'a'.repeat(32),
    spanId: at.toString(16).padStart(16, '1'),
    name: `span ${at}`,
    startTimeUnixNano: '1700000000000000001',
    endTimeUnixNano: '1700000000000000011',
    attributes: [
      { key: '$metadata.ctx.run.id', value: { stringValue: id } },
      { key: 'user.id', value: { stringValue: 'u1' } },
    ],
  })
  let at = 0
  return requests(Math.ceil(1_000 * share), async () => {
    const list = Array.from({ length: spansPerPost }, () => one(at++))
    const response = await fetch(`${variables.TRIGGER_OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: list }] }] }),
    })
    if (!response.ok) throw new Error(`spans: ${response.status} ${await response.text()}`)
    await response.text()
  })
}

function healths(origin: string, share: number): Promise<number> {
  return requests(Math.ceil(2_000 * share), async () => {
    await (await fetch(`${origin}/health`)).text()
  })
}

async function requests(count: number, one: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  let left = count
  const lane = async (): Promise<void> => {
    while (left-- > 0) await one()
  }
  await Promise.all(Array.from({ length: postsAtOnce }, lane))
  return count / ((performance.now() - startedAt) / 1_000)
}
