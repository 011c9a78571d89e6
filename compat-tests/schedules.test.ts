import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runs, schedules } from '@trigger.dev/sdk'
import { describe, expect, it } from 'vitest'
import { deploy, environmentKey } from './cli.ts'
import { endpoints, finished, http, until, useProject } from './harness.ts'
import { makeProject } from './made-project.ts'

const minute = 60_000

function scheduled(tasks: Record<string, string>): string {
  const lines = Object.entries(tasks).map(
    ([id, cron], index) =>
      `export const t${index} = schedules.task({ id: '${id}', cron: ${cron}, run: async (payload) => ({ payload, dates: [payload.timestamp, payload.lastTimestamp ?? payload.timestamp, ...payload.upcoming].every((d) => d instanceof Date) }) })`,
  )
  return `import { schedules } from '@trigger.dev/sdk'\n${lines.join('\n')}\n`
}

async function declared(): Promise<Map<string, Awaited<ReturnType<typeof schedules.retrieve>>>> {
  const { data } = await schedules.list()
  return new Map(data.map((schedule) => [schedule.task, schedule]))
}

interface Tick {
  scheduleId: string
  type: string
  timestamp: Date
  lastTimestamp?: Date
  timezone: string
  upcoming: Date[]
}

describe('declared schedules', () => {
  it('appear with a deploy, fire at the next minute, and change with the next deploy', { timeout: 500_000 }, async () => {
    const { folder } = makeProject({
      'src/a.ts': scheduled({
        everyMinute: `{ pattern: '* * * * *', timezone: 'Europe/London' }`,
        nightly: `'0 3 * * *'`,
        onlyProduction: `{ pattern: '0 4 * * 1', environments: ['PRODUCTION'] }`,
        onlyStaging: `{ pattern: '0 5 1 * *', environments: ['STAGING'] }`,
      }),
    })
    expect((await deploy(endpoints, folder)).code).toBe(0)
    const production = await environmentKey(endpoints, folder, 'prod')
    useProject(production)
    const first = await declared()
    expect([...first.keys()].sort()).toEqual(['everyMinute', 'nightly', 'onlyProduction'])
    const every = first.get('everyMinute')
    expect(every).toMatchObject({
      id: expect.stringMatching(/^sched_/),
      type: 'DECLARATIVE',
      active: true,
      timezone: 'Europe/London',
      generator: { type: 'CRON', expression: '* * * * *', description: 'Every minute' },
      environments: [{ type: 'PRODUCTION' }],
    })
    expect(first.get('nightly')).toMatchObject({ timezone: 'UTC', generator: { description: 'At 03:00 AM' } })
    const planned = every?.nextRun as Date
    expect(planned.getTime() % minute).toBe(0)
    expect(planned.getTime() - Date.now()).toBeLessThanOrEqual(minute)
    expect(await schedules.retrieve(every?.id as string)).toEqual(every)

    const tick = await until(
      async () => (await runs.list({ taskIdentifier: 'everyMinute', schedule: every?.id as string })).data.at(-1),
      'the first tick',
      70_000,
    )
    const run = await finished(tick.id)
    const payload = (run.output as { payload: Tick }).payload
    expect(run).toMatchObject({ status: 'COMPLETED', output: { dates: true } })
    expect(new Date(payload.timestamp)).toEqual(planned)
    expect(payload).toMatchObject({ scheduleId: every?.id, type: 'DECLARATIVE', timezone: 'Europe/London' })
    expect(payload.lastTimestamp).toBeUndefined()
    expect(payload.upcoming.map((date) => new Date(date).getTime())).toEqual(
      Array.from({ length: 10 }, (_, i) => planned.getTime() + (i + 1) * minute),
    )
    expect(run.createdAt.getTime()).toBe(planned.getTime())
    expect(run.schedule).toMatchObject({ id: every?.id, generator: { expression: '* * * * *' } })

    // The next version drops one, changes one, keeps one.
    const second = { everyMinute: `{ pattern: '* * * * *', timezone: 'Europe/London' }`, nightly: `'30 3 * * *'` }
    writeFileSync(join(folder, 'src/a.ts'), scheduled(second))
    expect((await deploy(endpoints, folder)).code).toBe(0)
    const after = await declared()
    expect([...after.keys()].sort()).toEqual(['everyMinute', 'nightly'])
    expect(after.get('everyMinute')?.id).toBe(every?.id)
    expect(after.get('nightly')?.id).toBe(first.get('nightly')?.id)
    expect(after.get('nightly')?.generator.expression).toBe('30 3 * * *')
    await expect(schedules.retrieve(first.get('onlyProduction')?.id as string)).rejects.toMatchObject({ status: 404 })

    // Each tick once, and it knows the one before.
    const ticks = await until(
      async () => {
        const { data } = await runs.list({ taskIdentifier: 'everyMinute' })
        return data.length >= 2 ? data : undefined
      },
      'the second tick',
      130_000,
    )
    const times = ticks.map((one) => one.createdAt.getTime())
    expect(new Set(times).size).toBe(times.length)
    const latest = (await finished(ticks[0]?.id as string)).output as { payload: Tick; dates: boolean }
    expect(latest.dates).toBe(true)
    expect(new Date(latest.payload.lastTimestamp as Date).getTime()).toBe(times[1])
  })

  it('are apart in each environment', { timeout: 300_000 }, async () => {
    const { folder } = makeProject({
      'src/a.ts': scheduled({
        everywhere: `'0 3 * * *'`,
        onlyProduction: `{ pattern: '0 4 * * *', environments: ['PRODUCTION'] }`,
        onlyStaging: `{ pattern: '0 5 * * *', environments: ['STAGING'] }`,
      }),
    })
    expect((await deploy(endpoints, folder, ['--env', 'staging'])).code).toBe(0)
    useProject(await environmentKey(endpoints, folder, 'prod'))
    expect((await declared()).size).toBe(0)
    useProject(await environmentKey(endpoints, folder, 'staging'))
    const staging = await declared()
    expect([...staging.keys()].sort()).toEqual(['everywhere', 'onlyStaging'])
    expect(staging.get('everywhere')?.environments).toMatchObject([{ type: 'STAGING' }])
  })

  it('that are wrong fail the deploy, each by name, and nothing changes', { timeout: 300_000 }, async () => {
    const { folder } = makeProject({ 'src/a.ts': scheduled({ sound: `'0 3 * * *'` }) })
    expect((await deploy(endpoints, folder)).code).toBe(0)
    const project = await environmentKey(endpoints, folder, 'prod')
    useProject(project)
    const key = { authorization: `Bearer ${project.secretKey}` }
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
    const kept = await declared()
    expect([...kept.keys()]).toEqual(['sound'])
    expect(kept.get('sound')?.generator.expression).toBe('0 3 * * *')
  })
})

describe('the schedules API', () => {
  it('lists time zones without a key', async () => {
    const { timezones } = await schedules.timezones()
    expect(timezones[0]).toBe('UTC')
    expect(timezones).toContain('America/New_York')
    expect((await schedules.timezones({ excludeUtc: true })).timezones).not.toContain('UTC')
  })

  it('says that schedules made over it are not built', async () => {
    await expect(schedules.create({ task: 'x', cron: '0 3 * * *', deduplicationKey: 'k' })).rejects.toMatchObject({ status: 501 })
  })
})
