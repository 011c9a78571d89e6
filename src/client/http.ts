/** One request to the API. Only what surely was not done is tried again: a 429, and reads. */
import { type ApiError, errorOf } from './errors.ts'
import type { Connection } from './settings.ts'

/** With it, statuses have the names the SDK shows. */
const apiVersion = '2025-07-16'
const tries = 4
const longestPauseMs = 10_000

export interface RequestOptions {
  body?: unknown
  /** Sent as they are, in place of `body`. */
  bytes?: Uint8Array
  signal?: AbortSignal | undefined
  /** How often a read is tried in all. */
  tries?: number
}

export async function request<T>(connection: Connection, method: string, path: string, options: RequestOptions = {}): Promise<T> {
  return send(connection, method, path, options, async (response) => {
    const text = await response.text()
    return (text === '' ? undefined : JSON.parse(text)) as T
  })
}

/** For answers that are not JSON. */
export function requestBytes(
  connection: Connection,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<Uint8Array> {
  return send(connection, method, path, options, async (response) => new Uint8Array(await response.arrayBuffer()))
}

async function send<T>(
  { baseURL, accessToken, fetch }: Connection,
  method: string,
  path: string,
  { body, bytes, signal, tries: readTries = tries }: RequestOptions,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  const headers: Record<string, string> = {
    authorization: `Bearer ${accessToken}`,
    'x-trigger-api-version': apiVersion,
  }
  if (body !== undefined) headers['content-type'] = 'application/json'
  const init: RequestInit = { method, headers, ...(signal ? { signal } : {}) }
  if (body !== undefined) init.body = JSON.stringify(body)
  if (bytes) init.body = bytes as Uint8Array<ArrayBuffer>
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    let response: Response
    try {
      response = await fetch(baseURL + path, init)
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      if (method !== 'GET' || attempt >= readTries) throw new Error(`${method} ${path}: ${describe(error)}`, { cause: error })
      await pause(backoffMs(attempt), signal)
      continue
    }
    if (response.ok) return read(response)
    const error = errorOf(response.status, await response.text())
    const isTransient = response.status === 429 || (method === 'GET' && response.status >= 500 && response.status !== 501)
    if (!isTransient || attempt >= (method === 'GET' ? readTries : tries)) throw error
    const seconds = Number(response.headers.get('retry-after'))
    await pause(seconds > 0 ? Math.min(seconds * 1000, longestPauseMs) : backoffMs(attempt), signal)
  }
}

/** The value of a stored packet, by its signed link: no key goes there. */
export async function download({ fetch }: Connection, link: string, signal?: AbortSignal): Promise<unknown> {
  const response = await fetch(link, signal ? { signal } : {})
  const text = await response.text()
  if (!response.ok) throw errorOf(response.status, text) as ApiError
  const type = response.headers.get('content-type') ?? ''
  try {
    const value: unknown = JSON.parse(text)
    return type.includes('super+json') ? (value as { json: unknown }).json : value
  } catch {
    return text
  }
}

export function backoffMs(attempt: number): number {
  return Math.min(500 * 2 ** (attempt - 1), longestPauseMs) * (0.75 + Math.random() / 2)
}

export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    const stop = (): void => {
      clearTimeout(timer)
      fail(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      done()
    }, ms)
    if (signal?.aborted) stop()
    else signal?.addEventListener('abort', stop, { once: true })
  })
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
