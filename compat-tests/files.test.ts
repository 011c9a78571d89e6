/** `trigger.do/fsx` and `trigger.do/gitx`, in tasks and outside of them, against git's own server; and the routes by plain HTTP. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type * as Client from 'trigger.do'
import type * as FsxModule from 'trigger.do/fsx'
import type * as GitxModule from 'trigger.do/gitx'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deploy, environmentKey } from './cli.ts'
import { installClient } from './client-package.ts'
import { type GitServer, startGitServer } from './git-server.ts'
import { endpoints, http, plain, runTask, unique, useProject } from './harness.ts'
import { makeProject } from './made-project.ts'

const reviewTasks = `
import { task } from 'trigger.do'
import { fsx } from 'trigger.do/fsx'
import { gitx } from 'trigger.do/gitx'

const text = { type: 'string' } as const
const schema = (properties: Record<string, unknown>) => ({ type: 'object', properties, required: Object.keys(properties) }) as never

export const aiTask = task({
  id: 'ai-assisted',
  run: async ({ repoUrl }: { repoUrl: string }) => {
    const repo = await gitx.clone(repoUrl)
    const files = await fsx.glob(repo.path, '**/*.ts')
    const [last] = await gitx.log(repo)
    const changes = await gitx.diff(repo, last.parents[0])
    return { ...repo, files, last, changes }
  },
})

export const reviewPullRequest = task({
  id: 'review-pr',
  jsonSchema: schema({ prNumber: { type: 'number' }, repo: text }),
  run: async ({ prNumber, repo }: { prNumber: number; repo: string }) => ({ number: prNumber, repository: repo }),
})
export const analyzeFiles = task({
  id: 'analyze-files',
  jsonSchema: schema({ count: { type: 'number' } }),
  run: async ({ count }: { count: number }) => ({ issues: count * 2 }),
})
export const postComments = task({
  id: 'post-review-comments',
  jsonSchema: schema({ review: { type: 'object' } }),
  run: async ({ review }: { review: object }) => ({ posted: review }),
})

/** Leaves a file for the next attempt. */
export const resuming = task({
  id: 'resuming',
  retry: { maxAttempts: 2, minTimeoutInMs: 1, maxTimeoutInMs: 1 },
  run: async ({ path }: { path: string }, { ctx }) => {
    if (ctx.attempt.number === 1) {
      await fsx.write(path, 'from the first attempt')
      throw new Error('once more')
    }
    return { text: await fsx.read(path), none: (await fsx.stat(path + '.none')) ?? null }
  },
})
`

const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
const readmeTask = /```ts\n(import \{ task \} from 'trigger\.do'\nimport \{ fsx \}[\s\S]*?)```/.exec(readme)?.[1] as string

let server: GitServer
let fsx: FsxModule.Fsx
let gitx: GitxModule.Gitx
let trigger: Client.Trigger
let fsxModule: typeof FsxModule
let first: string
let second: string
let url: string

beforeAll(async () => {
  server = await startGitServer()
  url = `${server.url}/acme/app`
  first = server.commit('acme/app', 'First', { 'src/a.ts': 'one\ntwo\nthree\n', 'README.md': 'Hello\n', 'gone.txt': 'x\n' })
  server.git('acme/app', 'tag', '-a', 'v1', '-m', 'Version 1')
  second = server.commit('acme/app', 'Second', {
    'src/a.ts': 'one\n2\nthree\n',
    'src/deep/b.ts': 'new\n',
    'gone.txt': null,
    'logo.bin': new Uint8Array([0, 1, 2, 255]),
  })
  const { folder } = makeProject({ 'src/review.ts': reviewTasks, 'src/readme.ts': readmeTask }, { 'trigger.do': '0.1.0' })
  const installed = installClient(folder)
  const deployed = await deploy(endpoints, folder)
  expect(deployed.output).not.toContain('ERROR')
  expect(deployed.code).toBe(0)
  const project = await environmentKey(endpoints, folder, 'prod')
  useProject(project)
  process.env.TRIGGER_API_URL = endpoints.apiUrl
  process.env.TRIGGER_SECRET_KEY = project.secretKey
  fsxModule = await import(join(installed, 'dist/adapters/fsx/index.js'))
  ;({ fsx } = fsxModule)
  ;({ gitx } = (await import(join(installed, 'dist/adapters/gitx/index.js'))) as typeof GitxModule)
  ;({ trigger } = (await import(join(installed, 'dist/index.js'))) as typeof Client)
}, 300_000)

afterAll(() => server?.close())

describe('fsx', () => {
  it('writes, reads, lists, finds and removes', async () => {
    const root = `/${unique('tree')}`
    expect(await fsx.write(`${root}/notes/ä ö.txt`, 'Grüße')).toMatchObject({ type: 'file', size: 7 })
    const large = new Uint8Array(3_000_000).map((_, index) => index % 251)
    await fsx.write(`${root}/large.bin`, large)
    const many = Array.from({ length: 1_500 }, (_, n) => ({ path: `${root}/many/${n}.ts`, content: `${n}` }))
    await fsx.writeMany([...many, { path: `${root}/many/big.txt`, content: 'y'.repeat(2_000_000) }])
    expect(await fsx.read(`${root}/notes/ä ö.txt`)).toBe('Grüße')
    expect(Buffer.from(await fsx.readBytes(`${root}/large.bin`)).equals(Buffer.from(large))).toBe(true)
    expect(await fsx.list(root)).toEqual([
      { path: `${root}/large.bin`, type: 'file', size: 3_000_000, modifiedAt: expect.any(Date) },
      { path: `${root}/many`, type: 'directory' },
      { path: `${root}/notes`, type: 'directory' },
    ])
    expect(await fsx.glob(root, '**/*.ts')).toHaveLength(1_500)
    expect(await fsx.glob(root, 'many/1{0,1}.ts')).toEqual([`${root}/many/10.ts`, `${root}/many/11.ts`])
    expect(await fsx.stat(`${root}/many`)).toEqual({ path: `${root}/many`, type: 'directory' })
    expect(await fsx.stat(`${root}/none`)).toBeUndefined()
    await expect(fsx.remove(root)).rejects.toMatchObject({ status: 409, message: expect.stringContaining('recursive') })
    expect(await fsx.remove(root, { recursive: true })).toBe(1_503)
    expect(await fsx.remove(root, { recursive: true })).toBe(0)
    await expect(fsx.read(`${root}/large.bin`)).rejects.toMatchObject({ name: 'ApiError', status: 404 })
  })

  it('a file of one attempt is there in the next', async () => {
    const run = await runTask('resuming', { path: `/${unique('state')}.txt` })
    expect(run).toMatchObject({ status: 'COMPLETED', attemptCount: 2, output: { text: 'from the first attempt', none: null } })
  })

  it('another environment has a tree of its own', async () => {
    const path = `/${unique('own')}`
    await fsx.write(path, 'mine')
    const other = fsxModule.createFsx({ baseURL: endpoints.apiUrl, accessToken: plain.secretKey })
    expect(await other.stat(path)).toBeUndefined()
  })

  it('says what it does not take before anything is sent', async () => {
    await expect(fsx.write('/x', 5 as never)).rejects.toThrow('must be a string or a Uint8Array')
    await expect(fsx.write('/x', new Uint8Array(33_554_433))).rejects.toThrow('at most 33554432')
    await expect(fsx.write('/../x', 'a')).rejects.toMatchObject({ status: 400, message: expect.stringContaining('..') })
  })
})

describe('gitx', () => {
  it('clones in a task, whose files, log and diff are those of git', async () => {
    const run = await runTask('ai-assisted', { repoUrl: url })
    expect(run.error).toBeUndefined()
    const { path, commit, files, last, changes } = run.output
    expect(commit).toBe(second)
    expect(files).toEqual([`${path}/src/a.ts`, `${path}/src/deep/b.ts`])
    expect(last).toMatchObject({ commit: second, message: 'Second\n', author: { name: 'Ada' }, parents: [first] })
    expect(changes).toEqual([
      { path: 'gone.txt', status: 'removed', additions: 0, deletions: 1, patch: '@@ -1,1 +0,0 @@\n-x' },
      { path: 'logo.bin', status: 'added', additions: 0, deletions: 0 },
      {
        path: 'src/a.ts',
        status: 'modified',
        additions: 1,
        deletions: 1,
        patch: '@@ -1,3 +1,3 @@\n one\n-two\n+2\n three',
      },
      { path: 'src/deep/b.ts', status: 'added', additions: 1, deletions: 0, patch: '@@ -0,0 +1,1 @@\n+new' },
    ])
    expect(await fsx.read(`${path}/src/a.ts`)).toBe('one\n2\nthree\n')
    expect(await fsx.readBytes(`${path}/logo.bin`)).toEqual(new Uint8Array([0, 1, 2, 255]))
  })

  it('the task of the README', async () => {
    const run = await runTask('review-code', { url, since: 'v1' })
    expect(run.error).toBeUndefined()
    expect(run.output).toEqual({ files: 2, changed: ['gone.txt', 'logo.bin', 'src/a.ts', 'src/deep/b.ts'] })
    expect(JSON.parse(await fsx.read(`/reviews/${second}.json`))).toHaveLength(4)
  })

  it('what is there is not fetched again', async () => {
    const { path } = await gitx.clone(url)
    server.asked.length = 0
    expect(await gitx.clone(url)).toEqual({ path, commit: second })
    expect(server.asked.filter((line) => line.startsWith('POST')).length, 'the refs are asked for, no pack').toBeLessThanOrEqual(
      1,
    )
    server.asked.length = 0
    expect(await gitx.clone(url, { ref: second })).toEqual({ path, commit: second })
    expect(server.asked).toEqual([])
  })

  it('by tag, branch, commit and depth', async () => {
    expect((await gitx.clone(url, { ref: 'v1' })).commit).toBe(first)
    expect((await gitx.clone(url, { ref: 'main', depth: 1 })).commit).toBe(second)
    const old = await gitx.clone(url, { ref: first })
    expect(old.commit).toBe(first)
    expect(await fsx.read(`${old.path}/gone.txt`)).toBe('x\n')
    const shallow = await gitx.clone(url, { depth: 1 })
    expect(shallow.path).not.toBe(old.path)
    expect(await gitx.log(shallow)).toHaveLength(1)
    await expect(gitx.diff(shallow, first)).rejects.toThrow(`no commit, branch or tag ${first}`)
  })

  it('a repository that needs a token', async () => {
    const secret = unique('secret')
    server.commit('acme/private', 'Only', { 'a.txt': secret })
    server.password = secret
    try {
      const address = `${server.url}/acme/private.git`
      server.git('acme/private', 'config', 'core.bare', 'false')
      await expect(gitx.clone(`${server.url}/acme/private`)).rejects.toThrow('401')
      const repo = await gitx.clone(`${server.url}/acme/private`, { token: secret })
      expect(await fsx.read(`${repo.path}/a.txt`)).toBe(secret)
      const inAddress = await gitx.clone(`http://user:${secret}@${new URL(address).host}/acme/private`, { depth: 1 })
      expect(await fsx.read(`${inAddress.path}/.git/config`)).not.toContain(secret)
    } finally {
      server.password = undefined
    }
  })

  it.each<[string, () => Promise<unknown>, string]>([
    ['ssh', () => gitx.clone('git@github.com:acme/app.git'), 'https://'],
    ['no such branch', () => gitx.clone(url, { ref: 'nope' }), 'no branch or tag nope'],
    ['no such commit', () => gitx.clone(url, { ref: '0'.repeat(40) }), 'not among what was cloned'],
    ['no such repository', () => gitx.clone(`${server.url}/acme/none`), '404'],
    ['a depth of 0', () => gitx.clone(url, { depth: 0 }), 'depth must be'],
    ['not a repository', () => gitx.log('/nowhere'), 'not a repository'],
  ])('%s is refused', async (_, attempt, words) => {
    await expect(attempt()).rejects.toThrow(words)
  })

  it('a review in one chain, as on the front page', async () => {
    const [prNumber, repo] = [7, url]
    const review = await trigger`review PR ${prNumber} in ${repo}`
      .map(async (pr) => {
        const repo = await gitx.clone(pr.repository)
        const files = await fsx.glob(repo.path, '**/*.ts')
        return { pr, files }
      })
      .map(({ files }) => trigger`analyze ${files.length} files for issues`)
      .map((analysis) => trigger`post review comments on ${analysis}`)
    expect(review).toEqual({ posted: { issues: 4 } })
  })
})

describe('the routes of files', () => {
  const put = (path: string, body: string): ReturnType<typeof http> =>
    http('PUT', `/api/v1/files/content?path=${encodeURIComponent(path)}`, body)

  it.each<[string, string, unknown, number, string]>([
    ['GET', '/api/v1/files/content', undefined, 400, 'path'],
    ['GET', '/api/v1/files/content?path=/none', undefined, 404, 'no file /none'],
    ['GET', '/api/v1/files/entry?path=/none', undefined, 404, 'no file or folder'],
    ['GET', '/api/v1/files?path=/none', undefined, 404, 'no folder'],
    ['GET', '/api/v1/files?limit=0', undefined, 400, 'limit'],
    ['GET', '/api/v1/files?limit=1001', undefined, 400, '1000'],
    ['GET', `/api/v1/files?pattern=${'x'.repeat(513)}`, undefined, 400, '512'],
    ['PUT', `/api/v1/files/content?path=${'x/'.repeat(65)}`, 'a', 400, '64'],
    ['PUT', '/api/v1/files/content?path=/', 'a', 409, 'folder'],
    ['DELETE', '/api/v1/files', undefined, 400, 'path'],
    ['DELETE', '/api/v1/files?path=/none', undefined, 404, 'no file or folder'],
    ['POST', '/api/v1/files/batch', { files: [] }, 400, 'files'],
    ['POST', '/api/v1/files/batch', { files: [{ path: '/a', content: '***' }] }, 400, 'files.0.content'],
    ['POST', '/api/v1/files/batch', { files: [{ path: '/a/../b', content: 'YQ==' }] }, 400, '..'],
    ['POST', '/api/v1/files/batch', { files: [{ path: '/a' }] }, 400, 'content'],
  ])('%s %s: refused', async (method, path, body, status, words) => {
    const answer = await http(method, path, body)
    expect(answer.body.error).toContain(words)
    expect(answer.status).toBe(status)
  })

  it('a path is a file or a folder', async () => {
    const name = unique('either')
    expect((await put(`/${name}/b`, 'x')).status).toBe(200)
    expect(await put(`/${name}`, 'x')).toMatchObject({
      status: 409,
      body: { error: `/${name} is a folder: a file cannot take its place.` },
    })
    expect(await put(`/${name}/b/c`, 'x')).toMatchObject({
      status: 409,
      body: { error: `/${name}/b is a file: nothing can lie in it.` },
    })
  })

  it('a file too large is refused with the number', async () => {
    const answer = await put('/too-large', 'x'.repeat(33_554_433))
    expect(answer).toMatchObject({ status: 413, body: { error: 'A file is at most 33554432 bytes long.' } })
  })
})
