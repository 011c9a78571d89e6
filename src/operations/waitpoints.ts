/** Wait tokens and the waits of a run (api-surface.md §8.10). */
import { hmac, sameText, subKey, toHex } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import { parseInstant, parseKeyTtl } from '../contracts/durations.ts'
import { OperationError, RpcRefusal } from '../contracts/errors.ts'
import { locatorOf, mintId, partitionOf } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import type { EnvironmentObject, WaitpointRecord } from '../contracts/objects.ts'
import type { Caller, EnvironmentIdentity, Packet, RpcResult } from '../contracts/rpc.ts'
import { callerOf } from './authenticate.ts'
import { callDirectory, callEnvironment, callProject } from './objects.ts'
import { storePacket } from './packets.ts'

export interface NewToken {
  timeout?: string | undefined
  idempotencyKey?: string | undefined
  idempotencyKeyTTL?: string | undefined
  tags?: string | string[] | undefined
}

export function createToken(env: Env, caller: Caller, input: NewToken): Promise<{ id: string; isCached: boolean }> {
  const now = Date.now()
  const tags = [input.tags ?? []].flat().filter((tag) => tag.trim() !== '')
  if (tags.length > limits.tags) {
    throw new OperationError(
      'UNPROCESSABLE',
      `Waitpoints can only have ${limits.tags} tags, you're trying to set ${tags.length}.`,
    )
  }
  const timeoutAt = input.timeout === undefined ? undefined : parseInstant(input.timeout, now)
  if (input.timeout !== undefined && timeoutAt === undefined)
    throw new OperationError('INVALID_REQUEST', `Invalid timeout: ${input.timeout}`)
  const keyTtl = parseKeyTtl(input.idempotencyKeyTTL)
  const id = mintId('waitpoint', caller.environment.locator, '0', now)
  return callEnvironment(env, caller.environment.locator, '0', (environment) =>
    environment.createToken(caller, {
      id,
      tags,
      ...(timeoutAt === undefined ? {} : { timeoutAt }),
      ...(input.idempotencyKey ? { idempotencyKey: input.idempotencyKey } : {}),
      ...(input.idempotencyKey && keyTtl ? { idempotencyKeyExpiresAt: now + keyTtl } : {}),
    }),
  )
}

export function getToken(env: Env, caller: Caller, id: string): Promise<WaitpointRecord> {
  return onToken(env, caller, id, (environment) => environment.getToken(caller, id))
}

export async function completeToken(env: Env, caller: Caller, id: string, data: unknown): Promise<{ success: true }> {
  let output: Packet | undefined
  if (data !== undefined) {
    const plain: Packet =
      typeof data === 'string'
        ? { data, dataType: 'text/plain' }
        : { data: JSON.stringify({ json: data }), dataType: 'application/super+json' }
    output = await storePacket(env, caller.environment, `${id}/output`, plain)
  }
  return onToken(env, caller, id, (environment) => environment.completeToken(caller, id, output))
}

export function waitForToken(env: Env, caller: Caller, runId: string, id: string): Promise<{ success: true }> {
  return onToken(env, caller, id, (environment) => environment.waitForToken(caller, runId, id))
}

export function waitForDuration(
  env: Env,
  caller: Caller,
  runId: string,
  input: { date: string; idempotencyKey?: string | undefined; idempotencyKeyTTL?: string | undefined },
): Promise<{ waitUntil: number; waitpointId: string }> {
  if (locatorOf(runId) !== caller.environment.locator) throw new OperationError('NOT_FOUND', 'Run not found')
  const until = parseInstant(input.date, Date.now())
  if (until === undefined) throw new OperationError('INVALID_REQUEST', `Validation error: Invalid date at "date"`)
  const partition = partitionOf(runId) as string
  const waitpointId = mintId('waitpoint', caller.environment.locator, partition)
  const keyTtl = parseKeyTtl(input.idempotencyKeyTTL)
  return callEnvironment(env, caller.environment.locator, partition, (environment) =>
    environment.waitForDuration(caller, runId, {
      waitpointId,
      until,
      ...(input.idempotencyKey ? { idempotencyKey: input.idempotencyKey } : {}),
      ...(input.idempotencyKey && keyTtl ? { idempotencyKeyExpiresAt: Date.now() + keyTtl } : {}),
    }),
  )
}

/** The hash in a token's callback address, under a key derived from the root secret: checked before any object is called. */
export async function callbackHash(env: Env, id: string): Promise<string> {
  return toHex(await hmac(await subKey(env.ROOT_SECRET as string, 'waitpoint-callback'), id))
}

export async function completeByCallback(env: Env, id: string, hash: string, data: unknown): Promise<{ success: true }> {
  if (!sameText(hash, await callbackHash(env, id))) throw new OperationError('UNAUTHENTICATED', "Invalid URL, hash doesn't match")
  const locator = locatorOf(id) as string
  const place = await callDirectory(env, (directory) => directory.locate(locator))
  const access = place && (await callProject(env, place.projectId, (project) => project.environmentByLocator(locator)))
  if (!access) throw new OperationError('NOT_FOUND', 'Waitpoint not found')
  return completeToken(env, callerOf({ kind: 'environment', access }), id, data)
}

export function tokenUrl(env: Env, origin: string, id: string): Promise<string> {
  return callbackHash(env, id).then((hash) => `${origin}/api/v1/waitpoints/tokens/${id}/callback/${hash}`)
}

export function listTokens(
  env: Env,
  identity: EnvironmentIdentity,
  caller: Caller,
  input: Parameters<EnvironmentObject['listTokens']>[1],
): Promise<{ tokens: WaitpointRecord[]; next?: string; previous?: string }> {
  return callEnvironment(env, identity.locator, '0', (environment) => environment.listTokens(caller, input))
}

async function onToken<T>(
  env: Env,
  caller: Caller,
  id: string,
  call: (environment: EnvironmentObject) => Promise<RpcResult<T>>,
): Promise<T> {
  const miss = new OperationError('NOT_FOUND', 'Waitpoint not found')
  if (locatorOf(id) !== caller.environment.locator) throw miss
  try {
    return await callEnvironment(env, caller.environment.locator, partitionOf(id) as string, call)
  } catch (error) {
    if (error instanceof RpcRefusal && error.rpc.status === 404) throw miss
    throw error
  }
}
