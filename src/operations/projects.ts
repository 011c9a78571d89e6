/** Projects and environments as the CLI's owner sees them, and the first start. */
import { hmac, sameText, sha256Hex, toHex } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import type { EnvironmentAccess, ProjectSummary } from '../contracts/objects.ts'
import type { EnvironmentSlug } from '../contracts/rpc.ts'
import { forgetAccess, type UserPrincipal } from './authenticate.ts'
import { callDirectory, callProject, callScheduler } from './objects.ts'

const environmentSlugs = new Map<string, EnvironmentSlug>([
  ['dev', 'dev'],
  ['staging', 'stg'],
  ['stg', 'stg'],
  ['prod', 'prod'],
  ['preview', 'preview'],
])

/** The slug a word of the API stands for. */
export function environmentSlug(word: string | undefined): EnvironmentSlug | undefined {
  return environmentSlugs.get(word ?? '')
}

/** A ref nobody has yet becomes the caller's project: an existing trigger.config.ts needs no edit (design §5). */
export async function projectByRef(env: Env, user: UserPrincipal, ref: string): Promise<ProjectSummary> {
  if (!/^proj_[a-z0-9]{1,60}$/i.test(ref)) throw new OperationError('NOT_FOUND', 'Project not found')
  const summary = await callDirectory(env, (directory) => directory.projectByRef(ref, user.userId))
  // The CLI matches this text.
  if (!summary) throw new OperationError('NOT_FOUND', 'Project not found')
  await callProject(env, summary.id, (project) => project.init(summary))
  return summary
}

export async function environmentFor(
  env: Env,
  user: UserPrincipal,
  ref: string,
  slug: EnvironmentSlug,
  branch?: string,
): Promise<EnvironmentAccess> {
  const summary = await projectByRef(env, user, ref)
  const access = await callProject(env, summary.id, (project) => project.environment(slug, user.userId, branch))
  if (!access) throw new OperationError('NOT_FOUND', `Branch not found: ${branch}`)
  return access
}

export async function upsertBranch(
  env: Env,
  user: UserPrincipal,
  ref: string,
  slug: 'preview' | 'dev',
  branch: string,
  git?: Record<string, unknown>,
): Promise<{ id: string }> {
  const summary = await projectByRef(env, user, ref)
  const made = await callProject(env, summary.id, (project) => project.upsertBranch(slug, branch, user.userId, git))
  forgetAccess()
  return made
}

export async function archiveBranch(
  env: Env,
  user: UserPrincipal,
  ref: string,
  slug: 'preview' | 'dev',
  branch: string,
): Promise<{ id: string }> {
  const summary = await projectByRef(env, user, ref)
  const archived = await callProject(env, summary.id, (project) => project.archiveBranch(slug, branch))
  if (!archived) throw new OperationError('NOT_FOUND', 'Branch not found')
  forgetAccess()
  await callScheduler(env, archived.locator, (scheduler) => scheduler.deleteAll())
  return { id: archived.id }
}

export async function createProject(env: Env, user: UserPrincipal, name: string): Promise<ProjectSummary> {
  const summary = await callDirectory(env, (directory) => directory.createProject(user.userId, name))
  await callProject(env, summary.id, (project) => project.init(summary))
  return summary
}

/** Only one there is: renaming makes none. */
export async function renameProject(env: Env, user: UserPrincipal, ref: string, name: string): Promise<ProjectSummary> {
  const summary = await callDirectory(env, (directory) => directory.renameProject(ref, user.userId, name))
  if (!summary) throw new OperationError('NOT_FOUND', 'Project not found')
  await callProject(env, summary.id, (project) => project.init(summary))
  return summary
}

/** A new key. The old one works for another day, or ends at once when it is revoked. */
export async function rotateKey(
  env: Env,
  user: UserPrincipal,
  ref: string,
  slug: EnvironmentSlug,
  revoke: boolean,
): Promise<EnvironmentAccess> {
  const { identity } = await environmentFor(env, user, ref, slug)
  const access = await callProject(env, identity.projectId, (project) => project.regenerateKey(identity.locator, revoke))
  forgetAccess()
  return access as EnvironmentAccess
}

/** Runs wait, triggers are taken, what executes ends. */
export async function pauseEnvironment(
  env: Env,
  user: UserPrincipal,
  ref: string,
  slug: EnvironmentSlug,
  branch: string | undefined,
  paused: boolean,
): Promise<void> {
  if (slug === 'preview' && !branch) {
    throw new OperationError('INVALID_REQUEST', 'Name the branch in the header x-trigger-branch: preview itself has no runs.')
  }
  const { identity } = await environmentFor(env, user, ref, slug, branch)
  await callProject(env, identity.projectId, (project) => project.setPaused(identity.locator, paused))
}

const seedWindowMs = 60_000

/** The signed call of `npm run setup`; there is no open bootstrap route. */
export async function seed(
  env: Env,
  body: string,
  timestamp: string,
  signature: string,
  now: number,
): Promise<{ userId: string }> {
  const expected = toHex(await hmac(env.ROOT_SECRET as string, `${timestamp}.${body}`))
  const at = Number(timestamp)
  if (!sameText(expected, signature) || !(Math.abs(now - (at < 1e12 ? at * 1_000 : at)) <= seedWindowMs)) {
    throw new OperationError('UNAUTHENTICATED', 'The seed call is not signed with this root secret, or is older than 60 s.')
  }
  const input = JSON.parse(body) as { email?: string; accessToken?: string }
  if (!input.email?.includes('@') || !input.accessToken?.startsWith('tr_pat_')) {
    throw new OperationError('INVALID_REQUEST', 'email and accessToken (tr_pat_…) are required.')
  }
  const tokenHash = await sha256Hex(input.accessToken)
  const email = input.email
  return callDirectory(env, (directory) => directory.seed({ tokenHash, email }))
}
