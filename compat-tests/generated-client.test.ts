/** The OpenAPI document as somebody without an SDK uses it: types are generated, a strict program compiles and runs. */
import { execFile } from 'node:child_process'
import { cp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { endpoints, http, plain } from './harness.ts'
import { install } from './platform-process.ts'

const run = promisify(execFile)
const fixture = join(import.meta.dirname, 'fixtures/generated-client')

const operations = [
  ...['triggerTask', 'retrieveRun', 'listRuns', 'rescheduleRun', 'addRunTags', 'updateRunMetadata', 'getRunMetadata'],
  ...['cancelRun', 'replayRun', 'batchTriggerV2', 'retrieveBatchV2', 'createBatch', 'retrieveBatchV1'],
  ...['createWaitpointToken', 'completeWaitpointToken', 'retrieveWaitpointToken', 'listWaitpointTokens'],
  ...['createSchedule', 'updateSchedule', 'deactivateSchedule', 'activateSchedule', 'retrieveSchedule', 'listSchedules'],
  ...['deleteSchedule', 'listTimezones', 'getTokenClaims'],
]

it('a client generated from the document compiles and does every P0 operation', async () => {
  await install(fixture)
  const folder = join(tmpdir(), `generated-client-${process.pid}`)
  try {
    await cp(fixture, folder, { recursive: true, filter: (path) => !path.includes('node_modules') })
    await symlink(join(fixture, 'node_modules'), join(folder, 'node_modules'))
    await writeFile(join(folder, 'openapi.json'), JSON.stringify((await http('GET', '/openapi.json')).body))
    const tool = (name: string, ...args: string[]): Promise<{ stdout: string }> =>
      run(process.execPath, [join(fixture, 'node_modules', name), ...args], { cwd: folder })
    await tool('openapi-typescript/bin/cli.js', 'openapi.json', '-o', 'schema.d.ts')
    const compiled = await tool('typescript/bin/tsc', '-p', '.').catch((error: { stdout: string }) => error)
    expect(compiled.stdout).toBe('')
    const env = { ...process.env, API_URL: endpoints.apiUrl, SECRET_KEY: plain.secretKey }
    const { stdout } = await run(process.execPath, ['client.ts'], { cwd: folder, env })
    expect((JSON.parse(stdout) as string[]).toSorted()).toEqual(operations.toSorted())
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
