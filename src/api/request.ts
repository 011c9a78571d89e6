/** What every route reads from a request: who calls, the body, the headers that choose shapes. */
import type { z } from 'zod'
import { signPublicToken } from '../auth/jwt.ts'
import { mayDo, type Resource, scopeTable } from '../auth/scope-table.ts'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import type { EnvironmentAccess } from '../contracts/objects.ts'
import type { Caller, RunDetail } from '../contracts/rpc.ts'
import { modernApiVersion } from '../contracts/statuses.ts'
import { authenticate, callerOf, type EnvironmentPrincipal, type UserPrincipal } from '../operations/authenticate.ts'
import type { Ctx } from './route.ts'

export interface PlatformCaller {
  access: EnvironmentAccess
  run: { runId: string; lease: number }
}

/** Requests of task code, by RPC from its isolate: authenticated as the run's environment before they get here. */
const fromRuns = new WeakMap<Request, PlatformCaller>()
export function markFromRun(request: Request, caller: PlatformCaller): void {
  fromRuns.set(request, caller)
}
export function runCallerOf(c: Ctx): PlatformCaller | undefined {
  return fromRuns.get(c.req.raw)
}

export interface AuthOptions {
  /** Public tokens of any scope get in, to be told that the route is not built. */
  anyToken?: boolean
  /** Older routes word their 401 differently. */
  words?: 'Invalid or Missing API Key' | 'Invalid or missing API Key'
  /** A preview key without a branch is fine here. */
  parentAllowed?: boolean
}

/** Public tokens get in where the table of scopes has a rule; the handler then calls requireScope. */
export async function environmentOf(
  c: Ctx,
  options: AuthOptions = {},
): Promise<{ principal: EnvironmentPrincipal; caller: Caller }> {
  const inside = fromRuns.get(c.req.raw)
  if (inside) {
    const principal: EnvironmentPrincipal = { kind: 'environment', access: inside.access, run: inside.run }
    return { principal, caller: callerOf(principal) }
  }
  const token = bearer(c)
  if (!token) throw new OperationError('UNAUTHENTICATED', options.words ?? 'Invalid or Missing API key')
  const principal = await authenticate(c.env, token, c.req.header('x-trigger-branch'))
  const isPublic = token.startsWith('ey')
  const takesPublic = options.anyToken || scopeTable[c.get('operation') ?? ''] !== undefined
  if (principal?.kind !== 'environment' || (isPublic && !takesPublic)) {
    throw new OperationError(
      'UNAUTHENTICATED',
      options.words ?? (isPublic && takesPublic ? 'Public Access Token is invalid' : 'Invalid API key'),
    )
  }
  const { identity } = principal.access
  if (identity.slug === 'preview' && !identity.branchName && !options.parentAllowed) {
    throw new OperationError('UNAUTHENTICATED', options.words ?? 'Invalid API key')
  }
  return { principal, caller: callerOf(principal) }
}

export async function userOf(c: Ctx): Promise<UserPrincipal> {
  if (fromRuns.has(c.req.raw)) throw new OperationError('FORBIDDEN', 'Task code cannot use routes of personal access tokens.')
  const token = bearer(c)
  const principal = token ? await authenticate(c.env, token, undefined) : undefined
  if (principal?.kind !== 'user') throw new OperationError('UNAUTHENTICATED', 'Invalid or Missing Access Token')
  return principal
}

export function bearer(c: Ctx): string | undefined {
  // What task code puts in the header never widens its rights.
  if (fromRuns.has(c.req.raw)) return undefined
  const header = c.req.header('authorization')
  return header?.startsWith('Bearer ') ? header.slice(7).trim() || undefined : undefined
}

/** A personal token, or one that speaks for a user: not a key. */
export function isUserToken(token: string | undefined): boolean {
  return /^tr_[pu]at_/.test(token ?? '')
}

/** By the operation's rule in the table of scopes. */
export function requireScope(c: Ctx, principal: EnvironmentPrincipal, resource: Resource = {}): void {
  if (!hasScope(c, principal, resource)) throw forbidden()
}

export function hasScope(c: Ctx, principal: EnvironmentPrincipal, resource: Resource): boolean {
  return mayDo(principal.scopes, scopeTable[c.get('operation') ?? ''], resource)
}

export function forbidden(): OperationError {
  return new OperationError('FORBIDDEN', 'Unauthorized', {
    body: { code: 'unauthorized', param: 'access_token', type: 'authorization' },
  })
}

export function resourceOf(run: Pick<RunDetail, 'id' | 'task' | 'tags' | 'batchId'>): Resource {
  return { run: run.id, task: run.task, tag: run.tags, batch: run.batchId ? [run.batchId] : [] }
}

/** What a signed link names, or nothing when the address cannot be read. */
export function linkKey(c: Ctx, prefix: string): string {
  try {
    return decodeURIComponent(new URL(c.req.url).pathname.slice(prefix.length))
  } catch {
    return ''
  }
}

export function isModern(c: Ctx): boolean {
  return c.req.header('x-trigger-api-version') === modernApiVersion
}

/** The origin the caller reached us by. From inside a run that is the origin tasks were told. */
export function originOf(c: Ctx): string {
  return new URL(c.req.url).origin
}

/** Never by content type: engine calls send JSON as text. The size is what was read, whatever the header says. */
export async function readText(c: Ctx, maxBytes: number = limits.defaultBodyBytes): Promise<string> {
  return new TextDecoder().decode(await readBytes(c, maxBytes))
}

/** With `isCompressed`, the limit holds for what comes out, too. */
export async function readBytes(c: Ctx, maxBytes: number, isCompressed = false): Promise<Uint8Array> {
  const { body } = c.req.raw
  if (!body) return new Uint8Array()
  const announced = Number(c.req.header('content-length') ?? 0)
  const stream = isCompressed ? body.pipeThrough(new DecompressionStream('gzip')) : body
  const reader = (stream as ReadableStream<Uint8Array>).getReader()
  const chunks: Uint8Array[] = []
  let size = announced > maxBytes ? maxBytes + 1 : 0
  for (;;) {
    if (size > maxBytes) {
      await discard(reader)
      throw new OperationError('TOO_LARGE', 'Request body too large')
    }
    const { done, value } = await read(reader, isCompressed)
    if (done) break
    size += value.byteLength
    chunks.push(value)
  }
  if (chunks.length === 1) return chunks[0] as Uint8Array
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

async function read(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  isCompressed: boolean,
): Promise<ReadableStreamReadResult<Uint8Array>> {
  if (!isCompressed) return reader.read()
  return reader.read().catch(() => {
    throw new OperationError('INVALID_REQUEST', 'The body is not what content-encoding says.')
  })
}

/** A client still sending when the connection closes never sees the answer, so a moderate rest is taken in and dropped. */
export async function discard(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  most: number = limits.discardBytes,
): Promise<void> {
  for (let size = 0; size < most; ) {
    const { done, value } = await reader.read()
    if (done) return
    size += value.byteLength
  }
  await reader.cancel()
}

export interface BodyOptions {
  maxBytes?: number
  /** An empty body is `{}`. */
  optional?: boolean
  /** Older routes answer `Invalid request body` with the issues. */
  older?: boolean
}

export async function readBody<S extends z.ZodType>(c: Ctx, schema: S, options: BodyOptions = {}): Promise<z.infer<S>> {
  const text = await readText(c, options.maxBytes)
  let json: unknown
  if (text === '') {
    if (!options.optional) throw new OperationError('INVALID_REQUEST', 'Request body is empty')
    json = {}
  } else {
    try {
      json = JSON.parse(text)
    } catch {
      json = undefined
    }
    // Upstream's own quirk: a falsy value counts as not JSON.
    if (!json) throw new OperationError('INVALID_REQUEST', 'Invalid JSON')
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  if (options.older)
    throw new OperationError('INVALID_REQUEST', 'Invalid request body', { body: { issues: parsed.error.issues } })
  throw new OperationError('INVALID_REQUEST', validationText(parsed.error))
}

export function validationText(error: z.ZodError): string {
  const parts = error.issues.map((issue) => `${issue.message}${issue.path.length > 0 ? ` at "${issue.path.join('.')}"` : ''}`)
  return `Validation error: ${parts.join('; ')}`
}

export function queryError(path: string, message: string): OperationError {
  return new OperationError('INVALID_REQUEST', 'Query Error', { body: { details: [{ code: 'custom', path: [path], message }] } })
}

export async function tokenHeaders(
  principal: EnvironmentPrincipal,
  scopes: string[],
  lifetimeSeconds: number,
  claimScopes = true,
): Promise<Record<string, string>> {
  const claims = { sub: principal.access.identity.id, pub: true as const, scopes }
  // A signature is CPU on the hot path, but it keeps clients whose own signing differs working.
  return {
    'x-trigger-jwt-claims': JSON.stringify(claimScopes ? claims : { sub: claims.sub, pub: true }),
    'x-trigger-jwt': await signPublicToken(principal.access.apiKey, claims, lifetimeSeconds, Date.now()),
  }
}
