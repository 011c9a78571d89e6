/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, expect, it, vi } from 'vitest'
import type { EnvironmentDO } from './environment-do.ts'
import { Environment, FakeExecutors, until } from './testing.ts'

afterEach(() => vi.restoreAllMocks())

it('a run that waited while the culprit of a freeze was alone goes on as soon as that one is blamed', async () => {
  const executors = new FakeExecutors()
  const environment = new Environment(executors)
  await environment.deploy('calm', 'spins')
  const status = async (id: string): Promise<string> => (await environment.run(id)).status
  const isExecuting = (id: string) => until(async () => (await status(id)) === 'EXECUTING')
  /** The process was replaced: nobody of the old one is left, and the object is told. */
  const freeze = async (): Promise<void> => {
    executors.sessions.clear()
    await abortAllDurableObjects()
    await runInDurableObject(environment.stub, async (instance) => {
      const object = instance as EnvironmentDO & { env: { FROZEN_AT?: string } }
      object.env = { ...object.env, FROZEN_AT: String(Date.now()) }
      await object.wake()
    })
  }
  const calm = await environment.trigger('calm')
  const spins = await environment.trigger('spins')
  await isExecuting(calm)
  await isExecuting(spins)
  await freeze()
  await until(() => executors.started(spins).length === 2)
  await isExecuting(spins)
  expect([await status(calm), executors.started(calm).length]).toEqual(['PENDING', 1])
  await freeze()
  await until(() => executors.started(calm).length === 2)
  expect(await status(spins)).toBe('TIMED_OUT')
  await isExecuting(calm)
  await environment.finish(calm)
  expect(await status(calm)).toBe('COMPLETED_SUCCESSFULLY')
})
