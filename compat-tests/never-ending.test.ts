/** Code that never yields stops the one thread of the local process: the platform comes back, and only who did it pays. */
import { configure, runs, tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deploy, environmentKey } from './cli.ts'
import { endpoints, finished, type PlatformProcess, startPlatform, until } from './harness.ts'
import { makeProject, source } from './made-project.ts'

let platform: PlatformProcess

beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.stop())

async function use(folder: string): Promise<void> {
  const { secretKey } = await environmentKey(platform.endpoints, folder, 'prod')
  configure({ baseURL: platform.endpoints.apiUrl, accessToken: secretKey, requestOptions: { retry: { maxAttempts: 10 } } })
}

describe.concurrent('code that never ends', () => {
  it('in a run ends that run TIMED_OUT; the others go on and end once', { timeout: 240_000, concurrent: false }, async () => {
    const { folder } = makeProject({
      'src/a.ts': source('calm', 'await new Promise((done) => setTimeout(done, 3_000)); return "calm"'),
      'src/b.ts': source('spins', 'await new Promise((done) => setTimeout(done, 500)); for (;;) {}'),
    })
    expect((await deploy(platform.endpoints, folder)).code).toBe(0)
    await use(folder)
    const calm = await tasks.trigger('calm', {})
    const spins = await tasks.trigger('spins', {})
    const end = await until(
      async () => {
        const run = await runs.retrieve(spins.id).catch(() => undefined)
        return run && !['QUEUED', 'EXECUTING', 'DEQUEUED'].includes(run.status) ? run : undefined
      },
      'the run to be ended',
      200_000,
    )
    expect(end.status).toBe('TIMED_OUT')
    expect(end.error?.message).toMatch(/CPU/)
    expect((await finished(calm.id, 100_000)).output).toBe('calm')
    expect((await finished((await tasks.trigger('calm', {})).id)).output).toBe('calm')
  })

  it('at the top of a file fails the deployment by its name', { timeout: 240_000, concurrent: false }, async () => {
    const { folder } = makeProject({
      'src/a.ts': source('a', 'return 1'),
      'src/busy.ts': source('busy', 'return 1', 'for (;;) {}'),
    })
    let spun = await deploy(platform.endpoints, folder)
    // Its few tries may end before a slow machine has the platform back. Who then types the command again is told.
    if (spun.output.includes('Connection error')) {
      await platform.waitUntilHealthy()
      spun = await deploy(platform.endpoints, folder)
    }
    expect(spun.code).toBe(1)
    expect(spun.output).toMatch(/src\/busy\.ts.*did not end/)
  })
})

// It freezes nothing, so it needs no platform of its own.
describe.concurrent('a promise that never settles', () => {
  it('at the top of a file fails the deployment by its name, too', { timeout: 240_000 }, async () => {
    const { folder } = makeProject({
      'src/a.ts': source('a', 'return 1'),
      'src/hangs.ts': source('hangs', 'return 1', 'await new Promise(() => {})'),
    })
    const hung = await deploy(endpoints, folder)
    expect(hung.code).toBe(1)
    expect(hung.output).toMatch(/src\/hangs\.ts.*did not end/)
  })
})
