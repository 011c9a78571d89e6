/** The file tree of an environment: small files to its object, large ones to the bucket first. */
import type { Env } from '../contracts/bindings.ts'
import { OperationError, RpcRefusal } from '../contracts/errors.ts'
import { type FileEntry, type FilePage, type FilesObject, type FolderEntry, fileLimits } from '../contracts/files.ts'
import { randomText } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import { objectNames } from '../contracts/objects.ts'
import type { EnvironmentIdentity, RpcResult } from '../contracts/rpc.ts'
import { readPath } from '../core/files/path.ts'
import { readRegions } from '../core/region/places.ts'
import { repeated, unwrap } from './objects.ts'

export function cleanPath(text: string): string {
  const read = readPath(text)
  if ('refusal' in read) throw new OperationError('INVALID_REQUEST', read.refusal)
  return read.path
}

export async function writeFile(env: Env, identity: EnvironmentIdentity, path: string, bytes: Uint8Array): Promise<FileEntry> {
  if (bytes.byteLength <= fileLimits.inlineBytes)
    return first(await call(env, identity, (files) => files.write([{ path, bytes }])))
  const object = `files/${identity.projectId}/${identity.locator}/${randomText(24)}`
  await repeated(() => filesOf(env, identity).reserve(object))
  await env.BUCKET.put(object, bytes)
  return first(await call(env, identity, (files) => files.write([{ path, object, size: bytes.byteLength }])))
}

/** In their order, some at a time; a refusal leaves the ones before it. */
export async function writeFiles(
  env: Env,
  identity: EnvironmentIdentity,
  all: { path: string; bytes: Uint8Array }[],
): Promise<number> {
  let written = 0
  let group: typeof all = []
  let size = 0
  const flush = async (): Promise<void> => {
    const files = group
    if (files.length > 0) written += (await call(env, identity, (tree) => tree.write(files))).length
    group = []
    size = 0
  }
  for (const file of all) {
    const bytes = file.bytes.byteLength
    if (bytes > fileLimits.inlineBytes) {
      await flush()
      await writeFile(env, identity, file.path, file.bytes)
      written++
      continue
    }
    if (size + bytes > limits.rpcBytes || group.length >= limits.rpcItems) await flush()
    group.push(file)
    size += bytes
  }
  await flush()
  return written
}

export async function readFile(
  env: Env,
  identity: EnvironmentIdentity,
  path: string,
): Promise<FileEntry & { body: Uint8Array | ReadableStream }> {
  const { bytes, object, ...entry } = await call(env, identity, (files) => files.read(path))
  if (bytes) return { ...entry, body: bytes }
  const stored = await env.BUCKET.get(object as string)
  if (!stored) throw new OperationError('NOT_FOUND', `There is no file ${path}.`)
  return { ...entry, body: stored.body }
}

export function statFile(env: Env, identity: EnvironmentIdentity, path: string): Promise<FolderEntry> {
  return call(env, identity, (files) => files.stat(path))
}

export function listFolder(
  env: Env,
  identity: EnvironmentIdentity,
  path: string,
  after: string | undefined,
  limit: number,
): Promise<FilePage<FolderEntry>> {
  return call(env, identity, (files) => files.list(path, after, limit))
}

export function globFiles(
  env: Env,
  identity: EnvironmentIdentity,
  path: string,
  pattern: string,
  options: { after?: string | undefined; limit: number; hidden: boolean },
): Promise<FilePage<FileEntry>> {
  return call(env, identity, (files) => files.glob(path, pattern, options))
}

export async function removeFiles(env: Env, identity: EnvironmentIdentity, path: string, recursive: boolean): Promise<number> {
  let removed = 0
  for (;;) {
    const { removed: some, more } = await call(env, identity, (files) => files.remove(path, recursive)).catch((error) => {
      // The last of a folder went with the call before.
      if (removed > 0 && error instanceof RpcRefusal && error.rpc.status === 404) return { removed: 0, more: false }
      throw error
    })
    removed += some
    if (!more) return removed
  }
}

async function call<T>(env: Env, identity: EnvironmentIdentity, ask: (files: FilesObject) => Promise<RpcResult<T>>): Promise<T> {
  return unwrap(await repeated(() => ask(filesOf(env, identity))))
}

function filesOf(env: Env, identity: EnvironmentIdentity): FilesObject {
  // The first call makes it: near the other objects of its environment.
  const locationHint = identity.region === undefined ? undefined : readRegions(env.REGIONS).get(identity.region)
  const id = env.FILES.idFromName(objectNames.files(identity.locator))
  return env.FILES.get(id, locationHint ? { locationHint } : {}) as unknown as FilesObject
}

function first(entries: FileEntry[]): FileEntry {
  return entries[0] as FileEntry
}
