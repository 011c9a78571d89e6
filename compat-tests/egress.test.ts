/**
 * Where tasks may go, and that two environments of one bundle are two worlds. On this platform staging reaches private
 * addresses and prod does not, at the same time.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deploy, type Project } from './cli.ts'
import { deployFixture, type PlatformProcess, startPlatform, until } from './harness.ts'
import { type LocalServices, startLocalServices } from './local-services.ts'

const folder = join(import.meta.dirname, 'fixtures/trust')
const ref = 'proj_compattrustprojectxx'
let platform: PlatformProcess
let services: LocalServices
let open: Project
let closed: Project
/** Who came while staging was deployed. */
let whileDeployed: string[]

beforeAll(async () => {
  services = await startLocalServices()
  platform = await startPlatform({ ALLOW_PRIVATE_EGRESS: 'staging', NODE_EXTRA_CA_CERTS: services.authority })
  await setVariable('staging', 'TOP_LEVEL_URL', `http://127.0.0.1:${services.http}/top-level`)
  await setVariable('staging', 'WHERE', 'staging')
  await setVariable('prod', 'WHERE', 'prod')
  open = await deployFixture(platform, 'trust', 'staging')
  whileDeployed = [...services.seen]
  closed = await deployFixture(platform, 'trust', 'prod')
}, 300_000)

afterAll(async () => {
  await platform?.stop()
  await services?.close()
})

async function setVariable(environment: string, name: string, value: string): Promise<void> {
  const response = await fetch(`${platform.endpoints.apiUrl}/api/v1/projects/${ref}/envvars/${environment}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${platform.endpoints.accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name, value }),
  })
  if (!response.ok) throw new Error(`Setting ${name}: ${response.status} ${await response.text()}`)
}

// biome-ignore lint/suspicious/noExplicitAny: outputs of every task
type Run = { status: string; output: any; metadata: any; tags: string[]; error?: { message: string }; isCompleted: boolean }

async function trigger({ secretKey }: Project, task: string, payload: unknown = {}): Promise<string> {
  const response = await fetch(`${platform.endpoints.apiUrl}/api/v1/tasks/${task}/trigger`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secretKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ payload }),
  })
  return ((await response.json()) as { id: string }).id
}

async function finished({ secretKey }: Project, id: string): Promise<Run> {
  return until(async () => {
    const response = await fetch(`${platform.endpoints.apiUrl}/api/v3/runs/${id}`, {
      headers: { authorization: `Bearer ${secretKey}` },
    })
    const run = (await response.json()) as Run
    return run.isCompleted && run
  }, `${id} to finish`)
}

async function runTask(environment: Project, task: string, payload: unknown = {}): Promise<Run> {
  return finished(environment, await trigger(environment, task, payload))
}

const noMarks = { module: null, global: null, env: null, envOfBuiltin: null, local: null, metadata: null }

/** What came of each way, by `way target`. */
async function reach(
  environment: Project,
  targets: [string, string][],
): Promise<Record<string, { value?: unknown; error?: string }>> {
  const run = await runTask(environment, 'reach', { targets })
  expect(run.status, JSON.stringify(run.error)).toBe('COMPLETED')
  return Object.fromEntries(targets.map((target, index) => [target.join(' '), run.output[index]]))
}

/** Every one is refused with an ordinary error that says why, and nothing came through. */
async function expectRefused(environment: Project, targets: [string, string][], sentence: RegExp): Promise<void> {
  services.seen.length = 0
  const results = await reach(environment, targets)
  for (const [target, { value, error }] of Object.entries(results)) {
    expect(value, target).toBeUndefined()
    expect(error, target).toMatch(/^(Type)?Error: /)
    expect(error, target).toMatch(sentence)
  }
  expect(services.seen).toEqual([])
}

const httpWays = ['fetch', 'post', 'http']
const tcpWays = ['connect', 'opened', 'net']
/** workerd's node:http takes no IPv6 address. */
const takes = (way: string, target: string): boolean => !(way === 'http' && target.includes('['))
const each = (ways: string[], targets: string[]): [string, string][] =>
  ways.flatMap((way) => targets.filter((target) => takes(way, target)).map((target): [string, string] => [way, target]))

/** Names this machine resolves to itself that are not spelled localhost. */
function namesOfLoopback(): string[] {
  const lines = readFileSync('/etc/hosts', 'utf8').split('\n')
  const names = lines.flatMap((line) => {
    const [address = '', ...rest] = line.replace(/#.*/, '').trim().split(/\s+/)
    return /^127\./.test(address) ? rest : []
  })
  return names.filter((name) => name !== 'localhost' && !name.endsWith('.localhost'))
}

const privateHosts = [
  '127.0.0.1',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0177.0.0.1',
  '0.0.0.0',
  'localhost',
  'LOCALHOST',
  'localhost.',
  'any.localhost',
  '10.0.0.1',
  '172.16.0.1',
  '192.168.0.1',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[::127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '[2002:7f00:1::]',
  '[fd00::1]',
  '[fe80::1]',
]
const metadataHosts = ['169.254.169.254', '2852039166', '[::ffff:169.254.169.254]', 'metadata.google.internal', '[fd00:ec2::254]']

describe('an environment without private addresses', () => {
  it('refuses them in every spelling, by fetch and node:http', () =>
    expectRefused(
      closed,
      each(
        httpWays,
        privateHosts.map((host) => `http://${host}:${services.http}/`),
      ),
      /is private; tasks reach public addresses only/,
    ))

  it('refuses them in every spelling, by TCP', () =>
    expectRefused(
      closed,
      each(
        tcpWays,
        privateHosts.map((host) => `${host}:${services.tcp}`),
      ),
      /is private; tasks reach public addresses only/,
    ))

  it('refuses them by TLS, WebSocket and EventSource', async () => {
    const address = `localhost:${services.https}`
    await expectRefused(
      closed,
      [
        ...each(['fetch', 'https'], [`https://${address}/`]),
        ...each(['connectTls', 'tls'], [address]),
        ['websocket', `ws://127.0.0.1:${services.http}/`],
      ],
      /is private; tasks reach public addresses only/,
    )
    await expectRefused(
      closed,
      [
        ['connectStartTls', `localhost:${services.startTls}`],
        ['netStartTls', `localhost:${services.startTls}`],
      ],
      /is private/,
    )
    await expectRefused(closed, [['eventSource', `http://127.0.0.1:${services.http}/events`]], /refused/)
  })

  it.skipIf(namesOfLoopback().length === 0)('refuses a name that resolves to this machine', async () => {
    const names = namesOfLoopback()
    // The same names lead here where private addresses are allowed, so it is not the name that fails.
    const allowed = await reach(
      open,
      each(
        ['fetch'],
        names.map((name) => `http://${name}:${services.http}/`),
      ),
    )
    expect(Object.values(allowed)).toContainEqual({ value: 'local /' })
    await expectRefused(
      closed,
      [
        ...each(
          httpWays,
          names.map((name) => `http://${name}:${services.http}/`),
        ),
        ...each(
          tcpWays,
          names.map((name) => `${name}:${services.tcp}`),
        ),
      ],
      /is not reachable from tasks here/,
    )
  })

  it('applies it while a deploy loads the task files', async () => {
    services.seen.length = 0
    await setVariable('prod', 'TOP_LEVEL_URL', `http://127.0.0.1:${services.http}/top-level`)
    const { code, output } = await deploy(platform.endpoints, folder, ['--env', 'prod'])
    expect(code).not.toBe(0)
    expect(output).toMatch(/top-level\.ts: .*is private; tasks reach public addresses only/)
    expect(services.seen).toEqual(['from Node: POST /top-level'])
    // The version before is still the current one.
    expect((await runTask(closed, 'exits', { how: 'stay', ms: 0 })).output).toBe('went on')
  }, 120_000)
})

describe('an environment with private addresses', () => {
  it('reaches local services by HTTP, WebSocket and events', async () => {
    const url = `http://127.0.0.1:${services.http}`
    const results = await reach(open, [
      ...each(httpWays, [`${url}/here`]),
      ['fetch', `http://localhost:${services.http}/name`],
      ['fetch', `${url}/?to=${url}/redirected`],
      ['fetch', `https://localhost:${services.https}/`],
      ['https', `https://localhost:${services.https}/`],
      ['websocket', `ws://127.0.0.1:${services.http}/`],
      ['eventSource', `${url}/events`],
    ])
    expect(Object.values(results)).toEqual(
      [
        'local /here',
        'local /here',
        'local /here',
        'local /name',
        'local /redirected',
        'secure local',
        'secure local',
        'hi',
        'an event',
      ].map((value) => ({
        value,
      })),
    )
  })

  it('reaches local services by TCP, with TLS from the start or later', async () => {
    const { tcp, https, startTls } = services
    const results = await reach(open, [
      ['connect', `127.0.0.1:${tcp}`],
      ['connect', `localhost:${tcp}`],
      ['net', `localhost:${tcp}`],
      ['opened', `localhost:${tcp}`],
      ['connectTls', `localhost:${https}`],
      ['tls', `localhost:${https}`],
      ['connectStartTls', `localhost:${startTls}`],
      ['netStartTls', `localhost:${startTls}`],
    ])
    const values = Object.values(results).map(({ value, error }) => value ?? error)
    expect(values.slice(0, 4)).toEqual(['got 31 bytes', 'got 31 bytes', 'got 31 bytes', `localhost:${tcp}`])
    for (const value of values.slice(4, 6)) expect(value).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*secure local$/)
    expect(values.slice(6)).toEqual(['secure 31 bytes', 'secure 31 bytes'])
  })

  it('says so when nobody answers, or not as asked', async () => {
    const results = await reach(open, [
      ['fetch', 'http://127.0.0.1:1/'],
      ['connect', '127.0.0.1:1'],
      ['net', '127.0.0.1:1'],
      ['connect', 'nowhere.invalid:80'],
      ['tls', `127.0.0.1:${services.tcp}`],
    ])
    for (const [target, { error }] of Object.entries(results)) expect(error, target).toMatch(/is not reachable from tasks here/)
  })

  it('never reaches metadata services, directly or by a redirect', () =>
    expectRefused(
      open,
      [
        ...each(
          httpWays,
          metadataHosts.map((host) => `http://${host}/latest/`),
        ),
        ...each(
          tcpWays,
          metadataHosts.map((host) => `${host}:80`),
        ),
      ],
      /is a metadata service and is never reachable from tasks/,
    ))

  it('passes each redirect as a request of its own', async () => {
    const from = `http://127.0.0.1:${services.http}/?to=`
    const port = new URL(platform.endpoints.apiUrl).port
    const results = await reach(
      open,
      each(['fetch'], [`${from}http://169.254.169.254/`, `${from}http://localhost:${port}/health`]),
    )
    expect(Object.values(results).map(({ error }) => error)).toEqual([
      expect.stringContaining('is a metadata service'),
      expect.stringContaining('belongs to the platform'),
    ])
  })

  it('reaches them while a deploy loads the task files, too', async () => {
    expect(whileDeployed).toEqual(['from Node: POST /top-level', 'POST /top-level'])
    services.seen.length = 0
    expect((await runTask(open, 'top-level')).output).toBe('ran')
    expect(services.seen).toEqual(['POST /top-level'])
  })
})

describe('the ports of the platform', () => {
  it('are out of reach, whatever is allowed', async () => {
    const ports = platform.ports()
    // The API, Miniflare's entry, and what workerd calls back.
    expect(ports.length).toBeGreaterThanOrEqual(3)
    expect(ports).toContain(Number(new URL(platform.endpoints.apiUrl).port))
    const hosts = ['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]']
    const addresses = ports.flatMap((port) => hosts.map((host) => `${host}:${port}`))
    const isApi = (address: string): boolean => `http://${address}` === platform.endpoints.apiUrl
    const targets: [string, string][] = [
      ...each(tcpWays, addresses),
      // The origin of the API itself is taken over: it answers the run's own SDK, with its rights.
      ...each(
        httpWays,
        addresses.filter((address) => !isApi(address)).map((address) => `http://${address}/`),
      ),
    ]
    for (const environment of [open, closed]) await expectRefused(environment, targets, /belongs to the platform/)
  })
})

describe('two environments with the same code', () => {
  it('run at once with their own variables, keys and way out', async () => {
    const target: [string, string][] = [['fetch', `http://127.0.0.1:${services.http}/`]]
    const marks = Array.from({ length: 8 }, (_, index) => `mark-${index}`)
    const started = await Promise.all(
      marks.flatMap((mark) =>
        [open, closed].map(async (environment) => ({
          environment,
          mark,
          id: await trigger(environment, 'leaves-marks', { mark, ms: 1_500 }),
        })),
      ),
    )
    const [fromOpen, fromClosed] = await Promise.all([reach(open, target), reach(closed, target)])
    expect(Object.values(fromOpen)).toEqual([{ value: 'local /' }])
    expect(Object.values(fromClosed)).toEqual([{ error: expect.stringContaining('is private') }])
    const runs = await Promise.all(started.map(async (start) => ({ ...start, run: await finished(start.environment, start.id) })))
    const isolates = { staging: new Set<string>(), prod: new Set<string>() }
    for (const { environment, run } of runs) {
      const name = environment === open ? 'staging' : 'prod'
      isolates[name].add(run.output.isolateId)
      expect(run.output.before).toEqual({ ...noMarks, variable: name })
      expect(run.output.after.variable).toBe(name)
      expect(run.output.key).toBe(environment.secretKey.slice(0, 11))
    }
    expect([...isolates.staging].filter((id) => isolates.prod.has(id))).toEqual([])
    expect(Math.max(...runs.map(({ run }) => run.output.began))).toBeLessThan(
      Math.min(...runs.map(({ run }) => run.output.ended)),
    )
  })
})

describe('two runs in one isolate', () => {
  it('see nothing of each other', async () => {
    const marks = Array.from({ length: 12 }, (_, index) => `own-${index}`)
    const ids = await Promise.all(marks.map((mark) => trigger(closed, 'leaves-marks', { mark, ms: 1_000 })))
    const runs = await Promise.all(ids.map((id) => finished(closed, id)))
    const perIsolate = new Map<string, number>()
    runs.forEach((run, index) => {
      const mark = marks[index]
      perIsolate.set(run.output.isolateId, (perIsolate.get(run.output.isolateId) ?? 0) + 1)
      expect(run.output.before).toEqual({ ...noMarks, variable: 'prod' })
      expect(run.output.after).toEqual({
        variable: 'prod',
        module: mark,
        global: mark,
        env: mark,
        envOfBuiltin: mark,
        local: mark,
        metadata: mark,
      })
      expect(run.metadata).toEqual({ mark })
      expect(run.tags).toEqual([mark])
    })
    expect(Math.max(...perIsolate.values())).toBeGreaterThan(1)
    for (const [index, id] of ids.entries()) expect(await lines(id)).toEqual([`mark ${marks[index]}`])
  })

  it('have the hooks of the files they load, and no others', async () => {
    const [hooked, other] = await Promise.all(
      ['hooked', 'leaves-marks'].map(async (task) => finished(closed, await trigger(closed, task, { mark: 'plain', ms: 600 }))),
    )
    expect(hooked?.metadata).toEqual({ hook: 'of this file' })
    expect(other?.metadata).toEqual({ mark: 'plain' })
  })

  it.each(['exit', 'import', 'require', 'abort', 'kill', 'builtin', 'reallyExit'])(
    'do not end with the process of another: %s',
    async (how) => {
      const others = await Promise.all(
        Array.from({ length: 3 }, (_, index) => trigger(closed, 'leaves-marks', { mark: `beside-${index}`, ms: 1_500 })),
      )
      const ended = await runTask(closed, 'exits', { how, ms: 300 })
      expect(ended).toMatchObject({
        status: 'CRASHED',
        error: { message: expect.stringMatching(/^Process exited with code \d+\.$/) },
      })
      const beside = await Promise.all(others.map((id) => finished(closed, id)))
      expect(beside.map(({ status }) => status)).toEqual(['COMPLETED', 'COMPLETED', 'COMPLETED'])
      expect(beside.map(({ output }) => output.isolateId)).toContain(ended.metadata.isolateId)
    },
  )

  it('keep their listeners on process to themselves', async () => {
    expect((await runTask(closed, 'listens', { handled: true })).output).toEqual({
      counts: [0, 1],
      seen: ['Error: nobody waits for this'],
    })
    const unhandled = await runTask(closed, 'listens', { handled: false })
    expect(unhandled).toMatchObject({ status: 'FAILED', error: { message: 'nobody waits for this' } })
  })

  it('have nothing of the isolate in their hands', async () => {
    expect((await runTask(closed, 'inside')).output).toEqual({
      env: [],
      exports: [],
      abortIsolate: 'undefined',
      required: 'undefined',
      navigator: expect.stringMatching(/^Node\.js\/\d+$/),
      caches: 'undefined',
      cachesOfGlobal: 'undefined',
      code: expect.stringContaining('Code generation from strings disallowed'),
      harness: "Cannot find module './main.js'",
      listen: 'A task cannot listen on a port: nothing could reach it.',
    })
  })
})

/** What the run logged, by its own account. */
async function lines(id: string): Promise<string[]> {
  const response = await fetch(`${platform.endpoints.apiUrl}/api/v1/runs/${id}/events`, {
    headers: { authorization: `Bearer ${closed.secretKey}` },
  })
  const { events } = (await response.json()) as { events: { message: string }[] }
  return events.map(({ message }) => message).filter((message) => message.startsWith('mark '))
}
