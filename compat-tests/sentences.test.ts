/** The client of trigger.do as its users write it, against deployed tasks that were written with it. */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tasks } from '@trigger.dev/sdk'
import type * as Client from 'trigger.do'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Project } from './cli.ts'
import { installClient } from './client-package.ts'
import { endpoints, finished, unique, until, useProject } from './harness.ts'
import { deployFixture } from './platform-process.ts'

const fixture = join(import.meta.dirname, 'fixtures/client')
let project: Project
let trigger: Client.Trigger
let client: typeof Client
/** Paths of what was asked, the newest last. */
const asked: string[] = []

beforeAll(async () => {
  const folder = installClient(fixture)
  project = await deployFixture({ endpoints }, 'client')
  useProject(project)
  client = await import(join(folder, 'dist/index.js'))
  client.configure({
    baseURL: endpoints.apiUrl,
    accessToken: project.secretKey,
    fetch: (input, init) => {
      asked.push(`${init?.method} ${new URL(String(input)).pathname}`)
      return fetch(input, init)
    },
  })
  trigger = client.trigger
}, 300_000)

const videoId = 'v1'

describe('sentences', () => {
  it('a bare statement starts the job', async () => {
    const userId = unique('u')
    trigger`process video ${userId} with encoding ${'av1'}`
    const run = await until(async () => {
      const { data } = await trigger.runs.list({ taskId: 'process-video', limit: 10 })
      for (const { id } of data) {
        const found = await trigger.runs.get(id)
        if ((found.payload as { videoId: string }).videoId === userId && found.status === 'COMPLETED') return found
      }
      return undefined
    }, 'the run of the sentence')
    expect(run).toMatchObject({ payload: { videoId: userId, encoding: 'av1' }, output: { encoding: 'av1' } })
  })

  it('an awaited one gives the output, in one request', async () => {
    asked.length = 0
    const user = { email: 'ada@example.com' }
    expect(await trigger`send welcome email to ${user.email}`).toEqual({ sent: 'ada@example.com' })
    expect(asked).toEqual(['POST /api/v1/sentences'])
    expect(await trigger`transcode ${videoId} to 1080p`).toEqual({ videoId, format: '1080p' })
    expect(await trigger`send ${'welcome'} email to ${['a@example.com', 'b@example.com']}`).toEqual({
      template: 'welcome',
      recipients: ['a@example.com', 'b@example.com'],
    })
  })

  it.each([
    ['every day at 3am, run cleanup', () => trigger`every day at 3am, run cleanup`, 'cleanup', '0 3 * * *'],
    ['every hour, check inventory levels', () => trigger`every hour, check inventory levels`, 'check-inventory', '0 * * * *'],
    ['at 9am on weekdays, send daily digest', () => trigger`at 9am on weekdays, send daily digest`, 'send-digest', '0 9 * * 1-5'],
    [
      'on the first of each month, generate reports',
      () => trigger`on the first of each month, generate reports`,
      'generate-reports',
      '0 0 1 * *',
    ],
  ])('%s', async (_, say, task, cron) => {
    const made = await say()
    expect(made).toMatchObject({
      kind: 'schedule',
      id: expect.any(String),
      task,
      cron,
      cronInWords: expect.any(String),
      timezone: 'UTC',
    })
    // Said again it is the schedule there is.
    expect((await say()).id).toBe(made.id)
  })

  it('events: a subscription, and a run of each event', async () => {
    const adminEmail = 'admin@example.com'
    const made = await trigger`when payment fails, notify ${adminEmail}`
    expect(made).toMatchObject({ kind: 'event', id: expect.any(String), task: 'notify-admin', event: expect.any(String) })
    const { data } = await trigger.events.subscriptions.list()
    expect(data.map(({ id }) => id)).toContain(made.id)
    const id = unique('event')
    const sent = await trigger.events.send(made.event, { amount: 3 }, { id })
    expect(sent.runs).toHaveLength(1)
    expect(await finished(sent.runs[0]?.id as string)).toMatchObject({ output: { email: adminEmail } })
    const again = await trigger.events.send(made.event, { amount: 3 }, { id })
    expect(again.runs.map((run) => run.id)).toEqual(sent.runs.map((run) => run.id))
    await trigger.events.subscriptions.pause(made.id)
    expect((await trigger.events.send(made.event, {})).runs).toEqual([])
    await trigger.events.subscriptions.resume(made.id)
    await trigger.events.subscriptions.delete(made.id)
    const upload = await trigger`when ${'u1'} uploads a file, scan for viruses`
    expect(upload).toMatchObject({ kind: 'event', task: 'scan-for-viruses' })
    await trigger.events.subscriptions.delete(upload.id)
    const mine = await trigger.events.on(unique('order'), { task: 'cleanup', filter: { total: { gt: 10 } } })
    expect((await trigger.events.send(mine.event, { total: 11 })).runs).toHaveLength(1)
    expect((await trigger.events.send(mine.event, { total: 9 })).runs).toHaveLength(0)
    await trigger.events.subscriptions.delete(mine.id)
  })

  it('explain says what it would do, and does nothing', async () => {
    const understood = await trigger.explain`every day at 3am, run cleanup`
    expect(understood).toMatchObject({ understood: true, kind: 'schedule', task: 'cleanup', cron: '0 3 * * *' })
    expect(await trigger.explain`check the stock levels`).toMatchObject({
      understood: true,
      kind: 'run',
      task: 'check-inventory',
    })
    expect(await trigger.explain`paint the fence green`).toMatchObject({ understood: false, message: expect.any(String) })
  })

  it.each([
    ['of no task', () => trigger`paint the fence green`, 'NO_MATCH'],
    ['that forbids', () => trigger`don't send welcome email to ${'a@example.com'}`, 'NEGATED'],
    ['with a time there is not', () => trigger`on the 31st of February, run cleanup`, 'IMPOSSIBLE_TIME'],
    ['without what the task needs', () => trigger`send welcome email`, 'MISSING_FIELD'],
    ['without words', () => trigger``, 'EMPTY'],
  ])('one %s is refused', async (_, say, code) => {
    const error = await say().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(client.SentenceError)
    expect(error).toMatchObject({ code, message: expect.any(String), candidates: expect.any(Array) })
  })
})

describe('chains', () => {
  const url = 'https://files.test/a.mp4'

  it('three jobs, one round trip', async () => {
    asked.length = 0
    const processed = await trigger`download ${url}`
      .map((file) => trigger`process file ${file}`)
      .map((result) => trigger`upload ${result} to CDN`)
    expect(processed).toEqual({ uploaded: { url, bytes: 10, isProcessed: true } })
    expect(asked.filter((path) => path.startsWith('POST'))).toEqual(['POST /api/v1/plans'])
  })

  it('a fan-out', async () => {
    asked.length = 0
    const userId = 'u7'
    const results = await trigger`fetch all user uploads for ${userId}`
      .map((uploads) => uploads.map((u: string) => trigger`generate thumbnail for ${u}`))
      .map((thumbnails) => trigger`create gallery from ${thumbnails}`)
    expect(results).toEqual({ thumbnails: ['u7/a.thumb', 'u7/b.thumb', 'u7/c.thumb'] })
    expect(asked.filter((path) => path.startsWith('POST'))).toEqual(['POST /api/v1/plans'])
  })

  it('checkpoints', async () => {
    asked.length = 0
    const job = trigger`process large dataset ${'d1'}`
      .checkpoint('downloaded')
      .map((data) => trigger`transform ${data}`)
      .checkpoint('transformed')
      .map((transformed) => trigger`upload ${transformed}`)
    expect(await job).toEqual({ uploaded: { datasetId: 'd1', rows: 3, isTransformed: true } })
    expect(asked.filter((path) => path.startsWith('POST'))).toEqual(['POST /api/v1/plans'])
    expect((await trigger.runs.get(await job.id)).metadata).toMatchObject({ checkpoints: ['downloaded', 'transformed'] })
    expect(await job.understood).toMatchObject({ task: 'process-large-dataset' })
  })

  it('named tasks and inner chains', async () => {
    const result = await trigger`download ${url}`.map(({ url: from, bytes }) => ({
      bytes,
      named: trigger.tasks.trigger('upload-to-cdn', { source: { from } }),
      inner: trigger`process file ${{ from }}`.map((file) => trigger`upload ${file.isProcessed} to CDN`),
    }))
    expect(result).toEqual({ bytes: 10, named: { uploaded: { from: url } }, inner: { uploaded: true } })
  })

  it('what cannot be recorded is carried out here', async () => {
    asked.length = 0
    const result = await trigger`fetch all user uploads for ${'u8'}`.map((uploads: string[]) =>
      uploads.length > 2 ? trigger`create gallery from ${uploads.slice(0, 2)}` : trigger`create gallery from ${uploads}`,
    )
    expect(result).toEqual({ thumbnails: ['u8/a', 'u8/b'] })
    expect(asked.filter((path) => path.startsWith('POST'))).toEqual(['POST /api/v1/sentences', 'POST /api/v1/sentences'])
  })

  it('a failed stage rejects, a refused one starts nothing', async () => {
    await expect(trigger`download ${url}`.map((file) => trigger`explode loudly ${file}`)).rejects.toThrow(/bang/)
    const refused = trigger`download ${url}`.map((file) => trigger`paint the fence with ${file}`)
    await expect(refused).rejects.toMatchObject({ name: 'SentenceError', code: 'NO_MATCH' })
    const { data } = await trigger.runs.list({ taskId: 'trigger.do/plan', status: 'QUEUED' })
    expect(data).toEqual([])
  })
})

describe('handles', () => {
  it('progress, status, logs and the output', async () => {
    const job = trigger`encode ${videoId} to all formats`
    const seen: string[] = []
    for await (const update of job.progress()) seen.push(`${update.stage}: ${update.percent}%`)
    expect(seen).toEqual(expect.arrayContaining(['reading: 10%', 'encoding: 50%']))
    expect(seen.at(-1)).toMatch(/: 100%$/)
    expect(await job).toEqual({ formats: 3 })
    expect(await job.status()).toBe('COMPLETED')
    const lines = await until(async () => {
      const found = await job.logs({ tail: 100 })
      return found.length > 0 ? found : undefined
    }, 'the log lines')
    expect(lines.map(({ message }) => message)).toContain(`encoded ${videoId}`)
  })

  it('cancel ends the run, and what waits for it rejects', async () => {
    const job = trigger`encode ${videoId} to all formats`
    const id = await job.id
    const end = expect(job).rejects.toMatchObject({ name: 'RunError', runId: id, status: 'CANCELED' })
    await job.cancel()
    await end
    const other = trigger.tasks.trigger('encode-all-formats', { videoId })
    await trigger.runs.cancel(await other.id)
    await expect(other).rejects.toMatchObject({ status: 'CANCELED' })
  })

  it('a failed run rejects with the error of the task', async () => {
    const job = trigger`explode loudly`
    const error = await job.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(client.RunError)
    expect(error).toMatchObject({ name: 'RangeError', message: 'bang', runId: await job.id, status: 'FAILED' })
    expect((error as Error).stack).toContain('media.ts')
  })

  it('one key is one run, tags are seen, a signal ends the waiting', async () => {
    const idempotencyKey = unique('key')
    const once = trigger.with({ idempotencyKey, tags: ['from-client'] })
    const ids = [await once`run cleanup`.catch(() => 0), await once`run cleanup`.id, await once`run cleanup`.id]
    expect(ids[1]).toBe(ids[2])
    expect((await trigger.runs.get(ids[1] as string)).tags).toEqual(['from-client'])
    await expect(trigger.with({ signal: AbortSignal.timeout(500) })`encode ${videoId} to all formats`).rejects.toThrow(/time/i)
  })

  it('tasks: listed, and triggered by id', async () => {
    const { data } = await trigger.tasks.list()
    expect(data.map(({ id }) => id)).toEqual(expect.arrayContaining(['process-video', 'plain-neighbour', 'daily-tidying']))
    expect(data.find(({ id }) => id === 'check-inventory')?.keywords).toEqual(['stock levels'])
    expect(await trigger.tasks.trigger('plain-neighbour', { n: 1 })).toBe(2)
    // It is there for the version that brings the task, but whoever waits is told.
    await expect(trigger.tasks.trigger('nothing-of-the-kind', {})).rejects.toThrow(
      /has not started: .*no version has task nothing-of-the-kind/,
    )
  })
})

describe('tasks written with trigger.do', () => {
  it('run for the SDK as well', async () => {
    const { id } = await tasks.trigger('process-video', { videoId: 'abc123', userId: 'u1' }, { concurrencyKey: 'u1' })
    expect(await finished(id)).toMatchObject({ status: 'COMPLETED', output: { url: 'https://cdn.test/abc123' } })
  })

  it('find their checkpoints on the next attempt', async () => {
    const job = trigger.tasks.trigger('come-back')
    expect(await job).toEqual({
      attempt: 2,
      name: 'second',
      data: { attempt: 1 },
      storedBy: 1,
      first: { attempt: 1 },
      none: null,
    })
  })

  it('say sentences themselves', async () => {
    expect(await trigger.tasks.trigger('delegate-greeting')).toEqual({ sent: 'inside@example.com' })
  })
})

it('the program in README.md does what it says', { timeout: 120_000 }, () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  const text = /```ts\n(import \{ trigger \} from 'trigger\.do'\n[\s\S]*?)```/.exec(readme)?.[1]
  const file = join(fixture, `.readme-${process.pid}.ts`)
  writeFileSync(file, text as string)
  const env = { ...process.env, TRIGGER_API_URL: endpoints.apiUrl, TRIGGER_SECRET_KEY: project.secretKey }
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { env, encoding: 'utf8' })
  rmSync(file)
  expect(status, stderr).toBe(0)
  for (const shown of [
    "{ sent: 'ada@example.com' }",
    "'u7/a.thumb'",
    "cron: '0 3 * * *'",
    "event: 'payment.failed'",
    ': 100%',
    "task: 'transcode-video'",
  ])
    expect(stdout).toContain(shown)
})
