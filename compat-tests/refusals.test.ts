import { join } from 'node:path'
import { deployments, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { runCli } from './cli.ts'
import { endpoints, finished, http, useProject } from './harness.ts'
import { deployFixture } from './platform-process.ts'

const folder = join(import.meta.dirname, 'fixtures/needs-node')
const refused = [
  { task: 'make-thumbnail', file: 'src/sharp/thumbnail.ts', imports: 'sharp' },
  { task: 'transcode-video', file: 'src/ffmpeg/transcode.ts', imports: 'fluent-ffmpeg' },
  { task: 'extract-audio', file: 'src/spawn/audio.ts', imports: 'child_process' },
  { task: 'take-screenshot', file: 'src/puppeteer/screenshot.ts', imports: 'puppeteer' },
]

describe('tasks that need a native program', () => {
  let version: string
  let authorization: string
  let result: { code: number; output: string }

  beforeAll(async () => {
    const project = await deployFixture({ endpoints }, 'needs-node')
    useProject(project)
    authorization = `Bearer ${project.secretKey}`
    version = (await deployments.retrieveCurrent()).version
    result = await runCli(endpoints, folder, ['deploy', '--skip-update-check', '--skip-telemetry'], {
      FIXTURE_FOLDERS: 'fine,sharp,ffmpeg,spawn,puppeteer',
    })
  }, 300_000)

  it.each(refused)('$imports is refused with the task and the way out', ({ task, file, imports }) => {
    const line = result.output.split('\n').find((text) => text.includes(file))
    expect(line, result.output).toBeDefined()
    expect(line).toContain(`Task "${task}" (${file}) imports "${imports}"`)
    expect(line).toMatch(/run this task on a Node host, or remove the import/)
  })

  it('the deploy ends with 1 and blames nobody else', () => {
    expect(result.code).toBe(1)
    expect(result.output).toContain('Deployment failed')
    expect(result.output.match(/imports "/g)).toHaveLength(refused.length)
    expect(result.output).not.toContain('sizes.ts')
  })

  it('the deployment says why, and the version before stays current and runs', async () => {
    const list = await http('GET', '/api/v1/deployments', undefined, { authorization })
    expect(list.body.data[0]).toMatchObject({ status: 'FAILED', error: { message: expect.stringContaining('make-thumbnail') } })
    expect((await deployments.retrieveCurrent()).version).toBe(version)
    const run = await finished((await tasks.trigger('sizes', { width: 640 })).id)
    expect(run).toMatchObject({ status: 'COMPLETED', output: { half: 320 }, version })
  })
})
