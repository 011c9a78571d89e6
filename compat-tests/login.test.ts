/** `trigger.dev login`: the CLI as a process, the browser as plain HTTP with its cookies and its headers. */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { endpoints, http } from './harness.ts'

const { apiUrl, accessToken } = endpoints
const home = mkdtempSync(join(tmpdir(), 'trigger-do-login-'))
mkdirSync(join(home, '.config'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

function cli(...args: string[]): Promise<{ code: number | null; output: string }> {
  const entry = resolve(import.meta.dirname, '../node_modules/trigger.dev/dist/esm/index.js')
  const env: NodeJS.ProcessEnv = { ...process.env, HOME: home, XDG_CONFIG_HOME: join(home, '.config'), NO_COLOR: '1' }
  for (const name of ['TRIGGER_SECRET_KEY', 'TRIGGER_ACCESS_TOKEN', 'TRIGGER_API_URL', 'VITEST', 'NODE_ENV', 'CI'])
    delete env[name]
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [entry, ...args], { env, cwd: home, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    child.once('error', fail)
    child.once('close', (code) => done({ code, output: stripVTControlCharacters(output) }))
  })
}

interface Form {
  url: string
  cookie: string
  secret: string
  text: string
  policy: string
}

async function open(url: string): Promise<Form> {
  const response = await fetch(url)
  const text = await response.text()
  return {
    url,
    cookie: (response.headers.get('set-cookie') ?? '').split(';')[0] as string,
    secret: /name="secret" value="(\w+)"/.exec(text)?.[1] ?? '',
    text,
    policy: response.headers.get('content-security-policy') ?? '',
  }
}

const submit = (form: Form, token: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(form.url, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin: apiUrl, cookie: form.cookie, 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams({ secret: form.secret, token }).toString(),
  })

const verifier = (): { codeVerifier: string; codeChallenge: string } => {
  const codeVerifier = randomBytes(32).toString('base64url')
  return { codeVerifier, codeChallenge: createHash('sha256').update(codeVerifier).digest('base64url') }
}
const none = { authorization: '' }
const ask = async (
  codeChallenge: string,
  callbackPort?: number,
): Promise<{ url: string; authorizationCode: string; approval: string }> =>
  (
    await http(
      'POST',
      '/api/v1/authorization-code',
      { codeChallenge, codeChallengeMethod: 'S256', ...(callbackPort ? { callbackPort } : {}) },
      none,
    )
  ).body
const exchange = (body: object): ReturnType<typeof http> => http('POST', '/api/v1/token', body, none)
const codeOf = (page: string): string => /id="code">(\w+)</.exec(page)?.[1] as string

describe('login', () => {
  it('gives the CLI a token of its own, in a profile that its other commands use', { timeout: 120_000 }, async () => {
    const begun = await cli('login', '--api-url', apiUrl, '--no-browser', '--no-wait', '--skip-telemetry')
    const url = new RegExp(`${apiUrl}/login/cli/\\w+`).exec(begun.output)?.[0] as string
    expect(url, begun.output).toBeDefined()
    const form = await open(url)
    // What the CLI says of itself here.
    expect(form.text).toContain('a command line (node)')
    const approved = await submit(form, accessToken)
    expect(approved.status).toBe(200)
    const finished = await cli('login', '--api-url', apiUrl, '--code', codeOf(await approved.text()), '--skip-telemetry')
    expect(finished.code, finished.output).toBe(0)
    const { profiles } = JSON.parse(readFileSync(join(home, '.config/trigger/config.json'), 'utf8'))
    expect(profiles.default).toMatchObject({ apiUrl, accessToken: expect.stringMatching(/^tr_pat_/) })
    expect(profiles.default.accessToken).not.toBe(accessToken)
    const whoami = await cli('whoami', '--skip-telemetry')
    expect([whoami.code, whoami.output]).toEqual([0, expect.stringMatching(/User ID/)])
    expect((await cli('list-profiles')).output).toContain('default')
    const out = await cli('logout', '--skip-telemetry')
    expect(out.code, out.output).toBe(0)
    expect((await cli('whoami', '--skip-telemetry')).output).toContain('You must login first')
  })

  it('sends the browser back to the CLI that waits on its machine', async () => {
    const { codeVerifier, codeChallenge } = verifier()
    const { url, authorizationCode, approval } = await ask(codeChallenge, 45_678)
    expect(approval).toBe('callback')
    const form = await open(url)
    expect(form.policy).toContain("form-action 'self' http://127.0.0.1:45678;")
    const response = await submit(form, accessToken)
    expect(response.status).toBe(303)
    const back = new URL(response.headers.get('location') as string)
    expect(back.origin + back.pathname).toBe('http://127.0.0.1:45678/callback')
    const approvalCode = back.searchParams.get('approval_code') as string
    const { body } = await exchange({ authorizationCode, codeVerifier, approvalCode })
    expect(body.token.token).toMatch(/^tr_pat_/)
    const who = await http('GET', '/api/v2/whoami', undefined, { authorization: `Bearer ${body.token.token}` })
    expect(who.status).toBe(200)
    // Once.
    expect((await exchange({ authorizationCode, codeVerifier, approvalCode })).status).toBe(400)
    expect((await fetch(url)).status).toBe(410)
  })

  it('waits until somebody has approved', async () => {
    const { codeVerifier, codeChallenge } = verifier()
    const { url, authorizationCode } = await ask(codeChallenge)
    expect((await exchange({ authorizationCode })).body).toEqual({ token: null })
    const approvalCode = codeOf(await (await submit(await open(url), accessToken)).text())
    expect((await exchange({ authorizationCode })).body).toEqual({ token: null })
    // Whoever has the address and sees the approval still lacks the secret of the CLI that asked.
    expect((await exchange({ authorizationCode, approvalCode, codeVerifier: verifier().codeVerifier })).status).toBe(400)
    expect((await exchange({ authorizationCode, approvalCode, codeVerifier })).body.token.obfuscatedToken).toMatch(/^tr_pat_.+…/)
  })

  it('is over after five wrong tries, on the page or with the code', async () => {
    const { codeVerifier, codeChallenge } = verifier()
    const { url } = await ask(codeChallenge)
    let form = await open(url)
    for (let attempt = 1; attempt < 5; attempt++) {
      const wrong = await submit(form, attempt % 2 ? 'tr_pat_wrong' : accessToken.replace(/.$/, 'z'))
      expect(wrong.status).toBe(403)
      const text = await wrong.text()
      expect(text).toContain('no personal access token')
      form = { ...form, secret: /name="secret" value="(\w+)"/.exec(text)?.[1] as string }
    }
    expect((await submit(form, 'wrong')).status).toBe(410)
    expect((await submit(form, accessToken)).status).toBe(410)

    const second = await ask(codeChallenge)
    const approvalCode = codeOf(await (await submit(await open(second.url), accessToken)).text())
    const { authorizationCode } = second
    for (let attempt = 0; attempt < 5; attempt++)
      expect((await exchange({ authorizationCode, codeVerifier, approvalCode: `x${attempt}` })).body.error).toContain('not right')
    expect((await exchange({ authorizationCode, codeVerifier, approvalCode })).body.error).toContain('This login is over')
  })

  it('takes the form only from its own page, in the browser that was shown it', async () => {
    const { codeChallenge } = verifier()
    const [{ url }, other] = [await ask(codeChallenge), await ask(codeChallenge)]
    const [form, ofOther] = [await open(url), await open(other.url)]
    expect(form.policy).toContain("default-src 'none'")
    expect(form.policy).toContain("frame-ancestors 'none'")
    expect(form.cookie).toMatch(/^__Host-login=[\da-f]{64}$/)
    for (const [changed, headers] of [
      [form, { origin: 'https://evil.test' }],
      [form, { origin: '' }],
      [{ ...form, cookie: '' }, {}],
      [{ ...form, cookie: ofOther.cookie }, {}],
      [{ ...form, secret: ofOther.secret }, {}],
      [{ ...form, secret: '' }, {}],
    ] as const)
      expect((await submit(changed, accessToken, headers)).status).toBe(403)
    expect((await submit(form, accessToken)).status).toBe(200)
  })

  it('refuses what is no request for one', async () => {
    for (const body of [
      {},
      { codeChallenge: 'short', codeChallengeMethod: 'S256' },
      { codeChallenge: 'a'.repeat(43), codeChallengeMethod: 'plain' },
    ])
      expect((await http('POST', '/api/v1/authorization-code', body, none)).status).toBe(400)
    const low = { codeChallenge: 'a'.repeat(43), codeChallengeMethod: 'S256', callbackPort: 80 }
    expect((await http('POST', '/api/v1/authorization-code', low, none)).status).toBe(400)
    const old = await http('POST', '/api/v1/authorization-code', undefined, none)
    expect([old.status, old.body.error]).toEqual([400, expect.stringContaining('npx trigger.dev@4.8.3 login')])
    expect((await exchange({ authorizationCode: 'nothing' })).status).toBe(400)
    expect((await fetch(`${apiUrl}/login/cli/nothing`)).status).toBe(410)
    const sly = await fetch(`${apiUrl}/api/v1/authorization-code`, {
      method: 'POST',
      headers: { 'user-agent': '<script>alert(1)</script>' },
      body: JSON.stringify({ codeChallenge: 'a'.repeat(43), codeChallengeMethod: 'S256' }),
    })
    const page = await open(((await sly.json()) as { url: string }).url)
    expect(page.text).not.toContain('<script')
    expect(page.text).toContain('&#60;script')
  })
})
