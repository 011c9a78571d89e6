/**
 * From an uploaded tar.gz to a version that can run: unpack, link, classify, index in an isolate, store by content hash.
 * Nothing here makes a version current; a refusal is a value with the sentence the CLI shows.
 */
import { toHex } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import type { BuildOutcome } from '../contracts/node-host.ts'
import type { BundleIndex, EnvironmentIdentity } from '../contracts/rpc.ts'
import { classifyTasks, type Placement } from './bundle/classify.ts'
import { linkBundle } from './bundle/link.ts'
import { unpackBundle } from './bundle/unpack.ts'
import { bundleKeys, type LoopbackExports, openIsolate } from './isolate-loader.ts'

const indexLimitMs = 60_000
const wayOut = 'To run them, start a Node host for this environment (npx trigger.do node-host) and deploy again.'

export interface DeployInput {
  identity: EnvironmentIdentity
  artifactKey: string
  variables: Record<string, string>
  /** Awaited before the isolate loads a file of the project. */
  onFile: (file: string) => Promise<void>
  /** Asks a Node host for the tasks of the project; nothing when none is there. */
  indexElsewhere: () => Promise<BuildOutcome | undefined>
}
export type DeployResult =
  | { ok: true; bundleHash: string; index: BundleIndex; sdkVersion: string }
  | { ok: false; code: string; message: string }

export async function deployBundle(env: Env, exports: LoopbackExports, input: DeployInput): Promise<DeployResult> {
  const first = await env.BUCKET.get(input.artifactKey)
  if (!first) return { ok: false, code: 'ARTIFACT_MISSING', message: 'The uploaded bundle was not found; run the deploy again.' }
  const digest = new crypto.DigestStream('SHA-256')
  await first.body.pipeTo(digest)
  const hash = toHex(new Uint8Array(await digest.digest))
  const second = await env.BUCKET.get(input.artifactKey)
  if (!second) return { ok: false, code: 'ARTIFACT_MISSING', message: 'The uploaded bundle was not found; run the deploy again.' }
  let loading: string | undefined
  const onFile = async (file: string): Promise<void> => {
    loading = file
    await input.onFile(file)
  }
  try {
    const files = await unpackBundle(second.body)
    const { linked, maps } = linkBundle(files, hash)
    const placement = classifyTasks(files, linked)
    const elsewhere = placement.refusals.length > 0 ? await input.indexElsewhere() : undefined
    if (placement.refusals.length > 0 && !elsewhere) {
      const sentences = placement.refusals.map((refusal) => refusal.sentence)
      return { ok: false, code: 'BUNDLE_NEEDS_NODE', message: [...sentences, wayOut].join('\n') }
    }
    if (elsewhere && !elsewhere.ok) return elsewhere
    const here = { ...linked, files: linked.files.filter(({ entry }) => runsHere(placement, entry)) }
    await Promise.all([
      env.BUCKET.put(bundleKeys.linked(hash), JSON.stringify(here)),
      env.BUCKET.put(bundleKeys.maps(hash), JSON.stringify(maps)),
    ])
    const index: BundleIndex = { tasks: [], queues: [], warnings: [] }
    if (here.files.length > 0) {
      const isolate = openIsolate(env, exports, { environment: input.identity, bundleHash: hash, shard: 'index', recovery: 0 })
      Object.assign(index, await within(isolate.index({ variables: input.variables, onFile }), indexLimitMs, () => loading))
      loading = undefined
    }
    if (elsewhere) {
      index.tasks.push(...elsewhere.tasks.filter(({ filePath }) => !runsHere(placement, filePath)))
      const known = new Set(index.queues.map(({ name }) => name))
      index.queues.push(...elsewhere.queues.filter(({ name }) => !known.has(name)))
    }
    if (index.tasks.length === 0) {
      return {
        ok: false,
        code: 'NO_TASKS',
        message: 'The bundle has no tasks: no file in the `dirs` of trigger.config.ts exports one.',
      }
    }
    // JSON round trip: RPC results may hold stubs' prototypes; what is stored is plain data.
    return {
      ok: true,
      bundleHash: hash,
      index: JSON.parse(JSON.stringify({ ...index, warnings: [...linked.warnings, ...placement.warnings, ...index.warnings] })),
      sdkVersion: linked.sdkVersion,
    }
  } catch (error) {
    const code = (error as { code?: unknown }).code
    const text = error instanceof Error ? error.message : String(error)
    // The runtime notices by itself that nothing can ever happen any more.
    const message = /code had hung/.test(text) ? neverEnds(loading) : text
    const where = loading && !message.includes(loading) ? ` (while loading ${loading})` : ''
    return { ok: false, code: typeof code === 'string' ? code : 'BUNDLE_FAILED', message: cut(message) + where }
  }
}

/** The config and the file that all tasks load decide for all of them. */
function runsHere({ hosts }: Placement, file: string): boolean {
  return [file, 'trigger.config.ts', 'init.ts'].every((each) => hosts[each] !== 'node')
}

/** What somebody reads whose file never finished loading. */
export function neverEnds(file: string | undefined): string {
  return `Loading ${file ?? 'the project'} did not end: its top level waits or loops for ever. Move that work into a task's run function.`
}

async function within<T>(promise: Promise<T>, ms: number, loading: () => string | undefined): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(neverEnds(loading()))), ms)
  })
  try {
    return await Promise.race([promise, limit])
  } finally {
    clearTimeout(timer)
  }
}

function cut(message: string): string {
  return message.length > 4_000 ? `${message.slice(0, 4_000)}…` : message
}
