/** What a deploy is refused for in the options of its tasks. */
import { retryProblem } from '../../contracts/backoff.ts'
import type { BundleIndex } from '../../contracts/rpc.ts'
import { rateLimitProblem } from '../queue/rate-limits.ts'

export function optionProblem({ tasks, retriesDefault }: Pick<BundleIndex, 'tasks' | 'retriesDefault'>): string | undefined {
  const common = retryProblem(retriesDefault)
  // A task without settings has those of the config, whose mistake is named once.
  const retries = common ? [] : tasks.map(({ id, retry }) => [id, retryProblem(retry)] as const)
  const problems = [
    ...(common ? [`The config's retries.default: ${common}`] : []),
    ...retries.flatMap(([id, problem]) => (problem ? [`Task "${id}": ${problem}`] : [])),
    ...(rateLimitProblem(tasks)?.split('\n') ?? []),
  ]
  return problems.length > 0 ? problems.join('\n') : undefined
}
