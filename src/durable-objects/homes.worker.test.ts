/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { mintPersonalToken } from '../auth/keys.ts'
import { randomText } from '../contracts/ids.ts'
import {
  type ArchivedRun,
  type DirectoryObject,
  type EnvironmentAccess,
  type HistoryObject,
  objectNames,
  type ProjectObject,
  type ProjectSummary,
} from '../contracts/objects.ts'
import type { ProjectDO } from './project-do.ts'
import { bindings, until } from './testing.ts'

function directory(): DirectoryObject {
  return bindings.DIRECTORY.get(bindings.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject
}
function project(id: string): ProjectObject {
  return bindings.PROJECT.get(bindings.PROJECT.idFromName(id)) as unknown as ProjectObject
}

async function newUser(): Promise<string> {
  return (await directory().seed({ tokenHash: mintPersonalToken(), email: `${randomText(8)}@example.com` })).userId
}

describe('the region of an environment', () => {
  it('is the first place when it is made, named to each object when that is made, and stays', async () => {
    const id = `prj${randomText(12)}`
    const owner = await newUser()
    const summary = { id, ref: `proj_${randomText(12)}`, name: 'a', slug: 'a', createdAt: 1, ownerUserId: owner }
    await project(id).init({ ...summary, organizationId: 'o', organizationSlug: 'o', organizationTitle: 'O' })
    const before = (await project(id).environment('stg')) as EnvironmentAccess
    expect(before.identity.region).toBeUndefined()
    const made: string[] = []
    const watched = (namespace: DurableObjectNamespace, binding: string): object => ({
      idFromName: (name: string) => namespace.idFromName(name),
      get: (objectId: DurableObjectId, options?: { locationHint?: string }) => {
        made.push(`${binding} ${options?.locationHint}`)
        return namespace.get(objectId, options as never)
      },
    })
    const stub = bindings.PROJECT.get(bindings.PROJECT.idFromName(id)) as DurableObjectStub<ProjectDO>
    const configure = (REGIONS: string): Promise<void> =>
      runInDurableObject(stub, (instance) => {
        const objects = ['ENVIRONMENT', 'TASK', 'SCHEDULER'] as const
        const env = Object.fromEntries(objects.map((name) => [name, watched(bindings[name], name)]))
        Object.assign(instance, { env: { ...bindings, REGIONS, ...env } })
      })
    await configure('label,eu=weur,us=enam')
    const prod = (await project(id).environment('prod')) as EnvironmentAccess
    expect(prod.identity.region).toBe('eu')
    expect(made).toEqual(['ENVIRONMENT weur', 'TASK weur', 'SCHEDULER weur'])
    await project(id).environment('preview', undefined)
    await configure('us=enam')
    await project(id).upsertBranch('preview', 'feature', owner)
    const branch = (await project(id).environment('preview', undefined, 'feature')) as EnvironmentAccess
    expect(branch.identity.region, 'a branch is where its parent is').toBe('eu')
    expect(((await project(id).environment('prod')) as EnvironmentAccess).identity.region).toBe('eu')
    await abortAllDurableObjects()
    expect(((await project(id).environment('prod')) as EnvironmentAccess).identity.region).toBe('eu')
  })
})

describe('DirectoryDO', () => {
  it('gives a ref, a locator and an owner once, however often it is asked and reset', async () => {
    const email = `${randomText(8)}@example.com`
    const first = await directory().seed({ tokenHash: 'h1', email })
    await abortAllDurableObjects()
    const second = await directory().seed({ tokenHash: 'h1', email })
    expect(second).toEqual(first)
    const ref = `proj_${randomText(12)}`
    const made = await Promise.all([1, 2, 3].map(() => directory().projectByRef(ref, first.userId)))
    expect(new Set(made.map((summary) => summary?.id)).size).toBe(1)
    await abortAllDurableObjects()
    expect((await directory().projectByRef(ref, first.userId))?.id).toBe(made[0]?.id)
    expect(await directory().projectByRef(ref, await newUser())).toBeNull()
    const locator = randomText(6)
    const claims = ['one', 'one', 'two'].map((id) => directory().registerLocator(locator, id))
    expect(await Promise.all(claims)).toEqual([true, true, false])
    await abortAllDurableObjects()
    expect(await directory().locate(locator)).toEqual({ projectId: 'one' })
  })

  it('keeps a timer that was noted again while the cron forgot the earlier note', async () => {
    const name = `${randomText(6)}:0`
    const noted = async (): Promise<number | undefined> =>
      (await directory().listTimers()).find((timer) => timer.name === name)?.notedAt
    await directory().noteTimers(name)
    const first = (await noted()) as number
    await new Promise((resolve) => setTimeout(resolve, 5))
    await directory().noteTimers(name)
    await directory().forgetTimers(name, first)
    expect(await noted()).toBeGreaterThan(first)
    await directory().forgetTimers(name, (await noted()) as number)
    expect(await noted()).toBeUndefined()
  })
})

describe('ProjectDO', () => {
  it('makes each environment once and keeps keys and variables over resets', async () => {
    const userId = await newUser()
    const summary = (await directory().projectByRef(`proj_${randomText(12)}`, userId)) as ProjectSummary
    await project(summary.id).init(summary)
    const made = await Promise.all([1, 2, 3].map(() => project(summary.id).environment('prod', userId)))
    expect(new Set(made.map((access) => access?.apiKey)).size).toBe(1)
    const { identity, apiKey } = made[0] as NonNullable<(typeof made)[0]>
    await project(summary.id).setVariables(identity.locator, { A: '1', B: '2' }, { override: true })
    await abortAllDurableObjects()
    const again = await project(summary.id).environmentByLocator(identity.locator)
    expect([again?.apiKey, again?.keyEpoch]).toEqual([apiKey, made[0]?.keyEpoch])
    const variables = await project(summary.id).listVariables(identity.locator)
    expect(variables.map(({ name, value }) => [name, value])).toEqual([
      ['A', '1'],
      ['B', '2'],
    ])
    const rotated = await project(summary.id).regenerateKey(identity.locator, true)
    expect(rotated?.apiKey).not.toBe(apiKey)
    await abortAllDurableObjects()
    const after = await project(summary.id).environmentByLocator(identity.locator)
    expect([after?.apiKey, after?.previousKeys]).toEqual([rotated?.apiKey, []])
    expect(after?.keyEpoch).toBeGreaterThan(again?.keyEpoch as number)
    const dev = await Promise.all([
      project(summary.id).environment('dev', userId),
      project(summary.id).environment('dev', 'another'),
    ])
    expect(dev[0]?.identity.locator).not.toBe(dev[1]?.identity.locator)
  })

  it('stores no key and no variable in clear', async () => {
    const userId = await newUser()
    const summary = (await directory().projectByRef(`proj_${randomText(12)}`, userId)) as ProjectSummary
    await project(summary.id).init(summary)
    const access = (await project(summary.id).environment('prod', userId)) as EnvironmentAccess
    await project(summary.id).setVariables(
      access?.identity.locator as string,
      { TOKEN: 'plain-secret-value' },
      { override: true },
    )
    const stub = bindings.PROJECT.get(bindings.PROJECT.idFromName(summary.id))
    const dump = await runInDurableObject(stub, (_, { storage }) => {
      const tables = storage.sql.exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
      )
      return JSON.stringify([...tables].map(({ name }) => [...storage.sql.exec(`SELECT * FROM "${name}"`)]))
    })
    expect(dump).toContain('TOKEN')
    expect(dump).not.toContain('plain-secret-value')
    expect(dump).not.toContain(access.apiKey.slice(10))
  })
})

describe('HistoryDO', () => {
  const name = (): string => `${randomText(6)}:0:20260101`
  const history = (of: string): HistoryObject => bindings.HISTORY.get(bindings.HISTORY.idFromName(of)) as unknown as HistoryObject
  const archived = (size: number): ArchivedRun => ({
    payload: { data: 'é'.repeat(size), dataType: 'text/plain' },
    metadata: { data: '{"a":1}', dataType: 'application/json' },
    spans: [],
  })
  const later = (): number => Date.now() + 86_400_000

  it('stores a run whole, also a large one, and again over the old one', async () => {
    const day = name()
    await history(day).put([{ runId: 'run_1', run: archived(1_100_000) }], later())
    await abortAllDurableObjects()
    expect(await history(day).get('run_1')).toEqual(archived(1_100_000))
    await history(day).put([{ runId: 'run_1', run: archived(3) }], later())
    expect(await history(day).get('run_1')).toEqual(archived(3))
    expect(await history(day).getMetadata(['run_1', 'run_2'])).toEqual({ run_1: archived(0).metadata })
    expect(await history(day).get('run_2')).toBeNull()
  })

  it('packs many runs to a row and finds each', async () => {
    const day = name()
    const ids = Array.from({ length: 150 }, (_, index) => `run_${String(index).padStart(4, '0')}`)
    const some = (index: number): ArchivedRun => ({
      output: { data: String(index), dataType: 'application/json' },
      ...(index % 3 === 0 ? { metadata: { data: String(index), dataType: 'application/json' } } : {}),
      spans: [],
    })
    // One that lived longer than its neighbours comes in a later pack.
    const late = 70
    const put = (indexes: number[]): Promise<void> =>
      history(day).put(
        indexes.map((index) => ({ runId: ids[index] as string, run: some(index) })),
        later(),
      )
    await put(
      ids
        .keys()
        .filter((index) => index !== late)
        .toArray(),
    )
    await put([late])
    for (const index of [0, 69, late, 149]) expect(await history(day).get(ids[index] as string)).toEqual(some(index))
    expect(Object.keys(await history(day).getMetadata(ids.slice(60, 73)))).toEqual(
      [60, 63, 66, 69, 72].map((index) => ids[index]),
    )
    const stub = bindings.HISTORY.get(bindings.HISTORY.idFromName(day))
    const rows = await runInDurableObject(stub, (_, { storage }) => [...storage.sql.exec('SELECT pack FROM history')].length)
    expect(rows).toBe(2)
  })

  it('has nothing left after its end, and takes a deleted alarm up again with the next run', async () => {
    const day = name()
    const stub = bindings.HISTORY.get(bindings.HISTORY.idFromName(day))
    await history(day).put([{ runId: 'run_1', run: archived(3) }], later())
    await runInDurableObject(stub, (_, { storage }) => storage.deleteAlarm())
    await history(day).put([{ runId: 'run_2', run: archived(3) }], Date.now() + 50)
    await until(async () => (await history(day).get('run_1')) === null)
    expect(await history(day).get('run_2')).toBeNull()
    expect(await history(name()).get('run_1')).toBeNull()
  })
})
