import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { auth, runs, schedules } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { deploy, environmentKey, type Project } from './cli.ts'
import { endpoints, finished, http, runTask, unique, until, useProject } from './harness.ts'
import { makeProject } from './made-project.ts'

const minute = 60_000

function scheduled(tasks: Record<string, string>): string {
  const lines = Object.entries(tasks).map(
    ([id, cron], index) =>
      `export const t${index} = schedules.task({ id: '${id}', cron: ${cron}, run: async (payload) => ({ payload, dates: [payload.timestamp, payload.lastTimestamp ?? payload.timestamp, ...payload.upcoming].every((d) => d instanceof Date) }) })`,
  )
  return `import { schedules } from '@trigger.dev/sdk'\n${lines.join('\n')}\n`
}

type Schedule = Awaited<ReturnType<typeof schedules.retrieve>>

const keyOf = (project: Project): { authorization: string } => ({ authorization: `Bearer ${project.secretKey}` })

/** By plain HTTP: the SDK knows one environment at a time, and scenarios run beside each other. */
async function declaredTasks(project: Project): Promise<string[]> {
  const { body } = await http('GET', '/api/v1/schedules?perPage=100', undefined, keyOf(project))
  return (body.data as Schedule[])
    .filter(({ type }) => type === 'DECLARATIVE')
    .map(({ task }) => task)
    .sort()
}

async function declared(): Promise<Map<string, Schedule>> {
  const { data } = await schedules.list({ perPage: 100 })
  return new Map(data.filter(({ type }) => type === 'DECLARATIVE').map((schedule) => [schedule.task, schedule]))
}

interface Tick {
  scheduleId: string
  type: string
  timestamp: Date
  lastTimestamp?: Date
  timezone: string
  upcoming: Date[]
}

const imperative = `import { schedules, task } from '@trigger.dev/sdk'
export const report = schedules.task({ id: 'report', run: async (payload) => ({ payload, dates: [payload.timestamp, ...payload.upcoming].every((d) => d instanceof Date) }) })
export const witness = schedules.task({ id: 'witness', run: async () => 'seen' })
export const declared = schedules.task({ id: 'declared', cron: '0 3 * * *', run: async () => 'never' })
export const plain = task({ id: 'plain', run: async () => 'plain' })
export const maker = task({
  id: 'maker',
  run: async (payload) => {
    const made = await schedules.create({ task: 'report', cron: '0 0 1 1 *', deduplicationKey: payload.user, externalId: payload.user })
    return (await schedules.retrieve(made.id)).externalId
  },
})
`

const first = {
  everyMinute: `{ pattern: '* * * * *', timezone: 'Europe/London' }`,
  nightly: `'0 3 * * *'`,
  onlyProduction: `{ pattern: '0 4 * * 1', environments: ['PRODUCTION'] }`,
  onlyStaging: `{ pattern: '0 5 1 * *', environments: ['STAGING'] }`,
}

let folder: string
let production: Project
let staging: Project
/** What production had when only staging was deployed. */
let early: string[]

beforeAll(async () => {
  folder = makeProject({ 'src/a.ts': scheduled(first), 'src/b.ts': imperative }).folder
  expect((await deploy(endpoints, folder, ['--env', 'staging'])).code).toBe(0)
  production = await environmentKey(endpoints, folder, 'prod')
  staging = await environmentKey(endpoints, folder, 'staging')
  early = await declaredTasks(production)
  expect((await deploy(endpoints, folder)).code).toBe(0)
  useProject(production)
}, 300_000)

const key = (): { authorization: string } => keyOf(production)
const report = { task: 'report', cron: '0 0 1 1 *' }

const ticksOf = async (id: string): Promise<Awaited<ReturnType<typeof runs.list>>['data']> =>
  (await runs.list({ schedule: id, limit: 100 })).data
/** Newest first. */
const ticks = (id: string, count: number): ReturnType<typeof ticksOf> =>
  until(
    async () => {
      const list = await ticksOf(id)
      return list.length >= count && list
    },
    `${count} ticks of ${id}`,
    count * 70_000,
  )

// Both wait for the same two minutes, and what needs no clock is done meanwhile.
describe.concurrent('each minute', () => {
  it('declared schedules fire, and change with the next deploy', { timeout: 400_000 }, async () => {
    const before = await declared()
    expect([...before.keys()].sort()).toEqual(['declared', 'everyMinute', 'nightly', 'onlyProduction'])
    const every = before.get('everyMinute') as Schedule
    expect(every).toMatchObject({
      id: expect.stringMatching(/^sched_/),
      type: 'DECLARATIVE',
      active: true,
      timezone: 'Europe/London',
      generator: { type: 'CRON', expression: '* * * * *', description: 'Every minute' },
      environments: [{ type: 'PRODUCTION' }],
    })
    expect(before.get('nightly')).toMatchObject({ timezone: 'UTC', generator: { description: 'At 03:00 AM' } })
    const planned = (await schedules.retrieve(every.id)).nextRun as Date
    expect(planned.getTime() % minute).toBe(0)
    expect(planned.getTime() - Date.now()).toBeLessThanOrEqual(minute)

    // Of the deploy to now a minute may have passed already.
    const known = (await ticksOf(every.id)).length
    const list = await ticks(every.id, known + 1)
    const oldest = list.at(-1) as (typeof list)[number]
    const run = await finished(oldest.id)
    const payload = (run.output as { payload: Tick }).payload
    expect(run).toMatchObject({ status: 'COMPLETED', output: { dates: true } })
    expect(new Date(payload.timestamp)).toEqual(run.createdAt)
    if (known === 0) expect(run.createdAt).toEqual(planned)
    expect(payload).toMatchObject({ scheduleId: every.id, type: 'DECLARATIVE', timezone: 'Europe/London' })
    expect(payload.lastTimestamp).toBeUndefined()
    expect(payload.upcoming.map((date) => new Date(date).getTime())).toEqual(
      Array.from({ length: 10 }, (_, i) => run.createdAt.getTime() + (i + 1) * minute),
    )
    expect(run.schedule).toMatchObject({ id: every.id, generator: { expression: '* * * * *' } })

    // The next version drops one, changes one, keeps one.
    writeFileSync(join(folder, 'src/a.ts'), scheduled({ everyMinute: first.everyMinute, nightly: `'30 3 * * *'` }))
    expect((await deploy(endpoints, folder)).code).toBe(0)
    const after = await declared()
    expect([...after.keys()].sort()).toEqual(['declared', 'everyMinute', 'nightly'])
    for (const task of ['declared', 'everyMinute', 'nightly']) expect(after.get(task)?.id).toBe(before.get(task)?.id)
    expect(after.get('nightly')?.generator.expression).toBe('30 3 * * *')
    await expect(schedules.retrieve(before.get('onlyProduction')?.id as string)).rejects.toMatchObject({ status: 404 })
    expect(await declaredTasks(staging)).toContain('onlyStaging')

    // Each tick once, and it knows the one before.
    const later = await ticks(every.id, known + 2)
    const times = later.map((one) => one.createdAt.getTime())
    expect(new Set(times).size).toBe(times.length)
    const latest = (await finished(later[0]?.id as string)).output as { payload: Tick; dates: boolean }
    expect(latest.dates).toBe(true)
    expect(new Date(latest.payload.lastTimestamp as Date).getTime()).toBe(times[1])
  })

  it('A49 schedules of the API fire with their payload, not while inactive', { timeout: 400_000 }, async () => {
    const made = await schedules.create({
      task: 'report',
      cron: '* * * * *',
      timezone: 'Asia/Kathmandu',
      externalId: 'user_1',
      deduplicationKey: unique('minute'),
    })
    const stopped = await schedules.create({ task: 'witness', cron: '* * * * *', deduplicationKey: unique('stopped') })
    expect((made.nextRun as Date).getTime() % minute).toBe(0)
    const [first] = await ticks(made.id, 1)
    await ticks(stopped.id, 1)
    expect(await schedules.deactivate(stopped.id)).toMatchObject({ active: false, nextRun: null })
    const before = await ticksOf(stopped.id)
    const run = await finished(first?.id as string)
    expect(run).toMatchObject({ status: 'COMPLETED', taskIdentifier: 'report', output: { dates: true } })
    expect(run.createdAt).toEqual(made.nextRun)
    expect(run.schedule).toEqual({
      id: made.id,
      externalId: 'user_1',
      deduplicationKey: made.deduplicationKey,
      generator: made.generator,
    })
    const { payload } = run.output as { payload: Tick & { externalId: string } }
    expect(payload).toMatchObject({ scheduleId: made.id, type: 'IMPERATIVE', externalId: 'user_1', timezone: 'Asia/Kathmandu' })
    expect(new Date(payload.timestamp)).toEqual(made.nextRun)
    expect(payload).not.toHaveProperty('lastTimestamp')
    expect(payload.upcoming.map((date) => new Date(date).getTime())).toEqual(
      Array.from({ length: 10 }, (_, i) => (made.nextRun as Date).getTime() + (i + 1) * minute),
    )

    const [second] = await ticks(made.id, 2)
    const next = ((await finished(second?.id as string)).output as { payload: Tick }).payload
    expect(new Date(next.timestamp).getTime()).toBe((made.nextRun as Date).getTime() + minute)
    expect(new Date(next.lastTimestamp as Date)).toEqual(made.nextRun)

    // Due at the same times: what fired once more would have fired by now.
    expect(await ticksOf(stopped.id)).toHaveLength(before.length)
    const times = (await ticksOf(made.id)).map((one) => one.createdAt.getTime())
    expect(new Set(times).size).toBe(times.length)
    for (const id of [made.id, stopped.id]) expect(await schedules.del(id)).toEqual({ id })
    // Its runs stay; what they belonged to is gone.
    expect(await runs.retrieve(first?.id as string)).not.toHaveProperty('schedule')
  })

  it('declared ones are apart in each environment', async () => {
    expect(early).toEqual([])
    expect(await declaredTasks(staging)).toEqual(['declared', 'everyMinute', 'nightly', 'onlyStaging'])
    const { data } = (await http('GET', '/api/v1/schedules', undefined, keyOf(staging))).body
    for (const { environments } of data) expect(environments).toMatchObject([{ type: 'STAGING' }])
  })

  it('declared ones that are wrong fail the deploy, each by name, and nothing changes', { timeout: 300_000 }, async () => {
    const { folder } = makeProject({ 'src/a.ts': scheduled({ sound: `'0 3 * * *'` }) })
    expect((await deploy(endpoints, folder)).code).toBe(0)
    const project = await environmentKey(endpoints, folder, 'prod')
    const key = keyOf(project)
    const current = (await http('GET', '/api/v1/deployments/current', undefined, key)).body
    const wrong = {
      seconds: `'0 0 3 * * *'`,
      range: `'61 * * * *'`,
      zone: `{ pattern: '0 3 * * *', timezone: 'Mars/Olympus' }`,
    }
    writeFileSync(join(folder, 'src/a.ts'), scheduled({ sound: `'0 4 * * *'`, ...wrong }))
    const result = await deploy(endpoints, folder)
    expect(result.code).not.toBe(0)
    const [latest] = (await http('GET', '/api/v1/deployments', undefined, key)).body.data
    expect(latest.status).toBe('FAILED')
    for (const text of [result.output, latest.error.message as string]) {
      for (const named of ['"seconds"', '0 0 3 * * *', '"range"', '61 * * * *', '"zone"', 'Mars/Olympus'])
        expect(text).toContain(named)
      expect(text).not.toContain('"sound"')
    }
    expect((await http('GET', '/api/v1/deployments/current', undefined, key)).body).toEqual(current)
    const { data } = (await http('GET', '/api/v1/schedules', undefined, key)).body
    expect(data).toMatchObject([{ task: 'sound', generator: { expression: '0 3 * * *' } }])
  })

  it('time zones are listed without a key', async () => {
    const { timezones } = await schedules.timezones()
    expect(timezones[0]).toBe('UTC')
    expect(timezones).toContain('America/New_York')
    expect((await schedules.timezones({ excludeUtc: true })).timezones).not.toContain('UTC')
  })
})

describe.concurrent('schedules of the API', () => {
  it('are one for a key, and each change replaces everything but the task', async () => {
    const deduplicationKey = unique('key')
    const made = await schedules.create({
      ...report,
      deduplicationKey,
      externalId: 'user',
      timezone: 'Europe/Paris',
      window: '30m',
    })
    expect(made).toMatchObject({
      id: expect.stringMatching(/^sched_[0-9a-v]{21}$/),
      type: 'IMPERATIVE',
      task: 'report',
      active: true,
      deduplicationKey,
      externalId: 'user',
      timezone: 'Europe/Paris',
      window: '30m',
      generator: { type: 'CRON', expression: '0 0 1 1 *', description: expect.stringContaining('January') },
      environments: [{ type: 'PRODUCTION' }],
    })
    const delay = (made.nextRunEffectiveAt as Date).getTime() - (made.nextRun as Date).getTime()
    expect(delay).toBeGreaterThanOrEqual(0)
    expect(delay).toBeLessThan(30 * minute)

    const again = await schedules.create({ task: 'witness', cron: '*/5 * * * *', deduplicationKey })
    expect(again).toMatchObject({ id: made.id, task: 'report', timezone: 'UTC', generator: { description: 'Every 5 minutes' } })
    expect(again).toMatchObject({ externalId: null, deduplicationKey })
    expect(again).not.toHaveProperty('window')
    expect(again.nextRunEffectiveAt).toEqual(again.nextRun)

    const changed = await schedules.update(made.id, { task: 'report', cron: '@daily', externalId: 'other' })
    expect(changed).toMatchObject({ id: made.id, externalId: 'other', generator: { expression: '@daily' } })
    expect(await schedules.retrieve(made.id)).toEqual(changed)
    expect(await schedules.retrieve(deduplicationKey)).toEqual(changed)
    expect(await schedules.deactivate(deduplicationKey)).toMatchObject({ active: false, nextRun: null, nextRunEffectiveAt: null })
    // A change does not activate.
    expect(await schedules.update(made.id, report)).toMatchObject({ active: false, nextRun: null })
    expect(await schedules.activate(made.id)).toMatchObject({ active: true, nextRun: expect.any(Date) })
    expect(await schedules.del(deduplicationKey)).toEqual({ id: made.id })
    for (const gone of [
      () => schedules.retrieve(made.id),
      () => schedules.activate(made.id),
      () => schedules.deactivate(made.id),
      () => schedules.del(made.id),
    ]) {
      await expect(gone()).rejects.toMatchObject({ status: 404, error: 'Schedule not found' })
    }
    // As upstream, a change of what is not there makes it.
    const fresh = await schedules.update(made.id, report)
    expect(fresh.id).not.toBe(made.id)
    expect(fresh.deduplicationKey).toBeNull()
    await schedules.del(fresh.id)
  })

  it('are made by task code as well', async () => {
    const user = unique('user')
    expect((await runTask('maker', { user })).output).toBe(user)
    expect(await schedules.retrieve(user)).toMatchObject({ externalId: user, task: 'report' })
    await schedules.del(user)
  })

  it('are apart in each environment, also with the same key', async () => {
    const deduplicationKey = unique('apart')
    const here = await schedules.create({ ...report, deduplicationKey })
    const asked = (method: string, path: string, body?: object): ReturnType<typeof http> =>
      http(method, `/api/v1/schedules${path}`, body, keyOf(staging))
    expect((await asked('GET', `/${here.id}`)).status).toBe(404)
    expect((await asked('DELETE', `/${here.id}`)).status).toBe(404)
    const there = (await asked('POST', '', { ...report, deduplicationKey })).body
    expect(there).toMatchObject({ environments: [{ type: 'STAGING' }] })
    expect(there.id).not.toBe(here.id)
    expect((await asked('DELETE', `/${deduplicationKey}`)).body).toEqual({ id: there.id })
    expect((await schedules.retrieve(deduplicationKey)).id).toBe(here.id)
    await schedules.del(here.id)
  })

  it.each([
    ['30 2 * 3 0#2', 'America/New_York', '07:30'],
    ['0 2 * 3 0#2', 'America/New_York', '07:00'],
    ['30 1 * 3 0L', 'Europe/London', '01:30'],
    ['30 1 * 11 0#1', 'America/New_York', '05:30'],
    ['30 1 * 10 0L', 'Europe/London', '00:30'],
    ['0 2 * 10 0#1', 'Australia/Lord_Howe', '15:30'],
  ])('%s in %s, where the clock changes, comes next at %s UTC', async (cron, timezone, time) => {
    const made = await schedules.create({ task: 'report', cron, timezone, deduplicationKey: '' })
    expect((made.nextRun as Date).toISOString().slice(11, 16)).toBe(time)
    await schedules.del(made.id)
  })

  it('leave declared ones alone', async () => {
    const { id } = (await declared()).get('declared') as { id: string }
    for (const [verb, change] of [
      ['update', () => schedules.update(id, report)],
      ['activate', () => schedules.activate(id)],
      ['deactivate', () => schedules.deactivate(id)],
      ['delete', () => schedules.del(id)],
    ] as const) {
      await expect(change()).rejects.toMatchObject({ status: 422, error: `Cannot ${verb} a declarative schedule` })
    }
    expect(await schedules.retrieve(id)).toMatchObject({ active: true, task: 'declared' })
  })

  describe('are refused', () => {
    const good = { task: 'report', cron: '0 3 * * *', deduplicationKey: 'refused' }
    const nothingMade = async (): Promise<void> =>
      expect((await http('GET', '/api/v1/schedules/refused', undefined, key())).status).toBe(404)

    it.each([
      ['cron', { cron: '0 0 3 * * *' }, 'Invalid cron expression: seconds are not allowed'],
      ['cron', { cron: '61 * * * *' }, 'Invalid cron expression: '],
      ['cron', { cron: '* * * *' }, 'Invalid cron expression: '],
      ['cron', { cron: '' }, 'Invalid cron expression: '],
      ['cron', { cron: '0 0 30 2 *' }, 'Invalid cron expression: '],
      ['cron', { cron: '@reboot' }, 'Invalid cron expression: '],
      ['timezone', { timezone: 'Mars/Olympus' }, "Invalid IANA timezone: 'Mars/Olympus'"],
      ['timezone', { timezone: '+03:00' }, "Invalid IANA timezone: '+03:00'"],
      ['timezone', { timezone: 'local' }, "Invalid IANA timezone: 'local'"],
      ['window', { window: '25h' }, 'Invalid schedule window: "25h"'],
      ['task', { task: 'nobody' }, 'Task with identifier nobody not found in project.'],
      ['task', { task: 'plain' }, 'Task with identifier plain is not a scheduled task.'],
    ])('for their %s: %o', async (_field, change, words) => {
      for (const [method, path] of [
        ['POST', '/api/v1/schedules'],
        ['PUT', '/api/v1/schedules/refused'],
      ] as const) {
        const answer = await http(method, path, { ...good, ...change }, key())
        expect(answer.status).toBe(422)
        expect(answer.body.error).toContain(words)
      }
      await nothingMade()
    })

    it.each([
      ['task', { task: undefined }],
      ['task', { task: 5 }],
      ['cron', { cron: undefined }],
      ['cron', { cron: ['0 3 * * *'] }],
      ['cron', { cron: '0,'.repeat(600) }],
      ['deduplicationKey', { deduplicationKey: undefined }],
      ['deduplicationKey', { deduplicationKey: 'k'.repeat(1_025) }],
      ['externalId', { externalId: 'e'.repeat(1_025) }],
      ['externalId', { externalId: {} }],
      ['timezone', { timezone: 3 }],
    ])('when %s is not what it should be', async (field, change) => {
      const answer = await http('POST', '/api/v1/schedules', { ...good, ...change }, key())
      expect(answer).toMatchObject({ status: 400, body: { error: 'Invalid request body', issues: [{ path: [field] }] } })
      if (JSON.stringify(change).length > 1_000) expect(answer.body.issues[0].message).toContain('1024')
      await nothingMade()
    })

    it('without a body, with a broken one, or a page that is none', async () => {
      expect((await http('POST', '/api/v1/schedules', '{nope', key())).status).toBe(400)
      expect((await http('POST', '/api/v1/schedules', undefined, key())).status).toBe(400)
      for (const page of ['page=0', 'page=x', 'perPage=-1', 'perPage=1.5']) {
        const answer = await http('GET', `/api/v1/schedules?${page}`, undefined, key())
        expect(answer).toMatchObject({ status: 400, body: { issues: [{ path: [page.split('=')[0]] }] } })
      }
    })

    it('without a secret key', async () => {
      const token = await auth.createPublicToken({ scopes: { read: { tasks: ['report'] }, write: { tasks: ['report'] } } })
      for (const authorization of ['', 'Bearer tr_prod_nothing', `Bearer ${token}`]) {
        for (const [method, path, body] of [
          ['POST', '/api/v1/schedules', good],
          ['GET', '/api/v1/schedules', undefined],
          ['PUT', '/api/v1/schedules/refused', good],
          ['DELETE', '/api/v1/schedules/refused', undefined],
          ['POST', '/api/v1/schedules/refused/activate', undefined],
        ] as const) {
          expect((await http(method, path, body, { authorization })).status, `${method} ${path}`).toBe(401)
        }
      }
      await nothingMade()
    })
  })
})

describe('schedules', () => {
  it('without a key are always new, and listed by page', async () => {
    const made: string[] = []
    for (let index = 0; index < 3; index++) made.push((await schedules.create({ ...report, deduplicationKey: '' })).id)
    expect(new Set(made).size).toBe(3)
    const all = await schedules.list({ perPage: 100 })
    expect(all.data.filter((schedule) => made.includes(schedule.id)).map((schedule) => schedule.id)).toEqual(made)
    const pages: string[] = []
    for (let page = 1; page <= all.data.length + 1; page++) {
      const { data, pagination } = await schedules.list({ page, perPage: 1 })
      expect(pagination).toEqual({ currentPage: page, totalPages: all.data.length, count: all.data.length })
      pages.push(...data.map((schedule) => schedule.id))
    }
    expect(pages).toEqual(all.data.map((schedule) => schedule.id))
    for (const id of made) await schedules.del(id)
  })
})
