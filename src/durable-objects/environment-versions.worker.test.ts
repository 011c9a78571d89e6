/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Environment, FakeExecutors, newVersion, until } from './testing.ts'

let environment: Environment
let executors: FakeExecutors
const isStarted = (id: string): boolean => executors.started(id).length === 1
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

beforeEach(async () => {
  executors = new FakeExecutors()
  environment = new Environment(executors)
  await environment.deploy('a')
})
afterEach(() => vi.restoreAllMocks())

describe('a run that names a deployment which is not here', () => {
  const named = (name: string, externalId: string): ReturnType<typeof newVersion> => ({ ...newVersion(['a'], name), externalId })

  it('waits for exactly that one, also through a reset, and is pinned to it', async () => {
    const id = await environment.trigger('a', { externalDeploymentId: 'commit-1' })
    expect(await environment.run(id)).toMatchObject({
      status: 'PENDING_VERSION',
      waitingReason: 'waits for a version: no deployment has the external id commit-1 yet',
    })
    await environment.object.setVersion(environment.identity, named('20260101.2', 'other'), {})
    await abortAllDurableObjects()
    await environment.deploy('a')
    expect((await environment.run(id)).status).toBe('PENDING_VERSION')
    await environment.object.addVersion(named('20260101.3', 'commit-1'))
    await until(() => isStarted(id))
    expect(executors.started(id)[0]?.bundle.version).toBe('20260101.3')
    // Whoever comes later does not wait at all.
    const later = await environment.trigger('a', { externalDeploymentId: 'commit-1' })
    await until(() => isStarted(later))
  })

  it('goes on with its delay when the deployment comes before its end', async () => {
    const id = await environment.trigger('a', { externalDeploymentId: 'commit-1', delayUntil: Date.now() + 400 })
    await environment.object.addVersion(named('20260101.2', 'commit-1'))
    expect((await environment.run(id)).status).toBe('DELAYED')
    await until(() => isStarted(id))
  })

  it('expires with its TTL when nothing comes, and can be cancelled', async () => {
    const id = await environment.trigger('a', { externalDeploymentId: 'commit-1', ttl: '1s' })
    const cancelled = await environment.trigger('a', { externalDeploymentId: 'commit-1' })
    await environment.object.cancelRun(environment.caller, cancelled)
    expect((await environment.run(cancelled)).status).toBe('CANCELED')
    await until(async () => (await environment.run(id)).status === 'EXPIRED')
    expect((await environment.run(id)).error).toMatchObject({ raw: expect.stringContaining('EXTERNAL_DEPLOYMENT_NOT_FOUND') })
    await environment.object.addVersion(named('20260101.2', 'commit-1'))
    expect(executors.started(id)).toEqual([])
  })
})

describe('the TTL of a run no version can execute', () => {
  it('begins when a version sets it free', async () => {
    const id = await environment.trigger('b', { ttl: '1s' })
    expect((await environment.run(id)).status).toBe('PENDING_VERSION')
    await pause(1_200)
    expect((await environment.run(id)).status).toBe('PENDING_VERSION')
    await environment.object.pauseQueue(environment.caller, { by: 'name', value: 'task/b' }, true)
    await environment.object.setVersion(environment.identity, newVersion(['a', 'b'], '20260101.2'), {})
    await environment.object.pauseQueue(environment.caller, { by: 'name', value: 'task/b' }, true)
    await until(() => isStarted(id))
  })
})
