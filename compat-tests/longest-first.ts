/** The files that take minutes begin first, so that none of them runs alone at the end. */
import { basename } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const longest = [
  'kill',
  'schedules',
  'deploy',
  'never-ending',
  'versions',
  'local-host',
  'cli-commands',
  'node-host',
  'dev',
  'examples',
  'clients',
  'rate-limits',
  'upgrade',
  'egress',
  'dev-sessions',
  'cli-trust',
  'refusals',
  'fuzz',
  'export',
  'readme',
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
