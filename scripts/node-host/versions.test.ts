import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import type { HostApi } from './api.ts'
import { Versions } from './versions.ts'

const state = mkdtempSync(join(tmpdir(), 'trigger-do-versions-'))
afterEach(() => rmSync(state, { recursive: true, force: true }))

it('keeps what is in use and the last ten versions, and is asked for deployments only', async () => {
  for (let n = 0; n < 14; n++) {
    const folder = join(state, `deployment_${n}`)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, '.ready'), '')
    utimesSync(join(folder, '.ready'), n, n)
  }
  const versions = new Versions({} as HostApi, state, 'proj_x')
  expect(await versions.prepare('deployment_0')).toBe(join(state, 'deployment_0'))
  const left = readdirSync(state).filter((name) => name.startsWith('deployment_'))
  expect(left.sort()).toEqual(['deployment_0', ...Array.from({ length: 10 }, (_, n) => `deployment_${n + 4}`)].sort())
  await expect(versions.prepare('../x')).rejects.toThrow('not the id of a deployment')
})
