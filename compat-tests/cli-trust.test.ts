/** The CLI where something is not as it should be: a stranger, an upload that breaks off; and what a build brings along. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { tasks } from '@trigger.dev/sdk'
import { afterAll, describe, expect, inject, it } from 'vitest'
import { deploy, environmentKey, runCli } from './cli.ts'
import { endpoints, finished, http, plain, until, useProject } from './harness.ts'
import { makeProject, source } from './made-project.ts'

const stranger = inject('stranger')
const plainFolder = join(import.meta.dirname, 'fixtures/plain')
const entry = resolve(import.meta.dirname, '../node_modules/trigger.dev/dist/esm/index.js')
const home = mkdtempSync(join(tmpdir(), 'trigger-do-trust-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

const asStranger = { TRIGGER_ACCESS_TOKEN: stranger }

describe('a project of somebody else', { timeout: 120_000 }, () => {
  it('does not exist for a stranger, whatever the command', async () => {
    for (const args of [
      ['deploy', '--skip-update-check', '--skip-telemetry'],
      ['env', 'list', '--env', 'prod'],
      ['runs', 'list', '--env', 'prod'],
      ['promote', '20260101.1', '--skip-update-check', '--skip-telemetry'],
      ['projects', 'get', plain.ref],
    ]) {
      const { code, output } = await runCli(endpoints, plainFolder, args, asStranger)
      expect(output, args.join(' ')).toMatch(/not found|does not exist|don't have access/i)
      expect(code, output).toBe(1)
    }
  })

  it('nor for a session of dev, which ends with a sentence', async () => {
    const child = spawn(process.execPath, [entry, 'dev', '--skip-update-check', '--skip-telemetry'], {
      cwd: plainFolder,
      env: {
        ...process.env,
        ...{ HOME: home, XDG_CONFIG_HOME: home, NO_COLOR: '1', CI: '1' },
        ...{ TRIGGER_API_URL: endpoints.apiUrl, ...asStranger },
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        output += chunk
      })
    const ended = new Promise((done) => child.once('exit', done))
    await until(async () => /not found|does not exist|don't have access/i.test(output), `a refusal; it said ${output}`)
    child.kill('SIGTERM')
    await ended
  })

  it('is not theirs over HTTP either', async () => {
    const theirs = { authorization: `Bearer ${stranger}` }
    for (const path of ['', '/prod', '/branches', '/runs?filter%5Benv%5D=prod', '/prod/workers/current', '/dev-status'])
      expect((await http('GET', `/api/v1/projects/${plain.ref}${path}`, undefined, theirs)).status, path).toBe(404)
    const listed = await http('GET', '/api/v1/projects', undefined, theirs)
    expect(JSON.stringify(listed.body)).not.toContain(plain.ref)
  })
})

describe('an upload', { timeout: 60_000 }, () => {
  it('that breaks off leaves nothing, and can be made again', async () => {
    const key = { authorization: `Bearer ${plain.secretKey}` }
    const artifact = await http('POST', '/api/v1/artifacts', { type: 'deployment_bundle', contentLength: 1_000_000 }, key)
    const url = new URL(artifact.body.uploadUrl)
    const boundary = 'x-boundary'
    const head = `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.tar.gz"\r\n\r\n`
    await new Promise<void>((done) => {
      const socket = connect(Number(url.port), url.hostname, () => {
        socket.write(
          `POST ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: multipart/form-data; boundary=${boundary}\r\ncontent-length: 1000000\r\n\r\n${head}`,
        )
        socket.write(Buffer.alloc(100_000, 7))
        setTimeout(() => socket.destroy(), 200)
      })
      socket.once('close', () => done())
    })
    const artifactKey = artifact.body.artifactKey as string
    const attempt = await http('POST', '/api/v1/deployments', { contentHash: '-', artifactKey, isNativeBuild: true }, key)
    expect(attempt).toMatchObject({ status: 422, body: { error: expect.stringContaining('was not found') } })
    const form = new FormData()
    form.append('file', new Blob(['not a tarball']))
    const again = await fetch(url, { method: 'POST', body: form })
    expect(again.status).toBe(204)
    const broken = await http('POST', '/api/v1/deployments', { contentHash: '-', artifactKey, isNativeBuild: true }, key)
    expect(broken.status).toBe(422)
    expect((await http('GET', '/health')).status).toBe(200)
  })
})

describe('variables of a build', { timeout: 120_000 }, () => {
  it('that syncEnvVars brings reach the runs; what is set by hand is not overwritten by less', async () => {
    const { folder, ref } = makeProject({
      'src/a.ts': source('tells', 'return { synced: process.env.SYNCED_BY_BUILD, token: process.env.SYNCED_TOKEN }'),
    })
    writeFileSync(
      join(folder, 'trigger.config.ts'),
      `import { syncEnvVars } from '@trigger.dev/build/extensions/core'
import { defineConfig } from '@trigger.dev/sdk'
export default defineConfig({
  project: '${ref}',
  dirs: ['./src'],
  maxDuration: 60,
  build: {
    extensions: [
      syncEnvVars(async (ctx) => [
        { name: 'SYNCED_BY_BUILD', value: 'for ' + ctx.environment },
        { name: 'SYNCED_TOKEN', value: 'a token', isSecret: true },
      ]),
    ],
  },
})
`,
    )
    const deployed = await deploy(endpoints, folder)
    expect(deployed.code, deployed.output).toBe(0)
    const project = await environmentKey(endpoints, folder, 'prod')
    useProject(project)
    const run = await finished((await tasks.trigger('tells', {})).id)
    expect(run.output).toEqual({ synced: 'for prod', token: 'a token' })
    const key = { authorization: `Bearer ${project.secretKey}` }
    const { body } = await http('GET', `/api/v1/projects/${project.ref}/envvars/prod`, undefined, key)
    expect(body).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'SYNCED_BY_BUILD', value: 'for prod' }),
        expect.objectContaining({ name: 'SYNCED_TOKEN', isSecret: true }),
      ]),
    )
    const pulled = await runCli(endpoints, folder, ['env', 'pull', '--env', 'prod', '--output', '.env.pulled', '--force'])
    expect(pulled.code, pulled.output).toBe(0)
    expect(readFileSync(join(folder, '.env.pulled'), 'utf8')).toContain('SYNCED_BY_BUILD')
    useProject(plain)
  })
})

describe('other commands', { timeout: 120_000 }, () => {
  it('make a project and archive a branch of development', async () => {
    const pat = { authorization: `Bearer ${endpoints.accessToken}` }
    const [organisation] = (await http('GET', '/api/v1/orgs', undefined, pat)).body
    const made = await runCli(endpoints, plainFolder, [
      'projects',
      'create',
      '--name',
      'Made by the CLI',
      '--org',
      organisation.slug,
    ])
    const all = await http('GET', '/api/v1/projects', undefined, pat)
    expect(made.output, made.output).toMatch(/Made by the CLI|proj_\w+/)
    expect(JSON.stringify(all.body)).toContain('Made by the CLI')
    const branch = { branch: 'on-my-laptop', env: 'development' }
    expect((await http('POST', `/api/v1/projects/${plain.ref}/branches`, branch, pat)).status).toBe(200)
    const archived = await runCli(endpoints, plainFolder, ['dev', 'archive', '--branch', 'on-my-laptop'])
    expect(archived.output).toMatch(/archived/i)
    expect(archived.code).toBe(0)
  })

  it('say in words what an instance without the network or without new organisations cannot do', async () => {
    const organisation = await runCli(endpoints, plainFolder, ['orgs', 'create', '--name', 'Another'])
    expect([organisation.code, organisation.output]).toEqual([1, expect.stringContaining('creation is disabled')])
    const { folder, ref } = makeProject({})
    const init = await runCli(endpoints, folder, ['init', '--yes', '--project-ref', ref, '--no-browser'])
    expect(init.output).not.toMatch(/not found/i)
  })
})
