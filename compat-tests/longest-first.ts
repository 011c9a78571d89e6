/** The files that take minutes begin first, so that none of them runs alone at the end. */
import { basename } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const longest = [
  'kill',
  'never-ending',
  'local-host',
  'deploy',
  'versions',
  'dev',
  'schedules',
  'rate-limits',
  'examples',
  'egress',
  'upgrade',
  'dev-sessions',
  'readme',
  'cli-commands',
  'clients',
  'refusals',
]

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const others = await super.sort(files)
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = longest.indexOf(basename(moduleId, '.test.ts'))
      return place < 0 ? longest.length : place
    }
    return [...others].sort((one, other) => rank(one) - rank(other))
  }
}
