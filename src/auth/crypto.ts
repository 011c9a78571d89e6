/** Sub-keys of the root secret and what is done with them. Every use has its own label, so no MAC is valid for another use. */
import { Buffer } from 'node:buffer'

const encoder = new TextEncoder()
const derived = new Map<string, ArrayBuffer>()
/** Imported HMAC keys by their text: each trigger signs a token. */
const macKeys = new Map<string, CryptoKey>()
const maxMacKeys = 1_000

export async function hmac(key: ArrayBuffer | Uint8Array | string, message: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.sign('HMAC', await macKey(key), encoder.encode(message)))
}

async function macKey(key: ArrayBuffer | Uint8Array | string): Promise<CryptoKey> {
  const known = typeof key === 'string' ? macKeys.get(key) : undefined
  if (known) return known
  const raw = typeof key === 'string' ? encoder.encode(key) : key
  const imported = await crypto.subtle.importKey('raw', raw as BufferSource, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  if (typeof key !== 'string') return imported
  if (macKeys.size >= maxMacKeys) macKeys.clear()
  macKeys.set(key, imported)
  return imported
}

/**
 * HMAC of the label under the root secret; kept in memory, the root changes only with a restart. Kept is the key, not the promise
 * of it: a promise of one request never resolves for another once the first is gone.
 */
export async function subKey(root: string, label: string): Promise<ArrayBuffer> {
  const name = `${label}\n${root}`
  const known = derived.get(name)
  if (known) return known
  const key = (await hmac(root, `trigger.do/${label}`)).buffer as ArrayBuffer
  derived.set(name, key)
  return key
}

export async function sha256Hex(text: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(text))))
}

export async function encrypt(root: string, label: string, text: string): Promise<string> {
  const key = await crypto.subtle.importKey('raw', await subKey(root, label), 'AES-GCM', false, ['encrypt'])
  const iv = crypto.getRandomValues(new Uint8Array(12))
  const sealed = new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, key, encoder.encode(text)))
  return `${toHex(iv)}.${toBase64(sealed)}`
}

export async function decrypt(root: string, label: string, sealed: string): Promise<string> {
  const [iv, data] = sealed.split('.') as [string, string]
  const key = await crypto.subtle.importKey('raw', await subKey(root, label), 'AES-GCM', false, ['decrypt'])
  const ivBytes = Uint8Array.from(iv.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0))
  return new TextDecoder().decode(await crypto.subtle.decrypt({ name: 'AES-GCM', iv: ivBytes }, key, bytes))
}

/** Takes the same time wherever the texts differ. */
export function sameText(left: string, right: string): boolean {
  const [a, b] = [encoder.encode(left), encoder.encode(right)]
  let difference = a.length ^ b.length
  for (let index = 0; index < a.length; index++) difference |= (a[index] as number) ^ (b[index % Math.max(1, b.length)] ?? 0)
  return difference === 0
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

export function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'))
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
