/** Restate: its server and a Node process with the handlers, one node, settings as shipped. */
import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, root } from '../../scripts/local-host.ts'
import { sleep } from '../measure.ts'
import { scratchFolder } from '../scratch.ts'
import type { Peer } from './peer.ts'
import { installOnce } from './trigger-do.ts'

const startMs = 60_000

export async function startRestate(): Promise<Peer> {
  const folder = join(root, 'bench/restate')
  installOnce(folder)
  const state = scratchFolder('restate')
  const [ingressPort, adminPort, fabricPort, servicePort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ]
  const binary = join(folder, `node_modules/@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`)
  const server = spawn(binary, ['--no-logo', '--listen-mode', 'tcp'], {
    cwd: state,
    stdio: 'ignore',
    env: {
      ...process.env,
      RESTATE_NODE_NAME: 'bench',
      RESTATE_BASE_DIR: state,
      RESTATE_BIND_IP: '127.0.0.1',
      RESTATE_BIND_PORT: String(fabricPort),
      RESTATE_INGRESS__BIND_PORT: String(ingressPort),
      RESTATE_ADMIN__BIND_PORT: String(adminPort),
      RESTATE_ADVERTISED_HOST: '127.0.0.1',
      RESTATE_DISABLE_TELEMETRY: 'true',
      RUST_LOG: 'error',
    },
  })
  const service = spawn(process.execPath, ['service.mjs', String(servicePort)], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, RESTATE_LOGGING: 'ERROR' },
  })
  const stop = async (): Promise<void> => {
    await Promise.all([end(server), end(service)])
    rmSync(state, { recursive: true, force: true })
  }
  process.once('exit', () => {
    server.kill('SIGKILL')
    service.kill('SIGKILL')
  })
  try {
    await register(`http://127.0.0.1:${adminPort}`, `http://127.0.0.1:${servicePort}`)
  } catch (error) {
    await stop()
    throw error
  }
  const origin = `http://127.0.0.1:${ingressPort}`
  let count = 0
  return {
    name: 'Restate',
    async trigger(job: string, input) {
      // Only an invocation with an idempotency key keeps its output for a later request.
      const response = await fetch(`${origin}/${job}/run/send`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': `${job}-${count++}` },
        body: JSON.stringify(input),
      })
      if (!response.ok) throw new Error(`send: ${response.status} ${await response.text()}`)
      return ((await response.json()) as { invocationId: string }).invocationId
    },
    async result(_job: string, id) {
      const response = await fetch(`${origin}/restate/invocation/${id}/output`)
      const body = await response.text()
      if (response.status === 470) return undefined
      if (!response.ok) throw new Error(`output of ${id}: ${response.status} ${body}`)
      return JSON.parse(body) as Record<string, number>
    },
    stop,
  }
}

async function register(admin: string, uri: string): Promise<void> {
  const deadline = Date.now() + startMs
  for (;;) {
    let problem: string
    try {
      const response = await fetch(`${admin}/deployments`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ uri }),
        signal: AbortSignal.timeout(5_000),
      })
      if (response.ok) return
      problem = `${response.status} ${await response.text()}`
    } catch (error) {
      problem = String(error)
    }
    if (Date.now() > deadline) throw new Error(`Restate could not be set up: ${problem}`)
    await sleep(300)
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const ended = new Promise((done) => child.once('exit', done))
  child.kill('SIGTERM')
  const patience = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await ended
  clearTimeout(patience)
}
