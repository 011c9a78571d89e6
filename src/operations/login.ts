/** Logging the CLI in (cli-engine-protocol.md §10). Codes are stored as hashes; a token is made when both proofs are there. */
import { hmac, sameText, sha256Hex, subKey, toHex } from '../auth/crypto.ts'
import { isPersonalToken, mintPersonalToken } from '../auth/keys.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { randomText } from '../contracts/ids.ts'
import type { Login, LoginState } from '../core/login/login.ts'
import { callDirectory } from './objects.ts'

/** 26 characters of 32: 130 bits. */
const codeLength = 26

export async function openLogin(
  env: Env,
  request: { challenge: string; callbackPort?: number; client: Login['client'] },
): Promise<string> {
  const code = randomText(codeLength)
  const id = await sha256Hex(code)
  const taken = await callDirectory(env, (directory) => directory.openLogin(id, request))
  if (!taken)
    throw new OperationError('RATE_LIMITED', 'Too many logins are open; try again in a few minutes.', {
      headers: { 'x-should-retry': 'false' },
    })
  return code
}

export async function readLogin(env: Env, code: string): Promise<{ state: LoginState; login?: Login }> {
  const id = await sha256Hex(code)
  return callDirectory(env, (directory) => directory.readLogin(id))
}

export type Approval = { ok: true; approvalCode: string; callbackPort?: number } | { ok: false; state: LoginState }

/** With the token of the person who approves: the login becomes theirs. A wrong one counts. */
export async function approveLogin(env: Env, code: string, token: string): Promise<Approval> {
  const id = await sha256Hex(code)
  const tokenHash = isPersonalToken(token) ? await sha256Hex(token) : undefined
  const approvalCode = randomText(codeLength)
  const codeHash = await sha256Hex(approvalCode)
  const { state, callbackPort } = await callDirectory(env, (directory) => directory.approveLogin(id, tokenHash, codeHash))
  if (state !== 'approved') return { ok: false, state }
  return { ok: true, approvalCode, ...(callbackPort === undefined ? {} : { callbackPort }) }
}

/** The token, or null while nobody has approved. */
export async function exchangeLogin(
  env: Env,
  code: string,
  proof: { codeVerifier: string; approvalCode: string } | undefined,
): Promise<string | null> {
  const token = mintPersonalToken()
  const [id, tokenHash] = await Promise.all([sha256Hex(code), sha256Hex(token)])
  const given = proof && {
    challenge: await challengeOf(proof.codeVerifier),
    codeHash: await sha256Hex(proof.approvalCode),
  }
  const verdict = await callDirectory(env, (directory) => directory.exchangeLogin(id, given, tokenHash))
  if (verdict === 'token') return token
  if (verdict === 'wait') return null
  throw new OperationError(
    'INVALID_REQUEST',
    verdict === 'wrong'
      ? 'The approval code is not right. Copy it from the page again.'
      : 'This login is over: it was used, has expired or had too many wrong codes. Run `trigger.dev login` again.',
  )
}

async function challengeOf(verifier: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)))
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '')
}

/** What the form must bring back, bound to the cookie of the browser that got the page and to the login it shows. */
export async function formSecret(env: Env, cookie: string, code: string): Promise<string> {
  return toHex(await hmac(await subKey(env.ROOT_SECRET as string, 'login-form'), `${cookie}\n${code}`))
}

export async function isFormSecret(env: Env, cookie: string, code: string, given: string): Promise<boolean> {
  return sameText(given, await formSecret(env, cookie, code))
}
