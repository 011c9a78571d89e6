import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tasks } from '@trigger.dev/sdk'
import { describe, expect, it } from 'vitest'
import { deploy, environmentKey } from './cli.ts'
import { endpoints, finished, hasStatus, http, useProject } from './harness.ts'
import { makeProject, source } from './made-project.ts'

async function rejected(files: Record<string, string>, dependencies: Record<string, string> = {}): Promise<string> {
  const { folder, ref } = makeProject(files, dependencies)
  const result = await deploy(endpoints, folder)
  // What the CLI does not wait for is told by the deployment itself.
  const { secretKey } = await environmentKey(endpoints, folder, 'prod')
  const list = await http('GET', '/api/v1/deployments', undefined, { authorization: `Bearer ${secretKey}` })
  const latest = list.body?.data?.[0] as { status: string; error?: { message: string } } | undefined
  expect(result.code !== 0 || latest?.status === 'FAILED', `${ref} was deployed\n${result.output}`).toBe(true)
  const current = await http('GET', '/api/v1/deployments/current', undefined, { authorization: `Bearer ${secretKey}` })
  expect(current.status).toBe(404)
  return `${result.output}\n${latest?.error?.message ?? ''}`
}

describe('deploying', () => {
  it('makes the new version current at once', async () => {
    const { folder } = makeProject({ 'src/a.ts': source('a', 'return 1') })
    expect((await deploy(endpoints, folder)).code).toBe(0)
    useProject(await environmentKey(endpoints, folder, 'prod'))
    const first = await finished((await tasks.trigger('a', {})).id)
    writeFileSync(join(folder, 'src/a.ts'), source('a', 'return 2'))
    expect((await deploy(endpoints, folder)).code).toBe(0)
    const second = await finished((await tasks.trigger('a', {})).id)
    expect([first.output, second.output]).toEqual([1, 2])
    expect(second.version).not.toBe(first.version)
  })

  it('A50 starts runs that waited for their version', async () => {
    const { folder } = makeProject({ 'src/a.ts': source('late', 'return "here"') })
    useProject(await environmentKey(endpoints, folder, 'prod'))
    const handle = await tasks.trigger('late', {})
    await hasStatus(handle.id, 'PENDING_VERSION')
    expect((await deploy(endpoints, folder)).code).toBe(0)
    expect((await finished(handle.id)).output).toBe('here')
  })

  it('A37 keeps a waited child on the version of its parent, and no other', { timeout: 240_000 }, async () => {
    const tasksOf = (word: string): string => `import { metadata, task, wait } from '@trigger.dev/sdk'
      export const child = task({ id: 'child', run: async () => '${word}' })
      export const parent = task({ id: 'parent', run: async () => {
        const token = await wait.createToken({ timeout: '1h' })
        metadata.set('url', token.url)
        await metadata.flush()
        await wait.forToken(token).unwrap()
        const waited = await child.triggerAndWait({}).unwrap()
        const { runs } = await child.batchTriggerAndWait([{ payload: {} }])
        const free = await child.trigger({})
        return { waited: [waited, ...runs.map((run) => run.ok && run.output)], free: free.id }
      } })`
    const { folder } = makeProject({ 'src/a.ts': tasksOf('old') })
    expect((await deploy(endpoints, folder)).code).toBe(0)
    useProject(await environmentKey(endpoints, folder, 'prod'))
    const handle = await tasks.trigger('parent', {})
    const { metadata } = await hasStatus(handle.id, 'WAITING')
    writeFileSync(join(folder, 'src/a.ts'), tasksOf('new'))
    expect((await deploy(endpoints, folder)).code).toBe(0)
    await fetch(metadata?.url as string, { method: 'POST', body: '{}' })
    const parent = await finished(handle.id)
    const { waited, free } = parent.output as { waited: string[]; free: string }
    expect(waited).toEqual(['old', 'old'])
    const child = await finished(free)
    expect(child.output).toBe('new')
    expect(child.version).not.toBe(parent.version)
  })

  it('goes to staging when asked', async () => {
    const { folder } = makeProject({ 'src/a.ts': source('staged', 'return process.env.TRIGGER_API_URL ? 1 : 0') })
    expect((await deploy(endpoints, folder, ['--env', 'staging'])).code).toBe(0)
    const project = await environmentKey(endpoints, folder, 'staging')
    expect(project.secretKey).toMatch(/^tr_stg_/)
    useProject(project)
    expect((await finished((await tasks.trigger('staged', {})).id)).output).toBe(1)
  })

  it('refuses two tasks with one id', async () => {
    const output = await rejected({ 'src/a.ts': source('same', 'return 1'), 'src/b.ts': source('same', 'return 2') })
    expect(output).toMatch(/same/)
  })

  it('refuses a file that throws while loading', async () => {
    const output = await rejected({ 'src/a.ts': source('a', 'return 1', "throw new Error('thrown at the top')") })
    expect(output).toMatch(/thrown at the top/)
  })

  it('refuses a native addon', async () => {
    const output = await rejected(
      {
        'src/a.ts': source('a', 'return typeof sharp', "import sharp from 'sharp'"),
        'trigger.config.ts': `project: 'REF', dirs: ['./src'], maxDuration: 60, build: { external: ['sharp'] }`,
        'node_modules/sharp/package.json': '{"name":"sharp","version":"0.34.0","main":"index.js"}',
        'node_modules/sharp/index.js': 'module.exports = function sharp() {}',
      },
      { sharp: '0.34.0' },
    )
    expect(output).toMatch(/sharp/)
  })

  it('refuses a browser', async () => {
    const output = await rejected(
      {
        'src/a.ts': source('a', 'return typeof puppeteer', "import puppeteer from 'puppeteer'"),
        'trigger.config.ts': `project: 'REF', dirs: ['./src'], maxDuration: 60, build: { external: ['puppeteer'] }`,
        'node_modules/puppeteer/package.json': '{"name":"puppeteer","version":"24.0.0","main":"index.js"}',
        'node_modules/puppeteer/index.js': 'module.exports = {}',
      },
      { puppeteer: '24.0.0' },
    )
    expect(output).toMatch(/puppeteer/)
  })
})
