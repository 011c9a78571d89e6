import { expect, it } from 'vitest'
import type { TaskDefinition } from '../../contracts/rpc.ts'
import { optionProblem } from './declared.ts'

const task = (id: string, options: object): TaskDefinition => ({
  id,
  filePath: 'a',
  entryPoint: 'a',
  host: 'isolate',
  ...options,
})

it('names every option of a deploy that is wrong or not built', () => {
  const index = {
    tasks: [
      task('fine', { rateLimit: { limit: 1, period: '1s' }, retry: { backoff: 'fixed' } }),
      task('rated', { rateLimit: { limit: 0, period: '1s' } }),
      task('retried', { retry: { jitter: 1 } }),
      task('named', { concurrency: { limits: ['a'] } }),
    ],
    queues: [{ name: 'q' }, { name: 'combined', combinedConcurrencyLimit: 1 }],
  }
  expect(
    optionProblem(index)
      ?.split('\n')
      .map((line) => line.split(' ').slice(0, 3).join(' ')),
  ).toEqual([
    'Task "retried": retry.jitter',
    'Task "named": concurrency',
    'Queue "combined": combinedConcurrencyLimit',
    'Task "rated": rateLimit.limit',
  ])
  expect(optionProblem({ tasks: index.tasks.slice(0, 1), queues: [] })).toBeUndefined()
  const everywhere = optionProblem({
    tasks: [task('a', { retry: { backoff: 'no' } })],
    queues: [],
    retriesDefault: { backoff: 'no' as never },
  })
  expect(everywhere).toBe('The config\'s retries.default: retry.backoff must be one of exponential, linear, fixed, not "no".')
})
