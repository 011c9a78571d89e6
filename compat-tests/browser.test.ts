/** What people see and what pages do, in Chromium: the login of the CLI, and the client of trigger.do in a page of another origin. */
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { tasks } from '@trigger.dev/sdk'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Browser, findChromium, openBrowser } from './chromium.ts'
import type { Project } from './cli.ts'
import { installClient } from './client-package.ts'
import { endpoints, finished, http, plain, unique, useProject } from './harness.ts'
import { deployFixture } from './platform-process.ts'

const fixture = join(import.meta.dirname, 'fixtures/client')
const executable = findChromium()
if (!executable) console.error('\nNO CHROMIUM HERE, and none could be installed: the scenarios of browser.test.ts did not run.\n')

let browser: Browser
const servers: Server[] = []

async function serve(answer: (path: string) => { type: string; text: string }): Promise<string> {
  const server = createServer((request, response) => {
    const { type, text } = answer(request.url ?? '/')
    response.writeHead(200, { 'content-type': type }).end(text)
  })
  servers.push(server)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe.skipIf(!executable)('in Chromium', { timeout: 120_000 }, () => {
  beforeAll(async () => {
    browser = await openBrowser(executable as string)
  }, 60_000)
  afterAll(async () => {
    await browser?.close()
    for (const server of servers) server.close()
  })

  it('a person approves a login of the CLI, and the browser goes back to it', async () => {
    const codeVerifier = randomBytes(32).toString('base64url')
    const codeChallenge = createHash('sha256').update(codeVerifier).digest('base64url')
    const called: string[] = []
    const cli = await serve((path) => {
      called.push(path)
      return { type: 'text/html', text: '<p id="back">You can close this page.</p>' }
    })
    const body = { codeChallenge, codeChallengeMethod: 'S256', callbackPort: Number(new URL(cli).port) }
    const { url, authorizationCode } = (await http('POST', '/api/v1/authorization-code', body, { authorization: '' })).body
    const { page } = browser
    await page.goto(url)
    expect(await page.evaluate('document.body.innerText')).toMatch(/Log the CLI in[\s\S]*Program/)
    // The field has the focus already.
    await page.type('tr_pat_wrong')
    await page.press('Enter')
    await page.until('document.querySelector("[role=alert]") !== null')
    await page.evaluate('document.querySelector("[name=token]").focus()')
    await page.until('document.hasFocus() && document.activeElement?.tagName === "INPUT"')
    await page.type(endpoints.accessToken)
    await page.press('Enter')
    await page.until('document.querySelector("#back") !== null')
    const approvalCode = new URL(await page.url()).searchParams.get('approval_code')
    expect(called).toContain(`/callback?approval_code=${approvalCode}`)
    const { body: exchanged } = await http(
      'POST',
      '/api/v1/token',
      { authorizationCode, codeVerifier, approvalCode },
      { authorization: '' },
    )
    expect(exchanged.token.token).toMatch(/^tr_pat_/)
  })

  it('copies the code where no CLI waits on the machine', async () => {
    const codeChallenge = createHash('sha256').update(randomBytes(8)).digest('base64url')
    const { url } = (
      await http('POST', '/api/v1/authorization-code', { codeChallenge, codeChallengeMethod: 'S256' }, { authorization: '' })
    ).body
    const { page } = browser
    await page.goto(url)
    await page.until('document.hasFocus() && document.activeElement?.tagName === "INPUT"')
    await page.type(endpoints.accessToken)
    await page.press('Enter')
    await page.until('document.querySelector("#code") !== null')
    expect(await page.evaluate('document.querySelector("#code").innerText')).toMatch(/^\w{26}$/)
  })

  it('the client works in a page of another origin, with a public token', async () => {
    installClient(fixture)
    const project: Project = await deployFixture({ endpoints }, 'client', 'staging')
    const scopes = ['trigger:tasks', 'read:tasks', 'read:runs']
    const token = await http('POST', '/api/v1/auth/jwt', { claims: { scopes } }, { authorization: `Bearer ${project.secretKey}` })
    const { outputFiles } = await build({
      stdin: {
        contents: `import { configure, trigger } from 'trigger.do'
          configure({ baseURL: ${JSON.stringify(endpoints.apiUrl)}, accessToken: ${JSON.stringify(token.body.token)} })
          globalThis.trigger = trigger`,
        resolveDir: fixture,
      },
      bundle: true,
      format: 'esm',
      // The package as it is installed, not the paths of this repository.
      tsconfigRaw: '{}',
      write: false,
    })
    const script = outputFiles[0]?.text as string
    const origin = await serve((path) =>
      path === '/client.js'
        ? { type: 'text/javascript', text: script }
        : { type: 'text/html', text: '<script type="module" src="/client.js"></script>' },
    )
    const { page } = browser
    await page.goto(origin)
    await page.until('typeof trigger === "function"')
    expect(await page.evaluate('(async () => await trigger`send welcome email to ${"ada@example.com"}`)()')).toEqual({
      sent: 'ada@example.com',
    })
    expect(await page.evaluate('trigger.explain`transcode ${"v1"} to 1080p`')).toMatchObject({
      understood: true,
      task: 'transcode-video',
    })
    const updates = `(async () => { const job = trigger\`encode \${'v1'} to all formats\`; const seen = []; for await (const { percent } of job.progress()) seen.push(percent); return seen })()`
    expect((await page.evaluate<number[]>(updates)).at(-1)).toBe(100)
    await expect(page.evaluate('(async () => await trigger`paint the fence`)()')).rejects.toThrow(/NO_MATCH|no task/i)
  })

  it('the React hooks follow a run, its stream and its tag, and trigger a task', async () => {
    useProject(plain)
    const tag = unique('hooked')
    const { id } = await tasks.trigger('streamer', { count: 10, ms: 30 }, { delay: '3s', tags: [tag] })
    const scopes = [`read:runs:${id}`, `read:tags:${tag}`, 'trigger:tasks:add-one']
    const { body } = await http('POST', '/api/v1/auth/jwt', { claims: { scopes } })
    const { outputFiles } = await build({
      stdin: {
        contents: `
          import { createElement as h } from 'react'
          import { createRoot } from 'react-dom/client'
          import { TriggerAuthContext, useRealtimeRun, useRealtimeRunsWithTag, useRealtimeStream, useTaskTrigger } from '@trigger.dev/react-hooks'
          const show = (id, text) => h('p', { id }, String(text))
          function Run() {
            const { run, error } = useRealtimeRun('${id}')
            return show('run', error ?? run?.status)
          }
          function Stream() {
            const { parts, error } = useRealtimeStream('${id}', 'tokens')
            return show('stream', error ?? parts?.map((part) => part.i).join(','))
          }
          function Tagged() {
            const { runs, error } = useRealtimeRunsWithTag('${tag}')
            return show('tagged', error ?? runs.map((run) => run.id + ' ' + run.status).join(','))
          }
          function Trigger() {
            const { submit, handle, error } = useTaskTrigger('add-one')
            return h('button', { id: 'trigger', onClick: () => submit({ n: 1 }) }, String(error ?? handle?.id))
          }
          const value = { baseURL: ${JSON.stringify(endpoints.apiUrl)}, accessToken: ${JSON.stringify(body.token)} }
          createRoot(document.getElementById('app')).render(
            h(TriggerAuthContext.Provider, { value }, h(Run), h(Stream), h(Tagged), h(Trigger)),
          )`,
        resolveDir: import.meta.dirname,
      },
      bundle: true,
      format: 'esm',
      define: { 'process.env.NODE_ENV': '"production"' },
      // The SDK's way to S2, which it never takes here.
      external: ['node:http2'],
      write: false,
    })
    const script = outputFiles[0]?.text as string
    const origin = await serve((path) =>
      path === '/app.js'
        ? { type: 'text/javascript', text: script }
        : { type: 'text/html', text: '<div id="app"></div><script type="module" src="/app.js"></script>' },
    )
    const { page } = browser
    await page.goto(origin)
    const text = (element: string): string => `document.querySelector('#${element}')?.innerText`
    await page.until(`${text('run')} === 'DELAYED'`)
    await page.until(`${text('tagged')} === '${id} DELAYED'`)
    await page.until(`${text('run')} === 'COMPLETED'`)
    await page.until(`${text('stream')} === '0,1,2,3,4,5,6,7,8,9'`)
    await page.until(`${text('tagged')} === '${id} COMPLETED'`)
    await page.evaluate(`document.querySelector('#trigger').click()`)
    await page.until(`/^run_/.test(${text('trigger')})`)
    const triggered = await page.evaluate<string>(text('trigger'))
    expect(await finished(triggered)).toMatchObject({ status: 'COMPLETED', output: { n: 2 } })
  })
})
