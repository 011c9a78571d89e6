/** What a team types besides `dev` and `deploy`, each as a process, its output read as a person would. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endpoints, finished, http, plain, unique, useProject } from './harness.ts'
import { makeProject, source } from './made-project.ts'

const entry = resolve(import.meta.dirname, '../node_modules/trigger.dev/dist/esm/index.js')
const home = mkdtempSync(join(tmpdir(), 'trigger-do-commands-'))
mkdirSync(join(home, '.config'))
const plainFolder = join(import.meta.dirname, 'fixtures/plain')
let made: { folder: string; ref: string }

beforeAll(() => {
  made = makeProject({ 'src/a.ts': source('a', 'return process.env.GREETING ?? 1') })
  useProject(plain)
})
afterAll(() => rmSync(home, { recursive: true, force: true }))

function cli(folder: string, ...args: string[]): Promise<{ code: number | null; output: string }> {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: home,
    XDG_CONFIG_HOME: join(home, '.config'),
    TRIGGER_API_URL: endpoints.apiUrl,
    TRIGGER_ACCESS_TOKEN: endpoints.accessToken,
    NO_COLOR: '1',
  }
  for (const name of ['TRIGGER_SECRET_KEY', 'VITEST', 'NODE_ENV', 'TEST', 'CI']) delete env[name]
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [entry, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        output += chunk
      })
    child.once('error', fail)
    child.once('close', (code) => done({ code, output: stripVTControlCharacters(output) }))
  })
}

async function says(pattern: RegExp, folder: string, ...args: string[]): Promise<string> {
  const { code, output } = await cli(folder, ...args)
  expect(output, args.join(' ')).toMatch(pattern)
  expect(code, output).toBe(0)
  return output
}

describe('the CLI', { timeout: 120_000 }, () => {
  it('shows, makes and renames projects', async () => {
    await says(new RegExp(plain.ref), plainFolder, 'projects', 'list')
    await says(/owner/, plainFolder, 'orgs', 'list')
    const pat = { authorization: `Bearer ${endpoints.accessToken}` }
    await http('GET', `/api/v1/projects/${made.ref}/dev`, undefined, pat)
    await says(new RegExp(made.ref), made.folder, 'projects', 'get', made.ref)
    const name = unique('renamed')
    await says(new RegExp(name), made.folder, 'projects', 'rename', made.ref, name)
    expect((await http('GET', `/api/v1/projects/${made.ref}`, undefined, pat)).body.name).toBe(name)
    const foreign = await http('PATCH', '/api/v1/projects/proj_nobodyhasthisone', { name: 'x' }, pat)
    expect(foreign.status).toBe(404)
  })

  it('sets, lists and gets variables', async () => {
    await says(/GREETING is set/, made.folder, 'env', 'set', 'GREETING', 'hello', '--env', 'prod')
    await says(/GREETING/, made.folder, 'env', 'list', '--env', 'prod')
    await says(/hello/, made.folder, 'env', 'get', 'GREETING', '--env', 'prod')
    await says(/TOKEN is set/, made.folder, 'env', 'set', 'TOKEN', 'very-secret', '--env', 'prod', '--secret')
  })

  it('lists, shows, replays and cancels runs', async () => {
    const run = await finished((await tasks.trigger('add-one', { n: 1 })).id)
    await says(new RegExp(run.id), plainFolder, 'runs', 'list', '--env', 'prod')
    await says(/completed/i, plainFolder, 'runs', 'get', run.id, '--env', 'prod')
    const replayed = await says(/run_\w+/, plainFolder, 'runs', 'replay', run.id, '--env', 'prod')
    expect(replayed).not.toMatch(/error/i)
    const delayed = await tasks.trigger('add-one', { n: 1 }, { delay: '1h' })
    await says(/cancell?ed/i, plainFolder, 'runs', 'cancel', delayed.id, '--env', 'prod', '--yes')
    const unknown = await cli(plainFolder, 'runs', 'get', `run_${'0'.repeat(26)}`, '--env', 'prod')
    expect([unknown.code, unknown.output]).toEqual([1, expect.stringMatching(/not found/i)])
  })

  it('triggers a task of the development environment, and says that nobody runs it', async () => {
    await says(/run_\w+/, made.folder, 'tasks', 'trigger', 'a')
    const { output } = await cli(made.folder, 'tasks', 'trigger', 'a')
    expect(output).toContain("dev command isn't running")
  })

  it('mints a token that speaks for the user for an hour', async () => {
    const { body } = await http(
      'POST',
      '/api/v1/auth/user-actor-token',
      { client: 'cli' },
      { authorization: `Bearer ${endpoints.accessToken}` },
    )
    expect(body).toEqual({ token: expect.stringMatching(/^tr_uat_/), expiresInSeconds: 3_600 })
    const actor = { authorization: `Bearer ${body.token}` }
    expect((await http('GET', '/api/v2/whoami', undefined, actor)).status).toBe(200)
    expect((await http('GET', `/api/v1/projects/${plain.ref}/prod`, undefined, actor)).body.apiKey).toBe(plain.secretKey)
    expect((await http('POST', '/api/v1/auth/user-actor-token', {}, actor)).status).toBe(403)
    for (const wrong of [
      body.token.replace(/.$/, (last: string) => (last === '0' ? '1' : '0')),
      'tr_uat_x',
      body.token.replace(/\.\d+\./, '.9999999999.'),
    ])
      expect((await http('GET', '/api/v2/whoami', undefined, { authorization: `Bearer ${wrong}` })).status).toBe(401)
  })

  it('deploys to preview branches, promotes and archives them', { timeout: 240_000 }, async () => {
    const branch = unique('feature').toLowerCase()
    const args = ['--skip-update-check', '--skip-telemetry']
    await says(/Version \d{8}\.\d+/, made.folder, 'deploy', '--env', 'preview', '--branch', branch, ...args)
    await says(/Version \d{8}\.\d+/, made.folder, 'deploy', '--env', 'staging', ...args)
    await says(/archived/i, made.folder, 'preview', 'archive', '--branch', branch)
    const again = await cli(made.folder, 'preview', 'archive', '--branch', branch)
    expect(again.output).toMatch(/not found/i)
    const promoted = await cli(made.folder, 'promote', '20000101.1', '--env', 'staging', ...args)
    expect([promoted.code, promoted.output]).toEqual([1, expect.stringContaining('Deployment not found')])
  })

  it.each([
    ['report', ['report', 'health', '--env', 'prod'], /not built yet/],
    ['a wrong token', ['projects', 'list'], /Invalid or Missing Access Token|must login/i],
  ])('says in words what is not there: %s', async (name, args, words) => {
    const folder = plainFolder
    const { code, output } =
      name === 'a wrong token'
        ? await new Promise<{ code: number | null; output: string }>((done) => {
            const env = {
              ...process.env,
              HOME: home,
              XDG_CONFIG_HOME: home,
              TRIGGER_API_URL: endpoints.apiUrl,
              TRIGGER_ACCESS_TOKEN: `tr_pat_${'x'.repeat(40)}`,
            }
            const child = spawn(process.execPath, [entry, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
            let text = ''
            for (const stream of [child.stdout, child.stderr])
              stream.on('data', (chunk) => {
                text += chunk
              })
            child.once('close', (ended) => done({ code: ended, output: stripVTControlCharacters(text) }))
          })
        : await cli(folder, ...args)
    expect(output).toMatch(words)
    expect(code).toBe(1)
  })
})
