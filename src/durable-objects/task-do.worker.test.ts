/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { mintId } from '../contracts/ids.ts'
import { objectNames, type SchedulerObject, type TaskObject } from '../contracts/objects.ts'
import type { BundleIndex } from '../contracts/rpc.ts'
import { EnvironmentDO } from './environment-do.ts'
import type { TaskDO } from './task-do.ts'
import { bindings, Environment, FakeExecutors, must, newVersion, until } from './testing.ts'

let environment: Environment
let executors: FakeExecutors

const tasks = (): TaskObject =>
  bindings.TASK.get(bindings.TASK.idFromName(objectNames.task(environment.identity.locator))) as unknown as TaskObject
const schedules = (): ReturnType<SchedulerObject['list']> =>
  (
    bindings.SCHEDULER.get(
      bindings.SCHEDULER.idFromName(objectNames.scheduler(environment.identity.locator)),
    ) as unknown as SchedulerObject
  ).list({ page: 1, perPage: 100 })

function built(...names: string[]): { index: BundleIndex; bundleHash: string } {
  return { index: { tasks: newVersion(names).tasks, queues: [], warnings: [] }, bundleHash: 'b' }
}

async function create(): Promise<string> {
  const id = mintId('deployment', environment.identity.locator)
  await tasks().createDeployment(environment.identity, { id, contentHash: 'c' })
  return id
}

beforeEach(() => {
  executors = new FakeExecutors()
  environment = new Environment(executors)
})
afterEach(() => vi.restoreAllMocks())

describe('TaskDO', () => {
  it('numbers versions of a day, also after a reset, and makes a repeated deployment once', async () => {
    const id = mintId('deployment', environment.identity.locator)
    const input = { id, contentHash: 'c' }
    const first = await tasks().createDeployment(environment.identity, input)
    await abortAllDurableObjects()
    expect((await tasks().createDeployment(environment.identity, input)).version).toBe(first.version)
    const second = await tasks().getDeployment(await create())
    expect(second?.version).toBe(first.version.replace(/\.1$/, '.2'))
  })

  it('answers a promote after runs can use the version: a run that waited for it starts', async () => {
    const run = await environment.trigger('a')
    expect((await environment.run(run)).status).toBe('PENDING_VERSION')
    const id = await create()
    await abortAllDurableObjects()
    const done = must(await tasks().completeDeployment(environment.identity, id, built('a'), true, { KEY: 'value' }))
    expect([done.status, done.isCurrent]).toEqual(['DEPLOYED', true])
    await until(() => executors.started(run).length === 1)
    expect(executors.started(run)[0]?.variables).toEqual({ KEY: 'value' })
    // The CLI repeats a call whose answer it did not get.
    must(await tasks().completeDeployment(environment.identity, id, built('a'), true, {}))
    expect((await tasks().currentDeployment())?.id).toBe(id)
  })

  it('hands a version over later when the runs cannot be told at once, and only the newest', async () => {
    const run = await environment.trigger('a')
    const [first, second] = [await create(), await create()]
    const setVersion = vi.spyOn(EnvironmentDO.prototype, 'setVersion').mockRejectedValue(new Error('Network connection lost.'))
    await runInDurableObject(tasks() as never, async (object: TaskDO) => {
      for (const [id, task] of [
        [first, 'b'],
        [second, 'a'],
      ] as const)
        await expect(object.completeDeployment(environment.identity, id, built(task), true, {})).rejects.toThrow(/lost/)
    })
    expect((await tasks().currentDeployment())?.id).toBe(second)
    await abortAllDurableObjects()
    setVersion.mockRestore()
    expect(await runDurableObjectAlarm(tasks() as never)).toBe(true)
    await until(() => executors.started(run).length === 1)
    expect(executors.started(run)[0]?.bundle.deploymentId).toBe(second)
    expect(await runDurableObjectAlarm(tasks() as never)).toBe(false)
  })

  it('leaves the current version alone when a deployment fails', async () => {
    const good = await create()
    const scheduled = built('a')
    scheduled.index.tasks[0] = {
      ...(scheduled.index.tasks[0] as never as object),
      schedule: { cron: '0 4 * * *', timezone: 'UTC' },
    } as never
    must(await tasks().completeDeployment(environment.identity, good, scheduled, true, {}))
    const bad = await create()
    await tasks().failDeployment(bad, { name: 'IndexingError', message: 'no' })
    await abortAllDurableObjects()
    expect((await tasks().getDeployment(bad))?.status).toBe('FAILED')
    expect((await tasks().currentDeployment())?.id).toBe(good)
    expect((await schedules()).schedules.map((schedule) => schedule.task)).toEqual(['a'])
  })

  it('goes back to an older version when asked, with its tasks and schedules', async () => {
    const [first, second] = [await create(), await create()]
    must(await tasks().completeDeployment(environment.identity, first, built('a'), true, {}))
    must(await tasks().completeDeployment(environment.identity, second, built('b'), true, {}))
    const old = (await tasks().getDeployment(first))?.version as string
    expect(await tasks().promote(environment.identity, old, {}, false)).toMatchObject({ ok: false })
    must(await tasks().promote(environment.identity, old, {}))
    expect((await tasks().currentDeployment())?.id).toBe(first)
    const run = await environment.trigger('a')
    await until(() => executors.started(run).length === 1)
    expect((await environment.run(run)).version).toBe(old)
  })

  it('names the file whose loading took the platform down, once, and only for the same content', async () => {
    const begin = (contentHash: string): ReturnType<TaskObject['createDeployment']> =>
      tasks().createDeployment(environment.identity, { id: mintId('deployment', environment.identity.locator), contentHash })
    const first = await begin('spins')
    await tasks().noteLoading(first.id, 'src/a.ts')
    await tasks().noteLoading(first.id, 'src/spin.ts')
    // The same content beside it, while it is still under way, is nobody's fault.
    expect((await begin('spins')).interrupted).toBeUndefined()
    await abortAllDurableObjects()
    expect((await begin('other')).interrupted).toBeUndefined()
    expect((await begin('spins')).interrupted).toBe('src/spin.ts')
    expect(await tasks().getDeployment(first.id)).toMatchObject({ status: 'FAILED', error: { name: 'INDEXING_INTERRUPTED' } })
    expect((await begin('spins')).interrupted).toBeUndefined()
  })
})
