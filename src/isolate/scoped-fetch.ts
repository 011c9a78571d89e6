/**
 * The `fetch` a run sees. Requests to the platform's own API go over RPC, with the run's authority; all others leave
 * through the loader's egress. Works without a `this`, and supports what workerd's fetch refuses.
 */
import type { RunPlatform } from './attachment.ts'
import { type Operations, real } from './operations.ts'

const nullBodyStatuses = new Set([101, 204, 205, 304])
const maxPlatformBody = 4 * 1024 * 1024

export interface PlatformTarget {
  /** Origin and path prefix of TRIGGER_API_URL, without a slash at the end. */
  base: URL | undefined
  platform: RunPlatform | undefined
}

export function platformTarget(apiUrl: string | undefined, platform: RunPlatform | undefined): PlatformTarget {
  if (!apiUrl || !URL.canParse(apiUrl)) return { base: undefined, platform }
  const base = new URL(apiUrl)
  base.pathname = base.pathname.replace(/\/+$/, '')
  return { base, platform }
}

export function makeFetch(operations: Operations, target: PlatformTarget): typeof fetch {
  const scoped = (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const request = input instanceof Request ? input : undefined
    const url = request ? request.url : String(input)
    const method = (init?.method ?? request?.method ?? 'GET').toUpperCase()
    return operations.issue(`fetch:${method} ${url}`, () => {
      const path = platformPath(url, target.base)
      if (path !== undefined) return askPlatform(target.platform, path, method, request, init)
      return leave(input, request, init, operations.signal)
    })
  }
  return scoped as typeof fetch
}

/** The path below TRIGGER_API_URL, or undefined when the address is somewhere else. */
function platformPath(address: string, base: URL | undefined): string | undefined {
  if (!base || !address.startsWith(base.origin)) return undefined
  const url = new URL(address)
  const prefix = base.pathname === '/' ? '' : base.pathname
  if (url.origin !== base.origin || !(prefix === '' || url.pathname === prefix || url.pathname.startsWith(`${prefix}/`))) {
    return undefined
  }
  return (url.pathname.slice(prefix.length) || '/') + url.search
}

async function askPlatform(
  platform: RunPlatform | undefined,
  path: string,
  method: string,
  request: Request | undefined,
  init: RequestInit | undefined,
): Promise<Response> {
  if (!platform) throw new TypeError('fetch failed: the platform API can only be called while a run executes')
  const signal = init?.signal ?? request?.signal
  if (signal?.aborted) throw signal.reason
  const headers = new Headers(init?.headers ?? request?.headers)
  const body = await readBody(init, request, headers)
  const size = typeof body === 'string' ? body.length : (body?.byteLength ?? 0)
  if (size > maxPlatformBody) throw new TypeError('fetch failed: the request body is larger than 4 MiB')
  const answer = await untilAborted(platform.fetch({ method, path, headers: [...headers], body }), signal)
  const empty = nullBodyStatuses.has(answer.status)
  return new Response(empty ? null : answer.body, { status: answer.status, headers: answer.headers })
}

/** Streams (the SDK sends batch items as NDJSON) are read to their end: RPC takes text or bytes. */
async function readBody(
  init: RequestInit | undefined,
  request: Request | undefined,
  headers: Headers,
): Promise<string | ArrayBuffer | undefined> {
  const given = init?.body
  if (typeof given === 'string') {
    if (!headers.has('content-type')) headers.set('content-type', 'text/plain;charset=UTF-8')
    return given
  }
  const source = given ? new Response(given as BodyInit) : request?.body ? request : undefined
  if (!source) return undefined
  const type = source.headers.get('content-type')
  if (type && !headers.has('content-type')) headers.set('content-type', type)
  const isText = /json|text\/|urlencoded/.test(headers.get('content-type') ?? '')
  const isEncoded = headers.has('content-encoding')
  return isText && !isEncoded ? source.text() : source.arrayBuffer()
}

async function leave(
  input: RequestInfo | URL,
  request: Request | undefined,
  init: RequestInit | undefined,
  runSignal: AbortSignal,
): Promise<Response> {
  const refuseRedirect = init?.redirect === 'error'
  const given = init?.signal ?? request?.signal ?? undefined
  const signal = given ? AbortSignal.any([given, runSignal]) : runSignal
  let options: RequestInit = { ...init, signal }
  if (init) {
    // Browser settings that libraries pass and workerd refuses.
    const { mode, credentials, referrer, referrerPolicy, keepalive, integrity, ...rest } = options as Record<string, unknown>
    options = rest as RequestInit
    if (integrity) options.integrity = integrity as string
    if (refuseRedirect) options.redirect = 'manual'
  }
  const response = await real.fetch(input as RequestInfo, options)
  if (refuseRedirect && response.status >= 300 && response.status < 400 && response.headers.has('location')) {
    await response.body?.cancel()
    throw new TypeError('fetch failed', { cause: new Error('unexpected redirect') })
  }
  return response
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return promise
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
