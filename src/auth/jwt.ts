/** Public access tokens: HS256 under the environment's raw secret key (api-surface.md §2.3). */
import { hmac, sameText, toBase64 } from './crypto.ts'

const issuer = 'https://id.trigger.dev'
const audience = 'https://api.trigger.dev'

export interface PublicClaims {
  sub: string
  pub: true
  scopes: string[]
  otu?: boolean
  exp?: number
  realtime?: { skipColumns?: string[] }
}

/** Unverified: only to learn whose key verifies it. */
export function readPublicClaims(token: string): PublicClaims | undefined {
  const parts = token.split('.')
  if (parts.length !== 3) return undefined
  const claims = readPart(parts[1] as string) as Partial<PublicClaims> | undefined
  return claims?.pub === true && typeof claims.sub === 'string'
    ? ({ ...claims, scopes: claims.scopes ?? [] } as PublicClaims)
    : undefined
}

export async function verifyPublicToken(token: string, secretKeys: string[], now: number): Promise<PublicClaims | undefined> {
  const claims = readPublicClaims(token)
  const [header, payload, signature] = token.split('.') as [string, string, string]
  const head = readPart(header) as { alg?: string } | undefined
  const full = claims as (PublicClaims & { iss?: string; aud?: string | string[] }) | undefined
  if (!full || head?.alg !== 'HS256' || full.iss !== issuer || ![full.aud].flat().includes(audience)) return undefined
  if (typeof full.exp !== 'number' || full.exp * 1000 <= now) return undefined
  if (!Array.isArray(full.scopes) || !full.scopes.every((scope) => typeof scope === 'string')) return undefined
  for (const key of secretKeys) {
    if (sameText(signature, toBase64Url(await hmac(key, `${header}.${payload}`)))) return full
  }
  return undefined
}

export async function signPublicToken(
  secretKey: string,
  claims: PublicClaims,
  lifetimeSeconds: number,
  now: number,
): Promise<string> {
  const iat = Math.floor(now / 1000)
  const header = writePart({ alg: 'HS256' })
  const payload = writePart({ ...claims, iss: issuer, aud: audience, iat, exp: iat + lifetimeSeconds })
  return `${header}.${payload}.${toBase64Url(await hmac(secretKey, `${header}.${payload}`))}`
}

function readPart(part: string): unknown {
  try {
    const binary = atob(part.replace(/-/g, '+').replace(/_/g, '/'))
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0))))
  } catch {
    return undefined
  }
}

function writePart(value: unknown): string {
  return toBase64Url(new TextEncoder().encode(JSON.stringify(value)))
}

function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
}
