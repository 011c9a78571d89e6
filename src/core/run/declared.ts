/** What a deploy is refused for in the options of its tasks. */
import { retryProblem } from '../../contracts/backoff.ts'
import type { BundleIndex } from '../../contracts/rpc.ts'
import { rateLimitProblem } from '../queue/rate-limits.ts'

const instead = 'is not built yet: use concurrencyLimit of a queue, a concurrencyKey or rateLimit.'

export function optionProblem({
  tasks,
  queues,
  retriesDefault,
}: Pick<BundleIndex, 'tasks' | 'queues' | 'retriesDefault'>): string | undefined {
  const common = retryProblem(retriesDefault)
  // A task without settings has those of the config, whose mistake is named once.
  const retries = common ? [] : tasks.map(({ id, retry }) => [id, retryProblem(retry)] as const)
  const problems = [
    ...(common ? [`The config's retries.default: ${common}`] : []),
    ...retries.flatMap(([id, problem]) => (problem ? [`Task "${id}": ${problem}`] : [])),
    ...tasks.flatMap(({ id, concurrency }) => (concurrency == null ? [] : [`Task "${id}": concurrency ${instead}`])),
    ...queues.flatMap((queue) =>
      queue.combinedConcurrencyLimit == null ? [] : [`Queue "${queue.name}": combinedConcurrencyLimit ${instead}`],
    ),
    ...(rateLimitProblem(tasks)?.split('\n') ?? []),
  ]
  return problems.length > 0 ? problems.join('\n') : undefined
}
