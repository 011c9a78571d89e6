/** Feeds of many runs: what is told when, once, and in pieces. */
/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects } from 'cloudflare:test'
import { beforeEach, describe, expect, it } from 'vitest'
import type { FeedPage, FeedQuery } from '../contracts/feed.ts'
import { Environment, FakeExecutors, must, newVersion } from './testing.ts'

let environment: Environment

beforeEach(async () => {
  environment = new Environment(new FakeExecutors())
  await environment.object.setVersion(environment.identity, newVersion(['a']), {})
})

const wait = async (query: FeedQuery, after = 0, waitMs = 0): Promise<FeedPage> =>
  must(await environment.object.waitForFeed(environment.caller, query, after, waitMs))
const later = (tags: string[], payload = '{}'): Promise<string> =>
  environment.trigger('a', { delayUntil: Date.now() + 3_600_000, tags, payload: { data: payload, dataType: 'application/json' } })
const ids = (page: FeedPage): string[] => page.runs.map(({ id }) => id)

describe('a feed', () => {
  it('tells of the runs with all tags, of each change once, and of nothing else', async () => {
    const both = await later(['x', 'y'])
    await later(['x'])
    const first = await wait({ tags: ['x', 'y'] })
    expect(ids(first)).toEqual([both])
    expect(first.isCut).toBe(false)
    await scheduler.wait(5)
    const seen = (await wait({ tags: ['x', 'y'] }, first.revision)).revision
    const held = wait({ tags: ['x', 'y'] }, seen, 5_000)
    await later(['y'])
    await later(['z', 'y'])
    const added = await later(['y', 'x'])
    const second = await held
    expect(ids(second)).toEqual([added])
    await abortAllDurableObjects()
    await scheduler.wait(5)
    must(await environment.object.cancelRun(environment.caller, both))
    const third = await wait({ tags: ['x', 'y'] }, second.revision)
    expect(ids(third)).toContain(both)
    expect(third.runs.find(({ id }) => id === both)?.status).toBe('CANCELED')
    await scheduler.wait(5)
    const fourth = await wait({ tags: ['x', 'y'] }, third.revision, 30)
    await scheduler.wait(5)
    expect(ids(await wait({ tags: ['x', 'y'] }, fourth.revision, 30))).toEqual([])
  })

  it('that never rests is told all the same', async () => {
    const startedAt = Date.now()
    const held = wait({ tags: ['busy'] }, 0, 10_000)
    let isOver = false
    void held.then(() => {
      isOver = true
    })
    while (!isOver && Date.now() - startedAt < 5_000) await later(['busy'])
    expect((await held).runs.length).toBeGreaterThan(0)
    expect(Date.now() - startedAt).toBeLessThan(2_000)
  })

  it('begins where its window does', async () => {
    await later(['w'])
    await scheduler.wait(3)
    const from = Date.now()
    const inside = await later(['w'])
    expect(ids(await wait({ tags: ['w'], from }))).toEqual([inside])
  })

  it('comes in pieces, each run once', async () => {
    const made: string[] = []
    for (let n = 0; n < 30; n++) made.push(await later(['big'], JSON.stringify('x'.repeat(30_000))))
    const seen: string[] = []
    let after = 0
    for (let isCut = true; isCut; ) {
      const page = await wait({ tags: ['big'] }, after)
      expect(page.runs.length).toBeLessThan(25)
      seen.push(...ids(page))
      after = page.revision
      isCut = page.isCut
    }
    expect(seen.sort()).toEqual(made.sort())
  })
})
