/** The CLI of 4.0: its `dev` works; its `deploy`, which builds images, ends with the command to use. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { environmentKey } from './cli.ts'
import { startDev } from './dev-session.ts'
import { endpoints, finished, useProject } from './harness.ts'
import { install } from './platform-process.ts'

const folder = join(import.meta.dirname, 'fixtures/cli407')
const entry = join(folder, 'node_modules/trigger.dev/dist/esm/index.js')
const home = mkdtempSync(join(tmpdir(), 'trigger-do-older-'))

beforeAll(() => install(folder), 300_000)
afterAll(() => rmSync(home, { recursive: true, force: true }))

describe('the CLI 4.0.7', () => {
  it('runs tasks with dev', { timeout: 180_000 }, async () => {
    useProject(await environmentKey(endpoints, folder, 'dev'))
    const session = await startDev(endpoints, folder, [], {}, entry)
    const [one, parent] = [await tasks.trigger('older', { name: 'Ada' }), await tasks.trigger('older-parent', {})]
    expect(await finished(one.id)).toMatchObject({ status: 'COMPLETED', output: { hello: 'Ada' }, metadata: { sdk: '4.0.7' } })
    expect((await finished(parent.id)).output).toEqual(['one', 'two', 'three'])
    await session.until(/Success/)
    await session.stop()
  })

  it('is told how to deploy', { timeout: 120_000 }, () => {
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      HOME: home,
      XDG_CONFIG_HOME: home,
      TRIGGER_API_URL: endpoints.apiUrl,
      TRIGGER_ACCESS_TOKEN: endpoints.accessToken,
    }
    for (const name of ['VITEST', 'NODE_ENV', 'TEST', 'TRIGGER_SECRET_KEY']) delete env[name]
    const args = ['deploy', '--api-url', endpoints.apiUrl, '--skip-update-check', '--skip-telemetry']
    const { status, stdout, stderr } = spawnSync(process.execPath, [entry, ...args], { cwd: folder, env, encoding: 'utf8' })
    expect(stdout + stderr).toContain('Deploy with: npx trigger.dev@4.8.3 deploy')
    expect(status).toBe(1)
  })
})
