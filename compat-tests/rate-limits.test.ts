/**
 * A project of its own on the plain SDK: options it does not know are written with a cast. A platform of its own, which a pause
 * and a limit of creations concern as a whole.
 */
import { configure, runs, tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { deploy, environmentKey, type Project } from './cli.ts'
import { finished, type PlatformProcess, startPlatform, until } from './harness.ts'
import { makeProject } from './made-project.ts'

const code = `import { schemaTask, task, schedules } from '@trigger.dev/sdk'
const options = (given: object) => given as object
export const mail = task({ id: 'mail', ...options({ rateLimit: { limit: 2, period: '6s', key: 'payload.user' } }),
  run: async (payload: { user: string }) => Date.now() })
export const scheduled = schedules.task({ id: 'scheduled', ...options({ rateLimit: { limit: 1, period: '1h' } }), run: async () => 'ran' })
export const free = task({ id: 'free', run: async () => 'ran' })
const starts = (id: string, retry: object) => task({ id, retry: retry as { maxAttempts: number },
  catchError: async ({ retryDelayInMs }) => { seen.push(retryDelayInMs) },
  run: async (payload: { at: string }, { ctx }) => {
    await fetch(payload.at, { method: 'POST', body: String(Date.now()) })
    if (ctx.attempt.number < 3) throw new Error('again')
    return ctx.run.region ?? 'nowhere'
  } })
const seen: unknown[] = []
export const linear = starts('linear', { maxAttempts: 3, backoff: 'linear', initialDelay: 1_000 })
export const fixed = starts('fixed', { maxAttempts: 3, backoff: 'fixed', initialDelay: '1s' })
`

let platform: PlatformProcess
let project: Project
let folder: string

beforeAll(async () => {
  platform = await startPlatform({ REGIONS: 'eu=weur,us=enam', MAXIMUM_CREATIONS_PER_MINUTE: '60' })
  folder = makeProject({ 'src/a.ts': code }).folder
  const result = await deploy(platform.endpoints, folder)
  expect(result.code, result.output).toBe(0)
  project = await environmentKey(platform.endpoints, folder, 'prod')
  configure({ baseURL: platform.endpoints.apiUrl, accessToken: project.secretKey, requestOptions: { retry: { maxAttempts: 1 } } })
}, 300_000)
afterAll(() => platform?.stop())

async function waitingReason(id: string): Promise<string | undefined> {
  const response = await fetch(`${platform.endpoints.apiUrl}/api/v3/runs/${id}`, {
    headers: { authorization: `Bearer ${project.secretKey}` },
  })
  return ((await response.json()) as { waitingReason?: string }).waitingReason
}

it('starts as many runs of each key as its rate limit says, the rest as tokens come', async () => {
  const sent = []
  for (const user of ['ann', 'ann', 'ann', 'ann', 'bob']) sent.push({ user, id: (await tasks.trigger('mail', { user })).id })
  const third = sent[2]?.id as string
  const words = await until(() => waitingReason(third), 'the third to wait')
  expect(words).toMatch(/^rate limit of task mail for key "ann": 2 per 6s, next at \d{4}-/)
  const startedAt = await Promise.all(sent.map(async ({ id }) => (await finished(id)).startedAt?.getTime()))
  const [first, , , fourth, bob] = startedAt as [number, number, number, number, number]
  expect(bob - first).toBeLessThan(3_000)
  // Two at first and one each three seconds after.
  expect(fourth - first).toBeGreaterThanOrEqual(5_990)
  const scheduled = [await tasks.trigger('scheduled', {}), await tasks.trigger('scheduled', {})]
  expect((await finished(scheduled[0]?.id as string)).output).toBe('ran')
  expect(await waitingReason(scheduled[1]?.id as string)).toContain('rate limit of task scheduled: 1 per 1h')
}, 90_000)

it.each([
  ['linear', [1_000, 2_000]],
  ['fixed', [1_000, 1_000]],
])(
  'waits between attempts as retry.backoff %s says, and tells where it runs',
  async (id, waits) => {
    const attempts: number[] = []
    const { server, url } = await recorder((text) => attempts.push(Number(text)))
    const run = await finished((await tasks.trigger(id, { at: url })).id)
    server.close()
    expect(run).toMatchObject({ status: 'COMPLETED', output: 'eu' })
    const gaps = attempts.slice(1).map((at, index) => at - (attempts[index] as number))
    expect(gaps).toHaveLength(2)
    for (const [index, wait] of waits.entries()) {
      expect(gaps[index], `${gaps}`).toBeGreaterThanOrEqual(wait - 20)
      expect(gaps[index], `${gaps}`).toBeLessThan(wait + 900)
    }
  },
  60_000,
)

it('refuses at deploy what is no rate limit and no backoff, with task and field', async () => {
  const bad = (options: string): string =>
    `import { task } from '@trigger.dev/sdk'\nexport const t = task({ id: 'bad', ...(${options} as object), run: async () => {} })\n`
  for (const [options, words] of [
    ['{ rateLimit: { limit: 0, period: "1m" } }', 'Task "bad": rateLimit.limit must be a whole number'],
    ['{ retry: { maxAttempts: 3, backoff: "cubic" } }', 'Task "bad": retry.backoff must be one of'],
  ] as const) {
    const result = await deploy(platform.endpoints, makeProject({ 'src/a.ts': bad(options) }).folder)
    expect(result.code).not.toBe(0)
    expect(result.output.replace(/\s+/g, ' ')).toContain(words)
  }
}, 200_000)

it('pauses an environment over the API, and lets it go on', async () => {
  const call = async (word: string, token = platform.endpoints.accessToken): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`${platform.endpoints.apiUrl}/api/v1/projects/${project.ref}/prod/${word}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    })
    return { status: response.status, body: await response.json() }
  }
  expect((await call('pause', project.secretKey)).status).toBe(401)
  expect(await call('pause')).toEqual({ status: 200, body: { paused: true, state: 'paused' } })
  const { id } = await tasks.trigger('free', {})
  expect(await waitingReason(id)).toBe('the environment is paused')
  await platform.killWorkerd()
  await platform.waitUntilHealthy()
  expect((await runs.retrieve(id)).status).toBe('QUEUED')
  expect(await waitingReason(id)).toBe('the environment is paused')
  expect(await call('resume')).toEqual({ status: 200, body: { paused: false, state: 'resumed' } })
  expect((await finished(id)).output).toBe('ran')
}, 120_000)

it('has the region it was made in, and makes so many runs a minute', async () => {
  await expect(tasks.trigger('free', {}, { region: 'us' })).rejects.toMatchObject({
    status: 422,
    message: expect.stringContaining('this environment is in "eu"'),
  })
  const startedAt = Date.now()
  const refused = async (): Promise<unknown> => {
    for (let i = 0; i <= 60; i++) await tasks.trigger('free', {})
    return undefined
  }
  const error = await refused().catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ status: 429, message: expect.stringContaining('has made 60 runs in a minute') })
  expect(Date.now() - startedAt, 'the SDK does not wait and try again').toBeLessThan(30_000)
}, 90_000)

async function recorder(on: (text: string) => void): Promise<{ server: import('node:http').Server; url: string }> {
  const { createServer } = await import('node:http')
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk) => {
      text += chunk
    })
    request.on('end', () => {
      on(text)
      response.end()
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return { server, url: `http://127.0.0.1:${(server.address() as { port: number }).port}` }
}
