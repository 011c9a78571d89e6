/**
 * From a bearer token to who is calling. Verified credentials are kept 30 s in the isolate's memory and wrong ones 10 s, so a
 * warm request calls no object; a key whose check is wrong touches none at all (design §5).
 */
import { isActorToken, readActorToken } from '../auth/actor-token.ts'
import { sameText, sha256Hex } from '../auth/crypto.ts'
import { type PublicClaims, readPublicClaims, verifyPublicToken } from '../auth/jwt.ts'
import { isPersonalToken, readSecretKey } from '../auth/keys.ts'
import type { Env } from '../contracts/bindings.ts'
import { locatorOfEnvironment } from '../contracts/ids.ts'
import type { EnvironmentAccess } from '../contracts/objects.ts'
import type { Caller } from '../contracts/rpc.ts'
import { callDirectory, callProject } from './objects.ts'

export interface EnvironmentPrincipal {
  kind: 'environment'
  access: EnvironmentAccess
  /** Set for public tokens; absent = full access. */
  scopes?: string[]
  oneTimeToken?: string
  run?: { runId: string; lease: number }
}
export interface UserPrincipal {
  kind: 'user'
  userId: string
  email: string
  organizationId: string
  organizationSlug: string
  organizationTitle: string
  createdAt: number
}
export type Principal = EnvironmentPrincipal | UserPrincipal

const goodMs = 30_000
const badMs = 10_000
const cacheSize = 5_000
/** Before the end one request looks again while the others go on with what is known. */
const renewMs = 3_000
/** How often everything was forgotten: what was asked for before is not remembered after. */
let forgotten = 0
const cache = new Map<string, { renewAt: number; until: number; value: unknown }>()

export async function authenticate(env: Env, token: string, branchHeader: string | undefined): Promise<Principal | undefined> {
  const root = env.ROOT_SECRET as string
  if (isPersonalToken(token)) return userOf(env, token)
  if (isActorToken(token)) return actorOf(env, token)
  const branch = branchOf(branchHeader)
  const key = await readSecretKey(root, token)
  if (key) {
    // Remembered by the key itself: a key made a moment ago is looked up, not measured against an older answer.
    const access = await remember(`${token} ${branch ?? ''}`, async () => {
      const found = await locate(env, key.locator, branch)
      return found && [found.apiKey, ...found.previousKeys].some((valid) => sameText(valid, token)) ? found : null
    })
    return access ? { kind: 'environment', access } : undefined
  }
  const claims = readPublicClaims(token)
  const locator = claims && locatorOfEnvironment(claims.sub)
  if (!claims || !locator) return undefined
  const verified = await publicAccess(env, token, locator)
  if (!verified || verified.access.identity.id !== claims.sub) return undefined
  const { access } = verified
  return {
    kind: 'environment',
    access,
    scopes: verified.claims.scopes,
    ...(verified.claims.otu ? { oneTimeToken: await sha256Hex(token) } : {}),
  }
}

/** Environments are remembered by locator for public tokens; a signature that does not fit may mean a newer key. */
async function publicAccess(
  env: Env,
  token: string,
  locator: string,
): Promise<{ access: EnvironmentAccess; claims: PublicClaims } | undefined> {
  const name = `public ${locator}`
  for (;;) {
    const fresh = !cache.has(name)
    const access = await remember(name, () => locate(env, locator, undefined))
    if (!access) return undefined
    const claims = await verifyPublicToken(token, [access.apiKey, ...access.previousKeys], Date.now())
    if (claims) return { access, claims }
    // At most one look a second, however many bad tokens arrive.
    if (fresh || (cache.get(name)?.until ?? 0) > Date.now() + goodMs - 1_000) return undefined
    cache.delete(name)
  }
}

/** For what names an environment under a MAC of its own. */
export function accessByLocator(env: Env, locator: string): Promise<EnvironmentAccess | null> {
  return remember(`public ${locator}`, () => locate(env, locator, undefined))
}

/** After a key epoch was refused, or a branch made: the next request looks again. */
export function forgetAccess(): void {
  forgotten += 1
  cache.clear()
}

export function callerOf(principal: EnvironmentPrincipal): Caller {
  return {
    environment: principal.access.identity,
    keyEpoch: principal.access.keyEpoch,
    ...(principal.run ? { run: principal.run } : {}),
  }
}

/** `x-trigger-branch` as upstream cleans it (api-surface.md §2.2). */
export function branchOf(header: string | undefined): string | undefined {
  if (!header) return undefined
  const name = header.replace(/^refs\/(heads|remotes|tags|pull|merge|release)\//, '')
  return name === '' || name.startsWith('refs/') ? undefined : name
}

async function actorOf(env: Env, token: string): Promise<UserPrincipal | undefined> {
  const userId = await readActorToken(env.ROOT_SECRET as string, token, Date.now())
  const user = userId && (await remember(`user ${userId}`, () => callDirectory(env, (directory) => directory.userById(userId))))
  return user ? { kind: 'user', ...user } : undefined
}

async function userOf(env: Env, token: string): Promise<UserPrincipal | undefined> {
  const hash = await sha256Hex(token)
  const user = await remember(`pat ${hash}`, () => callDirectory(env, (directory) => directory.userByToken(hash)))
  return user ? { kind: 'user', ...user } : undefined
}

async function locate(env: Env, locator: string, branch: string | undefined): Promise<EnvironmentAccess | null> {
  const place = await callDirectory(env, (directory) => directory.locate(locator))
  if (!place) return null
  return callProject(env, place.projectId, (project) => project.environmentByLocator(locator, branch))
}

/**
 * Only what is known is shared, never a promise: one that belongs to another request hangs when that request is gone first, and
 * what runs after it cannot read its own request's body.
 */
async function remember<T>(name: string, load: () => Promise<T | null>): Promise<T | null> {
  const now = Date.now()
  const known = cache.get(name)
  if (known && known.until > now) {
    if (known.renewAt > now) return known.value as T | null
    known.renewAt = known.until
  }
  const generation = forgotten
  const value = await load()
  if (generation !== forgotten) return value
  if (cache.size >= cacheSize)
    for (const [old, entry] of cache) if (entry.until <= now || cache.size >= cacheSize) cache.delete(old)
  const until = Date.now() + (value === null ? badMs : goodMs)
  cache.set(name, { renewAt: until - renewMs, until, value })
  return value
}
