/** `trigger.dev login`: the CLI asks, a browser approves with an existing token, the CLI gets one of its own. */
import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import { approveLogin, exchangeLogin, formSecret, isFormSecret, openLogin, readLogin } from '../operations/login.ts'
import { codePage, formPage, loginHeaders, overPage } from './login-page.ts'
import { originOf, readBody, readText } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'login'
const path = '/login/cli/:code'
const cookieName = '__Host-login'
const bodyBytes = 10_000

const askSchema = z.object({
  codeChallenge: z.string().regex(/^[\w-]{43}$/, 'codeChallenge must be the base64url of a SHA-256'),
  codeChallengeMethod: z.literal('S256'),
  callbackPort: z.number().int().min(1_024).max(65_535).optional(),
})
const tokenSchema = z.object({
  authorizationCode: z.string().min(1).max(200),
  codeVerifier: z.string().min(1).max(200).optional(),
  approvalCode: z.string().min(1).max(200).optional(),
})
const over = 'It was used, has expired, or had too many wrong tries. Run trigger.dev login again.'

export function loginRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/authorization-code',
      operationId: 'askForLogin',
      summary: 'The CLI asks to be logged in; a browser has to approve it',
      response: responses.authorizationCode,
      tag,
      open: true,
      body: askSchema,
    },
    async (c) => {
      const text = await readText(c, bodyBytes)
      // CLIs before 4.8 send nothing and would take a token from whoever approves; nobody should be able to ask for that.
      if (text === '')
        throw new OperationError('INVALID_REQUEST', 'This platform logs in CLI 4.8 and later: npx trigger.dev@4.8.3 login')
      const asked = askSchema.safeParse(jsonOf(text))
      if (!asked.success) throw new OperationError('INVALID_REQUEST', asked.error.issues.map(({ message }) => message).join('; '))
      const { codeChallenge, callbackPort } = asked.data
      const version = c.req.header('x-trigger-cli-version')
      const address = c.req.header('cf-connecting-ip')
      const authorizationCode = await openLogin(c.env, {
        challenge: codeChallenge,
        ...(callbackPort === undefined ? {} : { callbackPort }),
        client: { name: clientName(version, c.req.header('user-agent')), ...(address ? { address } : {}) },
      })
      return c.json({
        url: `${originOf(c)}/login/cli/${authorizationCode}`,
        authorizationCode,
        approval: callbackPort === undefined ? 'paste' : 'callback',
      })
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/token',
      operationId: 'exchangeLogin',
      summary: 'The token of a login that was approved; null until then',
      response: responses.loginToken,
      tag,
      open: true,
      body: tokenSchema,
    },
    async (c) => {
      const { authorizationCode, codeVerifier, approvalCode } = await readBody(c, tokenSchema, { maxBytes: bodyBytes })
      const proof = codeVerifier && approvalCode ? { codeVerifier, approvalCode } : undefined
      const token = await exchangeLogin(c.env, authorizationCode, proof)
      return c.json({ token: token && { token, obfuscatedToken: `${token.slice(0, 11)}…${token.slice(-4)}` } })
    },
  )

  // Pages for people: not part of the document.
  app.get(path, showForm)
  app.post(path, approve)
}

async function showForm(c: Ctx): Promise<Response> {
  const code = c.req.param('code') as string
  const { state, login } = await readLogin(c.env, code)
  if (!login || state !== 'open') return c.body(overPage(over), 410, loginHeaders())
  const cookie = hex(32)
  const form = { client: login.client, asked: since(login.createdAt), secret: await formSecret(c.env, cookie, code) }
  return c.body(formPage(form), 200, { ...loginHeaders(login.callbackPort), 'set-cookie': setCookie(cookie) })
}

async function approve(c: Ctx): Promise<Response> {
  const code = c.req.param('code') as string
  const form = new URLSearchParams(await readText(c, limits.tokenCreateBodyBytes))
  const cookie = new RegExp(`(?:^|; )${cookieName}=([\\da-f]{64})(?:;|$)`).exec(c.req.header('cookie') ?? '')?.[1]
  const isOurs =
    c.req.header('origin') === originOf(c) &&
    cookie !== undefined &&
    (await isFormSecret(c.env, cookie, code, form.get('secret') ?? ''))
  if (!isOurs)
    return c.body(overPage('The form did not come from this page. Open the address of the login again.'), 403, loginHeaders())
  const approval = await approveLogin(c.env, code, (form.get('token') ?? '').trim())
  if (approval.ok) {
    const { approvalCode, callbackPort } = approval
    if (callbackPort === undefined) return c.body(codePage(approvalCode), 200, loginHeaders())
    const back = `http://127.0.0.1:${callbackPort}/callback?approval_code=${approvalCode}`
    return c.body(null, 303, { ...loginHeaders(callbackPort), location: back })
  }
  const { login } = await readLogin(c.env, code)
  if (!login || approval.state !== 'open') return c.body(overPage(over), 410, loginHeaders())
  const secret = await formSecret(c.env, cookie, code)
  const problem =
    'This is no personal access token of this platform. The one `npm run setup` printed is in .state/endpoints.json on a local platform.'
  const again = { client: login.client, asked: since(login.createdAt), secret, problem }
  return c.body(formPage(again), 403, loginHeaders(login.callbackPort))
}

function setCookie(value: string): string {
  return `${cookieName}=${value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=600`
}

/** Browsers send back what they were told: only what a header can be. */
function clientName(version: string | undefined, agent: string | undefined): string {
  const cli = version && /^[\w.+-]{1,40}$/.test(version) ? `trigger.dev CLI ${version}` : undefined
  return cli ?? (agent ? `a command line (${agent.slice(0, 200)})` : 'a program that does not say its name')
}

function since(at: number): string {
  const seconds = Math.max(0, Math.round((Date.now() - at) / 1_000))
  return seconds < 60 ? 'less than a minute ago' : `${Math.round(seconds / 60)} minutes ago`
}

function hex(bytes: number): string {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
