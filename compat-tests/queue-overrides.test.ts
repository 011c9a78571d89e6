/** A project of its own: what was set for a queue is held against a second deploy. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { queues, runs, tasks } from '@trigger.dev/sdk'
import { expect, it } from 'vitest'
import { deploy, environmentKey } from './cli.ts'
import { endpoints, finished, hasStatus, http, useProject } from './harness.ts'
import { makeProject } from './made-project.ts'

const code = (limit: number): string => `import { queue, task } from '@trigger.dev/sdk'
const shared = queue({ name: 'shared/line', concurrencyLimit: ${limit} })
export const holds = task({ id: 'holds', queue: shared, run: async (payload: { ms: number }) => {
  await new Promise((resolve) => setTimeout(resolve, payload.ms))
} })
`
const line = { type: 'custom', name: 'shared/line' } as const

it('A35 overrides the limit of a queue through a deploy until it is reset', { timeout: 400_000 }, async () => {
  const { folder } = makeProject({ 'src/a.ts': code(5) })
  expect((await deploy(endpoints, folder)).code).toBe(0)
  const project = await environmentKey(endpoints, folder, 'prod')
  useProject(project)
  const post = (path: string, body: unknown): ReturnType<typeof http> =>
    http('POST', `/api/v1/queues/${path}`, body, { authorization: `Bearer ${project.secretKey}` })

  const declared = { current: 5, base: 5, override: null, overriddenAt: null, overriddenBy: null }
  expect(await queues.retrieve(line)).toMatchObject({ concurrencyLimit: 5, concurrency: declared })
  const overridden = await queues.overrideConcurrencyLimit(line, 1)
  expect(overridden).toMatchObject({
    name: 'shared/line',
    concurrencyLimit: 1,
    concurrency: { current: 1, base: 5, override: 1, overriddenAt: expect.any(Date), overriddenBy: null },
  })

  const [first, second] = [await tasks.trigger('holds', { ms: 600_000 }), await tasks.trigger('holds', { ms: 1 })]
  await hasStatus(first.id, 'EXECUTING')
  expect((await runs.retrieve(second.id)).status).toBe('QUEUED')

  const authorization = `Bearer ${project.secretKey}`
  const held = await http('GET', `/api/v3/runs/${second.id}`, undefined, { authorization })
  expect(held.body.waitingReason).toBe('queue limit: 1 of 1 runs of shared/line execute')

  writeFileSync(join(folder, 'src/a.ts'), code(7))
  expect((await deploy(endpoints, folder)).code).toBe(0)
  expect((await queues.retrieve(line)).concurrency).toMatchObject({ current: 1, base: 7, override: 1 })
  expect((await runs.retrieve(second.id)).status).toBe('QUEUED')

  const { id } = await queues.resetConcurrencyLimit(line)
  expect((await queues.retrieve(id)).concurrency).toEqual({ ...declared, current: 7, base: 7 })
  expect((await finished(second.id)).status).toBe('COMPLETED')
  await runs.cancel(first.id)

  await expect(queues.overrideConcurrencyLimit(id, 100_000)).rejects.toMatchObject({ status: 400 })
  await expect(queues.resetConcurrencyLimit(id)).rejects.toMatchObject({ status: 400 })
  await expect(queues.overrideConcurrencyLimit({ type: 'task', name: 'nobody' }, 1)).rejects.toMatchObject({ status: 404 })
  for (const [field, body] of [
    ['concurrencyLimit', {}],
    ['concurrencyLimit', { concurrencyLimit: 1, percent: 5 }],
    ['concurrencyLimit', { concurrencyLimit: 100_001 }],
    ['concurrencyLimit', { concurrencyLimit: 1.5 }],
    ['percent', { percent: 0 }],
    ['percent', { percent: 101 }],
  ] as const) {
    const answer = await post(`${id}/concurrency/override`, { type: 'id', ...body })
    expect(answer, JSON.stringify(body)).toMatchObject({ status: 400, body: { error: expect.stringContaining(field) } })
  }
  const share = await post(`${id}/concurrency/override`, { type: 'id', percent: 2.5 })
  expect(share.body.concurrency).toMatchObject({ current: 2, override: 2, base: 7 })
})
