/** Links to stored packets, and the objects behind the links, served from our own origin (design §5: stored packets). */
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import { cleanPacketPath } from '../contracts/packets.ts'
import type { Caller } from '../contracts/rpc.ts'
import type { EnvironmentPrincipal } from '../operations/authenticate.ts'
import { openLink, packetOwners, presignPacket } from '../operations/packets.ts'
import { getRun } from '../operations/runs.ts'
import { environmentOf, forbidden, hasScope, linkKey, originOf, resourceOf } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'packets'
const servedTypes = new Set(['application/json', 'application/super+json', 'text/plain'])

export function packetRoutes(app: App): void {
  for (const version of ['v1', 'v2'] as const) {
    route(
      app,
      {
        method: 'put',
        path: `/api/${version}/packets/*`,
        operationId: `createPacketUrl${version.toUpperCase()}`,
        response: version === 'v1' ? responses.presignedUrl : responses.packetUrl,
        summary: 'Where to put a packet',
        tag,
      },
      async (c) => {
        const { caller } = await environmentOf(c)
        const path = packetPath(c, version)
        const presignedUrl = await presignPacket(c.env, caller.environment, originOf(c), 'PUT', path)
        return c.json(version === 'v1' ? { presignedUrl } : { presignedUrl, storagePath: path })
      },
    )
    route(
      app,
      {
        method: 'get',
        path: `/api/${version}/packets/*`,
        operationId: `getPacketUrl${version.toUpperCase()}`,
        response: responses.presignedUrl,
        summary: 'Where a packet is',
        tag,
      },
      async (c) => {
        const { principal, caller } = await environmentOf(c)
        const path = packetPath(c, version)
        if (principal.scopes) await requireOwner(c, principal, caller, path)
        return c.json({ presignedUrl: await presignPacket(c.env, caller.environment, originOf(c), 'GET', path) })
      },
    )
  }

  route(
    app,
    { method: 'get', path: '/packets/signed/*', operationId: 'downloadPacket', summary: 'A stored packet', tag, open: true },
    async (c) => {
      const key = await signedKey(c, 'GET')
      const object = await c.env.BUCKET.get(key)
      if (!object) throw new OperationError('NOT_FOUND', 'Not found')
      const type = object.httpMetadata?.contentType ?? 'application/json'
      return new Response(object.body, {
        headers: {
          'content-type': servedTypes.has(baseType(type)) ? type : 'application/octet-stream',
          'content-length': String(object.size),
          'x-content-type-options': 'nosniff',
          'content-disposition': 'attachment',
          'content-security-policy': 'sandbox',
          'cache-control': 'private, no-store',
        },
      })
    },
  )

  route(
    app,
    { method: 'put', path: '/packets/signed/*', operationId: 'uploadPacket', summary: 'Store a packet', tag, open: true },
    async (c) => {
      const key = await signedKey(c, 'PUT')
      if (Number(c.req.header('content-length') ?? 0) > limits.packetBytes)
        throw new OperationError('TOO_LARGE', 'Request body too large')
      const body = await readBytes(c, limits.packetBytes)
      const type = c.req.header('content-type') ?? 'application/json'
      const known = await c.env.BUCKET.head(key)
      if (known) {
        const digest = await crypto.subtle.digest('MD5', body)
        const same = known.checksums.md5 && equalBytes(known.checksums.md5, digest)
        // A retried upload is fine; other bytes under a signed name are not.
        if (!same)
          throw new OperationError('CONFLICT', 'This packet exists with other content.', {
            headers: { 'x-should-retry': 'false' },
          })
        return c.body(null, 200)
      }
      await c.env.BUCKET.put(key, body, {
        httpMetadata: { contentType: servedTypes.has(baseType(type)) ? type : 'application/octet-stream' },
        onlyIf: { etagDoesNotMatch: '*' },
      })
      return c.body(null, 200)
    },
  )
}

/** A public token gets a packet when it may read one of the runs that refer to it. */
async function requireOwner(c: Ctx, principal: EnvironmentPrincipal, caller: Caller, path: string): Promise<void> {
  for (const id of await packetOwners(c.env, caller, path)) {
    const run = await getRun(c.env, caller, id).catch((error) => {
      if (error instanceof OperationError && error.code === 'NOT_FOUND') return undefined
      throw error
    })
    if (run && hasScope(c, principal, resourceOf(run))) return
  }
  throw forbidden()
}

/** Clients send the path with `%2F` or with literal slashes. */
function packetPath(c: Ctx, version: string): string {
  const raw = new URL(c.req.url).pathname.slice(`/api/${version}/packets/`.length)
  let decoded: string
  try {
    decoded = decodeURIComponent(raw)
  } catch {
    decoded = ''
  }
  const path = cleanPacketPath(decoded)
  if (!path) throw new OperationError('INVALID_REQUEST', 'Invalid packet storage path')
  return path
}

async function signedKey(c: Ctx, verb: string): Promise<string> {
  const url = new URL(c.req.url)
  const key = linkKey(c, '/packets/signed/')
  const link = await openLink(c.env, verb, key, url.searchParams)
  if (!link || !key.startsWith('packets/')) throw new OperationError('FORBIDDEN', 'The link is not valid or has expired.')
  return key
}

async function readBytes(c: Ctx, maxBytes: number): Promise<ArrayBuffer> {
  const buffer = await c.req.raw.arrayBuffer()
  if (buffer.byteLength > maxBytes) throw new OperationError('TOO_LARGE', 'Request body too large')
  return buffer
}

function baseType(type: string): string {
  return (type.split(';')[0] as string).trim().toLowerCase()
}

function equalBytes(left: ArrayBuffer, right: ArrayBuffer): boolean {
  const [a, b] = [new Uint8Array(left), new Uint8Array(right)]
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
