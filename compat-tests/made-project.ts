/** Projects written by a scenario, for what no fixture should have: bad code, one schedule more. Removed after the file. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll } from 'vitest'

const fixtures = join(import.meta.dirname, 'fixtures')
/** Git ignores it, and the SDK is found in the node_modules of the repository above it. */
const scratch = join(import.meta.dirname, '../.state/compat')
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const letters = 'abcdefghijklmnopqrstuvwxyz'

export function makeProject(
  files: Record<string, string>,
  dependencies: Record<string, string> = {},
): { folder: string; ref: string } {
  mkdirSync(scratch, { recursive: true })
  const folder = mkdtempSync(join(scratch, 'project-'))
  folders.push(folder)
  const ref = `proj_${Array.from({ length: 20 }, () => letters[Math.floor(Math.random() * 26)]).join('')}`
  cpSync(join(fixtures, 'plain/package-lock.json'), join(folder, 'package-lock.json'))
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({
      name: 'made',
      private: true,
      type: 'module',
      dependencies: { '@trigger.dev/sdk': '4.8.3', ...dependencies },
    }),
  )
  const config = files['trigger.config.ts'] ?? `project: 'REF', dirs: ['./src'], maxDuration: 60`
  writeFileSync(
    join(folder, 'trigger.config.ts'),
    `import { defineConfig } from '@trigger.dev/sdk'\nexport default defineConfig({ ${config.replace('REF', ref)} })\n`,
  )
  for (const [path, text] of Object.entries(files)) {
    if (path === 'trigger.config.ts') continue
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return { folder, ref }
}

export function source(id: string, body: string, before = ''): string {
  return `import { task } from '@trigger.dev/sdk'\n${before}\nexport const t = task({ id: '${id}', run: async () => { ${body} } })\n`
}
