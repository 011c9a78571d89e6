/** One platform for the whole suite, as a user starts it; projects are deployed with the real CLI. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestProject } from 'vitest/node'
import { deploy, type Endpoints, environmentKey, type Project } from './cli.ts'
import { startStandIn } from './stand-in.ts'

declare module 'vitest' {
  interface ProvidedContext {
    endpoints: Endpoints
    plain: Project
    sdk407: Project
    libraries: Project
    standIn: string
  }
}

const root = resolve(import.meta.dirname, '..')
const START_MS = 90_000

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const state = mkdtempSync(join(tmpdir(), 'trigger-do-compat-'))
  const child = spawn(process.execPath, ['scripts/dev.ts', '--port', String(await freePort()), '--state', state], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, RATE_LIMIT: 'off', ENVIRONMENT_CONCURRENCY: '100' },
  })
  const standIn = await startStandIn()
  const teardown = async (): Promise<void> => {
    await standIn.close()
    await stop(child)
    rmSync(state, { recursive: true, force: true })
  }
  try {
    const endpoints = await untilReady(child, join(state, 'endpoints.json'))
    project.provide('endpoints', endpoints)
    project.provide('standIn', standIn.url)
    for (const name of ['plain', 'sdk407', 'libraries'] as const) {
      const folder = join(root, 'compat-tests/fixtures', name)
      if (name !== 'plain') await install(folder)
      const result = await deploy(endpoints, folder)
      if (result.code !== 0) throw new Error(`Deploying ${name} ended with ${result.code}\n${result.output}`)
      project.provide(name, await environmentKey(endpoints, folder, 'prod'))
    }
  } catch (error) {
    await teardown()
    throw error
  }
  return teardown
}

async function untilReady(child: ChildProcess, file: string): Promise<Endpoints> {
  const deadline = Date.now() + START_MS
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`The platform ended with ${child.exitCode} while starting`)
    if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Endpoints
    await new Promise((done) => setTimeout(done, 100))
  }
  throw new Error(`The platform was not ready after ${START_MS / 1000} s`)
}

function install(folder: string): Promise<void> {
  if (existsSync(join(folder, 'node_modules'))) return Promise.resolve()
  return new Promise((done, fail) => {
    const child = spawn('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    child.once('error', fail)
    child.once('exit', (code) => (code === 0 ? done() : fail(new Error(`npm ci in ${folder} ended with ${code}`))))
  })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const ended = new Promise((done) => child.once('exit', done))
  child.kill('SIGTERM')
  await ended
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  await new Promise((done) => server.close(done))
  return port
}
