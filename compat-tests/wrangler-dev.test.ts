/**
 * The finished Worker as `wrangler dev` runs it, set up the way an account is: it answers 503 until `npm run setup --
 * --remote` has stored the root secret with wrangler. There is no account here, so the wrangler of that one call is a
 * stand-in: it puts the secret where `wrangler dev` reads its variables, and the suite starts that again while setup waits.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { configure, tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deploy, type Endpoints, environmentKey } from './cli.ts'
import { finished, until } from './harness.ts'
import { freePort } from './platform-process.ts'

const root = resolve(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'trigger-do-wrangler-'))
const variables = join(folder, 'variables')
const calls = join(folder, 'calls')

let port: number
let origin: string
let wrangler: ChildProcess
let log = ''

beforeAll(async () => {
  port = await freePort()
  origin = `http://127.0.0.1:${port}`
  writeFileSync(variables, 'ALLOW_PRIVATE_EGRESS=true\n')
  await start()
}, 250_000)

afterAll(async () => {
  await stop()
  rmSync(folder, { recursive: true, force: true })
})

async function start(): Promise<void> {
  const flags = ['--ip', '127.0.0.1', '--port', String(port), '--inspector-port', '0', '--show-interactive-dev-session', 'false']
  wrangler = spawn(
    process.execPath,
    [
      join(root, 'node_modules/wrangler/bin/wrangler.js'),
      'dev',
      ...flags,
      '--persist-to',
      join(folder, 'state'),
      '--env-file',
      variables,
    ],
    {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, X_LOCAL_OBSERVABILITY: 'false', WRANGLER_SEND_METRICS: 'false', NODE_ENV: 'development' },
    },
  )
  for (const stream of [wrangler.stdout, wrangler.stderr])
    stream?.on('data', (chunk) => {
      log += chunk
    })
  await until(async () => (await health()) !== undefined, 'wrangler dev to answer', 240_000).catch((error) => {
    throw new Error(`${error.message}\n${log}`)
  })
}

async function stop(): Promise<void> {
  if (wrangler?.exitCode !== null) return
  const ended = new Promise((done) => wrangler.once('exit', done))
  // The whole group: wrangler and its workerds.
  process.kill(-(wrangler.pid as number), 'SIGTERM')
  await ended
  await until(async () => (await health()) === undefined, 'wrangler dev to end')
}

async function health(): Promise<{ initialised: boolean } | undefined> {
  try {
    const response = await fetch(`${origin}/health`, { signal: AbortSignal.timeout(10_000) })
    return (await response.json()) as { initialised: boolean }
  } catch {
    return undefined
  }
}

function setup(...args: string[]): Promise<{ code: number; output: string }> {
  const bin = join(folder, 'bin')
  mkdirSync(bin, { recursive: true })
  const script = `#!${process.execPath}
const fs = require('node:fs')
const secret = fs.readFileSync(0, 'utf8')
fs.appendFileSync(${JSON.stringify(calls)}, JSON.stringify(process.argv.slice(2)) + '\\n')
fs.appendFileSync(${JSON.stringify(variables)}, 'ROOT_SECRET=' + secret + '\\n')
`
  writeFileSync(join(bin, 'wrangler'), script)
  chmodSync(join(bin, 'wrangler'), 0o755)
  return new Promise((done) => {
    const child = spawn(
      process.execPath,
      ['scripts/setup.ts', ...(args.includes('--state') ? [] : ['--state', join(folder, 'secrets')]), ...args],
      {
        cwd: root,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` },
      },
    )
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        output += chunk
      })
    child.once('close', (code) => done({ code: code ?? -1, output }))
  })
}

describe('wrangler dev', { timeout: 300_000 }, () => {
  it('is closed until it is set up; setup stores the secret, seeds, and can be run again', async () => {
    expect(await health()).toMatchObject({ initialised: false })
    const closed = await fetch(`${origin}/api/v2/whoami`)
    expect([closed.status, await closed.json()]).toEqual([503, expect.objectContaining({ code: 'not_initialised' })])

    const waiting = setup('--remote', `${origin}/`, '--email', 'team@example.com')
    await until(async () => existsSync(calls), 'setup to store the secret')
    await stop()
    await start()
    const first = await waiting
    expect(first.code, first.output + log).toBe(0)
    const [call] = readFileSync(calls, 'utf8').trim().split('\n')
    expect(JSON.parse(call as string)).toEqual(['secret', 'put', 'ROOT_SECRET', '--config', join(root, 'wrangler.toml')])
    const file = join(folder, 'secrets', `secrets-${new URL(origin).host.replace(':', '-')}.json`)
    expect(statSync(file).mode & 0o077).toBe(0)
    const secrets = JSON.parse(readFileSync(file, 'utf8')) as { rootSecret: string; accessToken: string }
    expect(readFileSync(variables, 'utf8')).toContain(`ROOT_SECRET=${secrets.rootSecret}\n`)
    expect(first.output).not.toContain(secrets.rootSecret)
    expect(first.output).toContain(`export TRIGGER_API_URL=${origin}\n  export TRIGGER_ACCESS_TOKEN=${secrets.accessToken}\n`)

    const whoami = await fetch(`${origin}/api/v2/whoami`, { headers: { authorization: `Bearer ${secrets.accessToken}` } })
    expect(whoami.status).toBe(200)
    expect(await whoami.json()).toMatchObject({ email: 'team@example.com' })

    const again = await setup('--remote', origin)
    expect(again.code, again.output).toBe(0)
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(secrets)

    // Another root secret is not this platform's.
    const foreign = await setup('--seed', origin, '--patience', '1')
    expect(foreign).toMatchObject({ code: 1, output: expect.stringContaining('could not be set up: 401') })
  })

  it('takes the deploy of the CLI and completes runs: a wait, children of a parent, retries', async () => {
    const file = join(folder, 'secrets', `secrets-${new URL(origin).host.replace(':', '-')}.json`)
    const { accessToken } = JSON.parse(readFileSync(file, 'utf8')) as { accessToken: string }
    const endpoints = { apiUrl: origin, accessToken } as Endpoints
    const example = join(root, 'examples/hello-world')
    const deployed = await deploy(endpoints, example)
    expect(deployed.code, deployed.output.slice(-2_000)).toBe(0)
    const { secretKey } = await environmentKey(endpoints, example, 'prod')
    configure({ baseURL: origin, accessToken: secretKey })
    const handles = await Promise.all([
      tasks.trigger('hello-world', { name: 'wrangler' }),
      tasks.trigger('report', { regions: ['emea', 'apac'] }),
      tasks.trigger('flaky', {}),
    ])
    const runs = await Promise.all(handles.map(({ id }) => finished(id, 120_000)))
    expect(runs.map(({ status, output }) => [status, output])).toEqual([
      ['COMPLETED', { greeting: 'Hello, wrangler!' }],
      ['COMPLETED', { total: 800 }],
      ['COMPLETED', { attempts: 3 }],
    ])
  })

  it('says what is wrong with the address or the secret', async () => {
    expect(await setup('--remote', 'my-worker')).toMatchObject({ code: 1, output: expect.stringContaining('--remote my-worker') })
    // From a machine that has not the secrets of a platform in use: nothing is overwritten.
    const before = readFileSync(calls, 'utf8')
    const elsewhere = await setup('--remote', origin, '--state', join(folder, 'elsewhere'))
    expect(elsewhere).toMatchObject({ code: 1, output: expect.stringContaining('has a root secret already') })
    expect(readFileSync(calls, 'utf8')).toBe(before)
    const nobody = `http://127.0.0.1:${await freePort()}`
    const absent = await setup('--remote', nobody)
    expect(absent).toMatchObject({ code: 1, output: expect.stringContaining(`No trigger.do answers at ${nobody}`) })
    expect(absent.output).not.toMatch(/\n\s+at /)
  })
})
