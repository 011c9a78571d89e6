/** What a Node host and the processes of its runs ask for (cli-engine-protocol.md §12). */
import { mintRunnerToken, readRunnerToken } from '../auth/runner-token.ts'
import type { Env } from '../contracts/bindings.ts'
import type { DequeuedRun } from '../contracts/engine.ts'
import { OperationError } from '../contracts/errors.ts'
import { type Build, type BuildOutcome, nodeHostWorker } from '../contracts/node-host.ts'
import type { EnvironmentAccess } from '../contracts/objects.ts'
import type { Caller } from '../contracts/rpc.ts'
import { accessByLocator } from './authenticate.ts'
import { processVariables } from './dev-sessions.ts'
import { callEnvironment, callTask } from './objects.ts'

/** A question for runs or builds is held open this long. */
const holdMs = 50_000

export function dequeueForHost(env: Env, caller: Caller, pollId: string, most: number): Promise<DequeuedRun[]> {
  return callEnvironment(env, caller.environment.locator, '0', (environment) =>
    environment.dequeueRuns(caller, { worker: nodeHostWorker, pollId, holdMs, most }),
  )
}

export function giveBack(env: Env, caller: Caller, runId: string, on: string, reason: string): Promise<{ requeued: boolean }> {
  return callEnvironment(env, caller.environment.locator, '0', (environment) =>
    environment.giveBackRun(caller, runId, on, reason),
  )
}

export function waitForBuilds(env: Env, caller: Caller, pollId: string): Promise<Build[]> {
  return callTask(env, caller.environment.locator, (task) => task.waitForBuilds(pollId, holdMs))
}

export function stopWaitingForBuilds(env: Env, caller: Caller, pollId: string): Promise<void> {
  return callTask(env, caller.environment.locator, (task) => task.stopWaitingForBuilds(pollId))
}

/** Another host that prepares the same deployment says the same again. */
export async function endBuild(
  env: Env,
  caller: Caller,
  deploymentId: string,
  outcome: BuildOutcome,
): Promise<{ id: string; version: string; contentHash: string }> {
  const { locator } = caller.environment
  await callTask(env, locator, (task) => task.endBuild(deploymentId, outcome))
  const deployment = await callTask(env, locator, (task) => task.getDeployment(deploymentId))
  if (!deployment) throw new OperationError('NOT_FOUND', 'Deployment not found')
  return { id: deployment.worker?.id ?? deployment.id, version: deployment.version, contentHash: deployment.contentHash }
}

export async function bundleOf(env: Env, caller: Caller, deploymentId: string): Promise<R2ObjectBody> {
  const key = await callTask(env, caller.environment.locator, (task) => task.artifactOf(deploymentId))
  const object = key && (await env.BUCKET.get(key))
  if (!object) throw new OperationError('NOT_FOUND', 'The bundle of this deployment is not there; deploy it again.')
  return object
}

export function runnerToken(env: Env, { environment, keyEpoch }: Caller, runId: string): Promise<string> {
  return mintRunnerToken(env.ROOT_SECRET as string, { locator: environment.locator, keyEpoch, runId })
}

/** The process of a run, by the token it was given; for this run only. */
export async function runnerCaller(
  env: Env,
  token: string | undefined,
  runId: string,
): Promise<{ caller: Caller; access: EnvironmentAccess }> {
  const grant = token === undefined ? undefined : await readRunnerToken(env.ROOT_SECRET as string, token)
  const access = grant?.runId === runId ? await accessByLocator(env, grant.locator) : null
  if (!grant || !access) throw new OperationError('UNAUTHENTICATED', 'The token of this runner is not valid for this run.')
  // The epoch of the token, so that a revoked key ends its runners, too.
  return { access, caller: { environment: access.identity, keyEpoch: grant.keyEpoch } }
}

export async function runnerVariables(env: Env, origin: string, access: EnvironmentAccess): Promise<Record<string, string>> {
  const { identity, keyEpoch, apiKey } = access
  return { ...(await processVariables(env, origin, identity, keyEpoch)), TRIGGER_SECRET_KEY: apiKey }
}
