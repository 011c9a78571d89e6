/** The client in workerd: it uses nothing that only Node has. */
import { expect, it } from 'vitest'
import { MemoryApi } from './testing.ts'

it('records a chain, follows a run and cuts a chain', async () => {
  const api = new MemoryApi((words, values) => ({ words, values }))
  const t = api.trigger
  expect(await t`download ${'u'}`.map((file) => t`process ${file.words}`)).toEqual({ words: 'process _', values: ['download _'] })
  expect(api.sent.map(({ path }) => path)).toEqual(['/api/v1/plans'])
  api.isSlow = true
  const job = t`slow`
  await job.id
  const end = job.map(async (result) => `${result} here`)
  api.change('run_2', { status: 'COMPLETED', output: 'done' })
  expect(await end).toBe('done here')
})
