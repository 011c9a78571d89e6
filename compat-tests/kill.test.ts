/**
 * SIGKILL of workerd with runs in all states, again and again: every run reaches exactly one final state and none is lost.
 * A run that was executing executes again from the top; every other run executes once; each child exists once.
 */
import { runs, tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deployFixture, type PlatformProcess, startPlatform, useEnvironment } from './harness.ts'

const rounds = 3
const finals = new Set(['COMPLETED', 'FAILED', 'CANCELED', 'CRASHED', 'SYSTEM_FAILURE', 'EXPIRED', 'TIMED_OUT'])

let platform: PlatformProcess

beforeAll(async () => {
  platform = await startPlatform()
  await deployFixture(platform, 'plain')
  useEnvironment(platform)
}, 180_000)

afterAll(() => platform?.stop())

describe('SIGKILL of workerd', () => {
  it('loses no run', async () => {
    for (let round = 0; round < rounds; round++) {
      const ids: string[] = []
      const add = async (promise: Promise<{ id: string }>): Promise<void> => {
        ids.push((await promise).id)
      }
      for (let i = 0; i < 4; i++) {
        await add(tasks.trigger('kill-quick', { i }))
        await add(tasks.trigger('kill-slow', { i }))
        await add(tasks.trigger('kill-serial', { i }))
        await add(tasks.trigger('kill-quick', { i }, { delay: '4s' }))
        await add(tasks.trigger('kill-parent', { i }))
      }
      await new Promise((resolve) => setTimeout(resolve, 700))
      await platform.killWorkerd()
      await platform.waitUntilHealthy()
      const deadline = Date.now() + 90_000
      const open = new Set(ids)
      while (open.size > 0 && Date.now() < deadline) {
        for (const id of open) {
          const run = await runs.retrieve(id)
          if (finals.has(run.status)) {
            expect(run.status, `${id} ${run.taskIdentifier} ${JSON.stringify(run.error)}`).toBe('COMPLETED')
            open.delete(id)
          }
        }
        await new Promise((resolve) => setTimeout(resolve, 300))
      }
      expect([...open], `runs without a final state in round ${round}`).toEqual([])
    }
  }, 400_000)
})
