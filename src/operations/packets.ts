/** Payloads and outputs on their way in and out: small ones inline, larger ones in R2 (design D8). */
import { type SignedLink, signLink, verifyLink } from '../auth/signed-url.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import { packetExtension, packetKey } from '../contracts/packets.ts'
import type { Caller, EnvironmentIdentity, Packet } from '../contracts/rpc.ts'
import { callEnvironment } from './objects.ts'

/** The packet of a trigger body: `payloadType` decides how the value is read (api-surface.md §5). */
export function packetOf(payload: unknown, payloadType = 'application/json'): Packet {
  if (payloadType === 'application/store' && (typeof payload !== 'string' || payload === '')) {
    throw new OperationError(
      'INVALID_REQUEST',
      'Validation error: payload must be a storage path when payloadType is application/store',
    )
  }
  if (payload === undefined) return { dataType: payloadType }
  if (payloadType === 'application/json') return { data: JSON.stringify(payload), dataType: payloadType }
  return typeof payload === 'string' ? { data: payload, dataType: payloadType } : { dataType: payloadType }
}

/** Writes a large packet to R2 and answers its reference; a small one comes back as it is. */
export async function storePacket(env: Env, identity: EnvironmentIdentity, name: string, packet: Packet): Promise<Packet> {
  if (packet.data === undefined || packet.dataType === 'application/store') return packet
  if (packet.data.length <= limits.inlinePacketBytes / 3 || byteLength(packet.data) <= limits.inlinePacketBytes) return packet
  const path = `${name}.${packetExtension(packet.dataType)}`
  await env.BUCKET.put(packetKey(identity, path), packet.data, { httpMetadata: { contentType: packet.dataType } })
  return { data: path, dataType: 'application/store' }
}

export async function presignPacket(
  env: Env,
  identity: EnvironmentIdentity,
  origin: string,
  verb: 'GET' | 'PUT',
  path: string,
): Promise<string> {
  return `${origin}/packets/signed/${await signLink(env.ROOT_SECRET as string, {
    verb,
    key: packetKey(identity, path),
    maxBytes: limits.packetBytes,
    type: '',
    expiresAt: Date.now() + limits.presignMs,
  })}`
}

/** Runs that refer to a stored packet: the one its path names, and those that were triggered with it, as replays are. */
export async function packetOwners(env: Env, caller: Caller, path: string): Promise<string[]> {
  const named = /(?:^|\/)(run_[0-9a-v]{26})(?=\/|$)/.exec(path)?.[1]
  const others = await callEnvironment(env, caller.environment.locator, '0', (environment) =>
    environment.packetOwners(caller, path),
  )
  return named ? [named, ...others] : others
}

/** A stored packet as a plain value; SuperJSON is unwrapped to its `json` part. */
export function packetValue(packet: Packet | undefined): unknown {
  if (packet?.data === undefined) return undefined
  try {
    if (packet.dataType === 'application/json') return JSON.parse(packet.data)
    if (packet.dataType === 'application/super+json') {
      const wrapped = JSON.parse(packet.data) as { json?: unknown }
      return wrapped && typeof wrapped === 'object' && 'json' in wrapped ? wrapped.json : wrapped
    }
  } catch {
    return packet.data
  }
  return packet.data
}

export function openLink(env: Env, verb: string, key: string, query: URLSearchParams): Promise<SignedLink | undefined> {
  return verifyLink(env.ROOT_SECRET as string, verb, key, query, Date.now())
}

export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length
}
