/** The package `trigger.do` as it is published, where a fixture's imports find it. Built apart: another suite packs the repository. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')

export function installClient(project: string): string {
  const folder = join(project, 'node_modules/trigger.do')
  const fresh = `${folder}.${process.pid}`
  rmSync(fresh, { recursive: true, force: true })
  mkdirSync(fresh, { recursive: true })
  const { name, version, type, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  writeFileSync(
    join(fresh, 'package.json'),
    JSON.stringify({
      name,
      version,
      type,
      exports: Object.fromEntries(['.', './mcp', './agents', './fsx', './gitx'].map((path) => [path, exports[path]])),
      sideEffects: false,
    }),
  )
  execFileSync(process.execPath, ['scripts/build-client.ts', join(fresh, 'dist')], { cwd: root, stdio: 'pipe' })
  rmSync(folder, { recursive: true, force: true })
  renameSync(fresh, folder)
  return folder
}
