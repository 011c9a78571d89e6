/** Apps that have not moved to the newest SDK: what 3.3.17 and 4.0.7 send and expect back. Each file of vitest has its own globals. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { install } from './platform-process.ts'

const fixtures = join(import.meta.dirname, 'fixtures')
const endpoints = inject('endpoints')
const plain = inject('plain')

describe.each(['sdk3317', 'sdk407'])('the client of %s', (name) => {
  // biome-ignore lint/suspicious/noExplicitAny: two generations of one package
  let sdk: any

  beforeAll(async () => {
    const folder = join(fixtures, name)
    await install(folder)
    sdk = createRequire(join(folder, 'package.json'))('@trigger.dev/sdk/v3')
    sdk.configure({ baseURL: endpoints.apiUrl, secretKey: plain.secretKey, accessToken: plain.secretKey })
  })

  // biome-ignore lint/suspicious/noExplicitAny: as above
  async function finished(id: string): Promise<any> {
    for (;;) {
      const run = await sdk.runs.retrieve(id)
      if (run.isCompleted) return run
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  it('triggers, polls and retrieves', async () => {
    const handle = await sdk.tasks.trigger('echo', { hello: name }, { tags: [`client-${name}`] })
    expect(handle.id).toMatch(/^run_/)
    const run = await finished(handle.id)
    expect([run.status, run.output]).toEqual(['COMPLETED', { hello: name }])
    expect(run.tags).toEqual([`client-${name}`])
    expect(run.createdAt).toBeInstanceOf(Date)
    expect((await sdk.runs.poll(handle.id)).output).toEqual({ hello: name })
    // 4.0.7 has none.
    if (name === 'sdk3317')
      expect((await sdk.tasks.triggerAndPoll('echo', { n: 1 }, { pollIntervalMs: 100 })).output).toEqual({ n: 1 })
  })

  it('triggers batches', async () => {
    const batch = await sdk.tasks.batchTrigger('echo', [{ payload: { n: 1 } }, { payload: { n: 2 } }])
    expect(batch.batchId).toMatch(/^batch_/)
    // 3.3.17 is told the runs at once; later clients ask for them.
    const ids: string[] = batch.runs
      ? batch.runs.map((run: { id: string }) => run.id)
      : (await sdk.batch.retrieve(batch.batchId)).runs
    const outputs = await Promise.all(ids.map(async (id) => (await finished(id)).output))
    expect(outputs).toEqual([{ n: 1 }, { n: 2 }])
    const several = await sdk.batch.trigger([
      { id: 'echo', payload: { n: 3 } },
      { id: 'echo', payload: { n: 4 }, options: { tags: ['four'] } },
    ])
    expect(several.batchId).toMatch(/^batch_/)
  })

  it('lists, cancels, delays and repeats by key', async () => {
    const page = await sdk.runs.list({ limit: 5, tag: `client-${name}`, taskIdentifier: 'echo' })
    expect(page.data.length).toBeGreaterThan(0)
    const delayed = await sdk.tasks.trigger('echo', {}, { delay: '1h' })
    expect((await sdk.runs.retrieve(delayed.id)).status).toBe('DELAYED')
    await sdk.runs.reschedule(delayed.id, { delay: '2h' })
    await sdk.runs.cancel(delayed.id)
    expect((await sdk.runs.retrieve(delayed.id)).status).toBe('CANCELED')
    const key = await sdk.idempotencyKeys.create([name, String(process.pid)])
    const first = await sdk.tasks.trigger('echo', {}, { idempotencyKey: key })
    const second = await sdk.tasks.trigger('echo', {}, { idempotencyKey: key })
    expect(second.id).toBe(first.id)
  })

  it('is told of its mistakes by the classes of errors it knows', async () => {
    await expect(sdk.runs.retrieve('run_unknown')).rejects.toMatchObject({ status: 404 })
    const tags = Array.from({ length: 11 }, (_, index) => `t${index}`)
    await expect(sdk.tasks.trigger('echo', {}, { tags })).rejects.toMatchObject({ status: 422 })
  })

  it('reads environment variables', async () => {
    await sdk.envvars
      .create(plain.ref, 'prod', { name: `OLD_${name.toUpperCase()}`, value: 'a value' })
      .catch((error: unknown) => {
        // 3.3.17 asks with the secret key, which may not write here; it is told so.
        expect(error).toMatchObject({ status: expect.any(Number) })
      })
    expect(Array.isArray(await sdk.envvars.list(plain.ref, 'prod'))).toBe(true)
  })
})
