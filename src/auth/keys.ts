/**
 * Secret keys: prefix + locator(6) + random(14) + check(4). The check is a truncated MAC under the root secret, so a made-up
 * key is refused without touching an object.
 */
import { locatorLength, randomText } from '../contracts/ids.ts'
import type { EnvironmentSlug } from '../contracts/rpc.ts'
import { hmac, sameText, subKey } from './crypto.ts'

const keyPattern = /^tr_(dev|stg|prod|preview)_([0-9a-v]{24})$/
const checkLength = 4
const alphabet = '0123456789abcdefghijklmnopqrstuv'
const tokenAlphabet = '123456789abcdefghijkmnopqrstuvwxyz'

export async function mintSecretKey(root: string, slug: EnvironmentSlug, locator: string): Promise<string> {
  const body = `tr_${slug}_${locator}${randomText(14)}`
  return body + (await check(root, body))
}

/** What the key names when its check is right. Says nothing about whether it is still valid. */
export async function readSecretKey(root: string, key: string): Promise<{ slug: EnvironmentSlug; locator: string } | undefined> {
  const match = keyPattern.exec(key)
  if (!match) return undefined
  const [, slug, tail] = match as unknown as [string, EnvironmentSlug, string]
  if (!sameText(await check(root, key.slice(0, -checkLength)), key.slice(-checkLength))) return undefined
  return { slug, locator: tail.slice(0, locatorLength) }
}

export function mintPersonalToken(): string {
  let text = 'tr_pat_'
  // 34 letters: 256 % 34 leaves a bias of one in 256, harmless at 40 characters.
  for (const byte of crypto.getRandomValues(new Uint8Array(40))) text += tokenAlphabet[byte % tokenAlphabet.length]
  return text
}

export function isPersonalToken(token: string): boolean {
  return /^tr_pat_[0-9a-zA-Z]{40}$/.test(token)
}

async function check(root: string, body: string): Promise<string> {
  const mac = await hmac(await subKey(root, 'key-check'), body)
  return [...mac.slice(0, checkLength)].map((byte) => alphabet[byte & 31]).join('')
}
