/** Every scenario of the acceptance list (A01–A50) is named by a test that runs it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from './local-host.ts'

const folder = join(root, 'compat-tests')
const scenarios = Array.from({ length: 50 }, (_, index) => `A${String(index + 1).padStart(2, '0')}`)

function namedIn(file: string): string[] {
  const titles = [...readFileSync(join(folder, file), 'utf8').matchAll(/\bit(?:\.\w+)*(?:\([^()]*\))?\(\s*['`]([^'`]*)/g)]
  return titles.flatMap((title) => [...(title[1] as string).matchAll(/\bA\d\d\b/g)].map((match) => match[0]))
}

const files = readdirSync(folder).filter((file) => file.endsWith('.test.ts'))
/** By the newest SDK alone. */
const newest = new Set(files.filter((file) => file !== 'clients.test.ts').flatMap(namedIn))

describe('the acceptance scenarios', () => {
  it('have a test each', () => expect(scenarios.filter((name) => !newest.has(name))).toEqual([]))

  it('that a client can tell apart are run by three generations of the SDK', () => {
    const several = [
      'A01',
      'A02',
      'A03',
      'A04',
      'A14',
      'A15',
      'A16',
      'A17',
      'A20',
      'A21',
      'A22',
      'A23',
      'A25',
      'A26',
      'A34',
      'A36',
    ]
    several.push('A38', 'A40', 'A43', 'A44', 'A45', 'A46', 'A47', 'A49', 'A50')
    const run = new Set(namedIn('clients.test.ts'))
    expect(several.filter((name) => !run.has(name))).toEqual([])
  })
})
