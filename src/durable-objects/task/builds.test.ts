import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Builds } from './builds.ts'

const build = (deploymentId: string): { deploymentId: string; version: string; contentHash: string } => ({
  deploymentId,
  version: '1',
  contentHash: 'x',
})
const found = { ok: true as const, tasks: [], queues: [] }

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

describe('builds for a Node host', () => {
  it('go to one host, which is asked whether it is there', async () => {
    const builds = new Builds()
    expect(builds.isHosted).toBe(false)
    const questions = [builds.wait('one', 50_000), builds.wait('two', 50_000)]
    expect(builds.isHosted).toBe(true)
    const outcome = builds.request(build('a'))
    expect(await questions[0]).toEqual([build('a')])
    expect(builds.end('a', found)).toBe(true)
    expect(await outcome).toEqual(found)
    expect(builds.end('a', found)).toBe(false)
    await vi.advanceTimersByTimeAsync(50_000)
    expect(await questions[1]).toEqual([])
  })

  it('wait for a host that is between two questions, not for one that left', async () => {
    const builds = new Builds()
    const question = builds.wait('one', 1_000)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await question).toEqual([])
    expect(builds.isHosted).toBe(true)
    const outcome = builds.request(build('a'))
    expect(await builds.wait('two', 1_000)).toEqual([build('a')])
    builds.end('a', { ok: false, code: 'X', message: 'no' })
    expect(await outcome).toMatchObject({ ok: false })
    const last = builds.wait('three', 50_000)
    builds.stop('three')
    expect(await last).toEqual([])
    expect(builds.isHosted).toBe(false)
  })

  it('end with a sentence when the host says nothing', async () => {
    const builds = new Builds()
    const outcome = builds.request(build('a'))
    await vi.advanceTimersByTimeAsync(280_000)
    expect(await outcome).toMatchObject({ ok: false, code: 'NODE_HOST_SILENT', message: expect.stringContaining('280 seconds') })
  })
})
