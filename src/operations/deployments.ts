/** Artifacts and deployments of the CLI's `native_local_bundle` path (cli-engine-protocol.md §9). */
import { signLink } from '../auth/signed-url.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { mintId, randomText } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import type { BuildOutcome } from '../contracts/node-host.ts'
import type { DeploymentRecord } from '../contracts/objects.ts'
import type { EnvironmentIdentity } from '../contracts/rpc.ts'
import type { LoopbackExports } from '../execution/isolate-loader.ts'
import { boundaryOf, readPart } from './multipart.ts'
import { callProject, callTask, unwrap } from './objects.ts'

export type DeployExports = LoopbackExports

export interface Artifact {
  artifactKey: string
  uploadUrl: string
  uploadFields: Record<string, string>
  expiresAt: string
}

export async function createArtifact(
  env: Env,
  identity: EnvironmentIdentity,
  origin: string,
  contentLength: number,
): Promise<Artifact> {
  if (contentLength > limits.artifactBytes) {
    throw new OperationError(
      'INVALID_REQUEST',
      `The bundle is ${Math.ceil(contentLength / 1_048_576)} MiB; at most ${limits.artifactBytes / 1_048_576} MiB can be uploaded. Exclude large files from the build (additionalFiles, node_modules copies).`,
    )
  }
  const artifactKey = `bundles/${identity.locator}/${mintId('upload', identity.locator)}${randomText(6)}.tar.gz`
  const expiresAt = Date.now() + limits.uploadMs
  const link = await signLink(env.ROOT_SECRET as string, {
    verb: 'POST',
    key: artifactKey,
    maxBytes: limits.artifactBytes,
    type: '',
    expiresAt,
  })
  return { artifactKey, uploadUrl: `${origin}/uploads/${link}`, uploadFields: {}, expiresAt: new Date(expiresAt).toISOString() }
}

/** R2 parts must be equal but for the last; the smallest legal part is 5 MiB. */
const partBytes = 8 * 1_048_576

/** Streams the `file` field of the form to R2; memory holds one part. */
export async function storeUpload(
  env: Env,
  key: string,
  maxBytes: number,
  contentType: string,
  body: ReadableStream<Uint8Array>,
): Promise<void> {
  const boundary = boundaryOf(contentType)
  if (!boundary) throw new OperationError('UNSUPPORTED_MEDIA_TYPE', 'The upload must be multipart/form-data.')
  let upload: R2MultipartUpload | undefined
  const parts: R2UploadedPart[] = []
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  let total = 0
  const options = { httpMetadata: { contentType: 'application/gzip' } }
  try {
    for await (const chunk of formFile(body, boundary)) {
      total += chunk.length
      if (total > maxBytes) throw new OperationError('TOO_LARGE', `The upload is larger than ${maxBytes} bytes.`)
      pending.push(chunk)
      pendingBytes += chunk.length
      while (pendingBytes >= partBytes) {
        const all = join(pending, pendingBytes)
        upload ??= await env.BUCKET.createMultipartUpload(key, options)
        parts.push(await upload.uploadPart(parts.length + 1, all.subarray(0, partBytes)))
        pending = [all.subarray(partBytes)]
        pendingBytes = all.length - partBytes
      }
    }
    const rest = join(pending, pendingBytes)
    if (!upload) {
      await env.BUCKET.put(key, rest, options)
      return
    }
    if (rest.length > 0) parts.push(await upload.uploadPart(parts.length + 1, rest))
    await upload.complete(parts)
  } catch (error) {
    await upload?.abort().catch(() => undefined)
    throw error
  }
}

async function* formFile(body: ReadableStream<Uint8Array>, boundary: string): AsyncGenerator<Uint8Array> {
  try {
    yield* readPart(body, boundary, 'file')
  } catch (error) {
    if (error instanceof OperationError) throw error
    throw new OperationError('INVALID_REQUEST', error instanceof Error ? error.message : String(error))
  }
}

function join(chunks: Uint8Array[], length: number): Uint8Array {
  const joined = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    joined.set(chunk, offset)
    offset += chunk.length
  }
  return joined
}

export interface DeployRequest {
  contentHash: string
  artifactKey: string
  runtime?: string
  git?: Record<string, unknown>
  externalId?: string
  /** Build again although the external id is deployed. */
  force: boolean
  skipPromotion: boolean
}

export type DeployOutcome =
  | { ok: true; deployment: DeploymentRecord; isExisting: boolean }
  | { ok: false; code: string; message: string; deploymentId: string }

/** Synchronous: when this answers, the version is indexed and, unless told otherwise, current. */
export async function deploy(
  env: Env,
  exports: LoopbackExports,
  identity: EnvironmentIdentity,
  request: DeployRequest,
): Promise<DeployOutcome> {
  if (!request.artifactKey.startsWith(`bundles/${identity.locator}/`)) {
    throw new OperationError('INVALID_REQUEST', 'The artifact does not belong to this environment.')
  }
  const { externalId } = request
  const existing =
    externalId && !request.force
      ? await callTask(env, identity.locator, (task) => task.deploymentWithExternalId(externalId))
      : null
  if (existing) return { ok: true, deployment: existing, isExisting: true }
  const variables = await variablesOf(env, identity)
  const id = mintId('deployment', identity.locator)
  const created = await callTask(env, identity.locator, (task) =>
    task.createDeployment(identity, {
      id,
      contentHash: request.contentHash,
      ...(request.runtime ? { runtime: request.runtime } : {}),
      ...(request.git ? { git: request.git } : {}),
      ...(externalId ? { externalId } : {}),
      artifactKey: request.artifactKey,
    }),
  )
  const fail = async (code: string, message: string): Promise<DeployOutcome> => {
    await callTask(env, identity.locator, (task) => task.failDeployment(id, { name: code, message }))
    return { ok: false, code, message, deploymentId: id }
  }
  // Text modules of the loader exist in the bundled Worker only, so Node must not meet this import at start.
  const { deployBundle, neverEnds } = await import('../execution/deploy-bundle.ts')
  // The CLI repeats a request that broke off: what took the platform down must not do it again.
  if (created.interrupted) return fail('INDEXING_INTERRUPTED', neverEnds(created.interrupted))
  const onFile = (file: string): Promise<void> => callTask(env, identity.locator, (task) => task.noteLoading(id, file))
  const { version, contentHash } = created
  const indexElsewhere = async (): Promise<BuildOutcome | undefined> =>
    (await callTask(env, identity.locator, (task) => task.hasNodeHost()))
      ? callTask(env, identity.locator, (task) => task.requestBuild({ deploymentId: id, version, contentHash }))
      : undefined
  const { artifactKey } = request
  const result = await deployBundle(env, exports, { identity, artifactKey, variables, onFile, indexElsewhere })
  if (!result.ok) return fail(result.code, result.message)
  const { index, bundleHash, sdkVersion } = result
  const completed = await callTask(env, identity.locator, (task) =>
    task.completeDeployment(identity, id, { index, bundleHash, sdkVersion }, !request.skipPromotion, variables),
  )
  return completed.ok
    ? { ok: true, deployment: completed.value, isExisting: false }
    : fail(completed.error.code, completed.error.message)
}

export async function variablesOf(env: Env, identity: EnvironmentIdentity): Promise<Record<string, string>> {
  const list = await callProject(env, identity.projectId, (project) => project.listVariables(identity.locator))
  return Object.fromEntries(list.map((variable) => [variable.name, variable.value]))
}

export async function promoteDeployment(
  env: Env,
  identity: EnvironmentIdentity,
  version: string,
  allowRollbacks: boolean,
): Promise<DeploymentRecord> {
  const variables = await variablesOf(env, identity)
  return unwrap(await callTask(env, identity.locator, (task) => task.promote(identity, version, variables, allowRollbacks)))
}
