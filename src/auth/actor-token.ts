/** Tokens that speak for a user for an hour (`trigger.dev mint-token`): a MAC under the root secret, nothing is stored. */
import { hmac, sameText, subKey, toHex } from './crypto.ts'

export const actorTokenSeconds = 3_600
const prefix = 'tr_uat_'

export function isActorToken(token: string): boolean {
  return token.startsWith(prefix)
}

export async function mintActorToken(root: string, userId: string, now: number): Promise<string> {
  const body = `${userId}.${Math.floor(now / 1_000) + actorTokenSeconds}`
  return `${prefix}${body}.${await macOf(root, body)}`
}

/** The user it speaks for, while it does. */
export async function readActorToken(root: string, token: string, now: number): Promise<string | undefined> {
  const match = /^tr_uat_((user[0-9a-v]+)\.(\d{1,12}))\.([0-9a-f]{64})$/.exec(token)
  if (!match) return undefined
  const [, body, userId, expiresAt, mac] = match as unknown as [string, string, string, string, string]
  if (!sameText(mac, await macOf(root, body)) || Number(expiresAt) * 1_000 <= now) return undefined
  return userId
}

async function macOf(root: string, body: string): Promise<string> {
  return toHex(await hmac(await subKey(root, 'actor-token'), body))
}
