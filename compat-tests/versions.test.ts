/** Deployments as records, and which version runs. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { deployments, runs, tasks } from '@trigger.dev/sdk'
import { describe, expect, it } from 'vitest'
import { deploy, environmentKey, runCli } from './cli.ts'
import { type Answer, endpoints, finished, http, useProject } from './harness.ts'
import { makeProject, source } from './made-project.ts'

describe('versions', () => {
  it('are found by an id of the user, and not built twice', { timeout: 400_000 }, async () => {
    const { folder } = makeProject({ 'src/a.ts': source('a', 'return 1') })
    const release = (body: string, id: string): ReturnType<typeof deploy> => {
      writeFileSync(join(folder, 'src/a.ts'), source('a', body))
      return deploy(endpoints, folder, ['--external-id', id])
    }
    expect((await release('return 1', 'commit-1')).code).toBe(0)
    useProject(await environmentKey(endpoints, folder, 'prod'))
    expect((await release('return 2', 'commit-2')).code).toBe(0)
    const again = await release('return 3', 'commit-1')
    expect(again.code).toBe(0)
    expect(again.output).toContain('nothing to build')
    expect((await deployments.list()).data.map((one) => one.externalId)).toEqual(['commit-2', 'commit-1'])
    const output = async (externalDeploymentId?: string): Promise<unknown> =>
      (await finished((await tasks.trigger('a', {}, externalDeploymentId ? { externalDeploymentId } : {})).id)).output
    expect([await output(), await output('commit-1'), await output('commit-2')]).toEqual([2, 1, 2])
    // An app that is ahead of its tasks: the run waits for its deployment, not for any.
    const ahead = await tasks.trigger('a', {}, { externalDeploymentId: 'commit-3' })
    expect((await runs.retrieve(ahead.id)).status).toBe('PENDING_VERSION')
    expect((await release('return 4', 'commit-4')).code).toBe(0)
    expect((await runs.retrieve(ahead.id)).status).toBe('PENDING_VERSION')
    expect((await release('return 3', 'commit-3')).code).toBe(0)
    expect((await finished(ahead.id)).output).toBe(3)
  })

  it('are listed, locked to, promoted and rolled back; a failed deploy is one of them', { timeout: 500_000 }, async () => {
    const { folder } = makeProject({ 'src/a.ts': source('a', 'return 1') })
    const put = (body: string, before = ''): void => writeFileSync(join(folder, 'src/a.ts'), source('a', body, before))
    const output = async (version?: string): Promise<unknown> => {
      const run = await finished((await tasks.trigger('a', {}, version ? { version } : {})).id)
      return [run.output, run.version]
    }
    const promote = (version: string): ReturnType<typeof runCli> =>
      runCli(endpoints, folder, ['promote', version, '--skip-update-check', '--skip-telemetry'])
    expect((await deploy(endpoints, folder)).code).toBe(0)
    const project = await environmentKey(endpoints, folder, 'prod')
    useProject(project)
    const get = (path: string, method = 'GET'): Promise<Answer> =>
      http(method, path, undefined, { authorization: `Bearer ${project.secretKey}` })
    const first = await deployments.retrieveCurrent()
    expect(first).toMatchObject({ status: 'DEPLOYED', version: expect.stringMatching(/^\d{8}\.1$/) })

    put('return 2')
    expect((await deploy(endpoints, folder, ['--skip-promotion'])).code).toBe(0)
    const [second] = (await deployments.list()).data
    expect((await deployments.retrieveCurrent()).version).toBe(first.version)
    expect(await output()).toEqual([1, first.version])
    expect(await output(second?.version)).toEqual([2, second?.version])

    expect((await promote(second?.version as string)).code).toBe(0)
    expect(await output()).toEqual([2, second?.version])
    expect(await output(first.version)).toEqual([1, first.version])

    put('return 3', "throw new Error('thrown at the top')")
    expect((await deploy(endpoints, folder)).code).not.toBe(0)
    const [failed] = (await deployments.list({ status: 'FAILED' })).data
    expect(failed).toMatchObject({ status: 'FAILED', error: { message: expect.stringContaining('thrown at the top') } })
    expect((await get(`/api/v1/deployments/${failed?.id}`)).body).toMatchObject({
      id: failed?.id,
      status: 'FAILED',
      errorData: { message: expect.stringContaining('thrown at the top') },
    })
    const refused = await promote(failed?.version as string)
    expect(refused.code).not.toBe(0)
    expect(refused.output).toContain('only a deployed version')
    expect(await output()).toEqual([2, second?.version])

    const again = await get(`/api/v1/deployments/${second?.version}/promote`, 'POST')
    expect(again).toMatchObject({ status: 400, body: { error: expect.stringContaining('already the current') } })
    const strict = await get(`/api/v1/deployments/${first.version}/promote?allowRollbacks=false`, 'POST')
    expect(strict).toMatchObject({ status: 400, body: { error: expect.stringContaining('older') } })
    expect((await get('/api/v1/deployments/20200101.1/promote', 'POST')).status).toBe(404)
    expect((await promote(first.version)).code).toBe(0)
    expect(await output()).toEqual([1, first.version])

    const detail = await get(`/api/v1/deployments/${first.id}`)
    expect(detail.body).toMatchObject({
      id: first.id,
      status: 'DEPLOYED',
      version: first.version,
      worker: { version: first.version, tasks: [{ slug: 'a', filePath: 'src/a.ts', exportName: 't' }] },
    })
    expect((await get('/api/v1/deployments/latest')).body.id).toBe(failed?.id)
    expect((await get('/api/v1/deployments/deployment_unknown')).status).toBe(404)
    const page = await deployments.list({ limit: 5 })
    expect(page.data.map((one) => one.status)).toEqual(['FAILED', 'DEPLOYED', 'DEPLOYED'])
    expect(page.hasNextPage()).toBe(false)
  })
})
