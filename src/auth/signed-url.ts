/** Links that carry their own right: verb, object key, length, type and expiry are all under the MAC (design §5). */
import { hmac, sameText, subKey, toHex } from './crypto.ts'

export interface SignedLink {
  verb: 'GET' | 'PUT' | 'POST'
  key: string
  /** Largest body in bytes. */
  maxBytes: number
  /** Content type the upload must have; empty = any. */
  type: string
  expiresAt: number
}

export async function signLink(root: string, link: SignedLink): Promise<string> {
  const query = new URLSearchParams({
    verb: link.verb,
    max: String(link.maxBytes),
    type: link.type,
    expires: String(link.expiresAt),
    signature: await macOf(root, link),
  })
  return `${link.key.split('/').map(encodeURIComponent).join('/')}?${query}`
}

export async function verifyLink(
  root: string,
  verb: string,
  key: string,
  query: URLSearchParams,
  now: number,
): Promise<SignedLink | undefined> {
  const link: SignedLink = {
    verb: query.get('verb') as SignedLink['verb'],
    key,
    maxBytes: Number(query.get('max')),
    type: query.get('type') ?? '',
    expiresAt: Number(query.get('expires')),
  }
  if (link.verb !== verb || !(link.expiresAt > now)) return undefined
  return sameText(query.get('signature') ?? '', await macOf(root, link)) ? link : undefined
}

async function macOf(root: string, link: SignedLink): Promise<string> {
  const message = [link.verb, link.key, link.maxBytes, link.type, link.expiresAt].join('\n')
  return toHex(await hmac(await subKey(root, 'signed-url'), message))
}
