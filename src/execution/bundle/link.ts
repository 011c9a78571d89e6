/**
 * Turns the CLI's build output into what an isolate loads: the SDK's core as shared modules, the project's own modules as one
 * layer that is made anew per run (docs: in-worker execution). Pure: files in, texts out.
 */
import type { LinkedBundle } from '../../contracts/rpc.ts'
import { BundleError, mebibytes } from './bundle-error.ts'
import { writeFreshModule, writeJsonModule, writeLayer } from './fresh.ts'
import { type InlinedModule, inlinedModules } from './inlined.ts'
import { type ModuleShape, readModule } from './read-module.ts'
import { cutSdkPart } from './sdk-part.ts'
import { addSdkChunks, closureOf, importInTheMiddle, writeSharedModule } from './shared.ts'
import type { StackMaps } from './source-map.ts'
import { taskOptionEdits, withoutTaskOptions } from './task-options.ts'
import type { BundleFiles } from './unpack.ts'

/** A dynamic Worker of 50 MB ended the connection without an error. */
const linkedBytesLimit = 40 * 1_048_576
/** The isolate cannot work without these; a minified bundle has lost their names. */
const neededNames = ['TaskExecutor', 'StandardResourceCatalog', 'taskContext', 'runtime']

export interface BuildManifest {
  files: { entry: string; out: string }[]
  configPath: string
  initPath?: string
  runWorker: string
  externals: { name: string; version: string }[]
  packageVersion: string
}
export interface LinkResult {
  linked: LinkedBundle
  /** Stored beside the bundle; only mapStack reads it. */
  maps: StackMaps
  /** Bundle path → text of its source map; the same object as maps.sourceMaps. */
  sourceMaps: Record<string, string>
}

export function linkBundle(files: BundleFiles, hash: string): LinkResult {
  const build = readManifest(files)
  const shapes = new Map<string, ModuleShape | undefined>()
  const shapeOf = (path: string): ModuleShape | undefined => {
    if (!shapes.has(path)) {
      const source = files.get(path)
      const isCode = typeof source === 'string' && !path.endsWith('.json')
      shapes.set(path, isCode ? readModule(path, source) : undefined)
    }
    return shapes.get(path)
  }
  const worker = shapeOf(build.runWorker)
  if (!worker)
    throw new BundleError('NOT_A_BUNDLE', `The bundle lacks ${build.runWorker}; deploy with the trigger.dev CLI 4.5 or newer.`)
  const inlined = inlinedModules(build.runWorker, files.get(build.runWorker) as string)
  if (inlined) files.set(inlined.path, inlined.text)
  const core = coreMap(worker, inlined)

  const shared = closureOf([build.runWorker, ...(inlined ? [inlined.path] : [])], shapeOf)
  shared.delete(build.runWorker)
  const roots = [...build.files.map((file) => file.out), build.configPath, ...(build.initPath ? [build.initPath] : [])]
  for (const root of roots) {
    if (!files.has(root)) throw new BundleError('NOT_A_BUNDLE', `build.json names ${root}, which is not in the upload.`)
  }
  addSdkChunks(
    shared,
    closureOf(roots, shapeOf),
    shapeOf,
    (path) => sourcesOf(files, path),
    (path) => roots.includes(path),
  )
  for (const path of closureOf(roots, shapeOf)) {
    const source = files.get(path)
    if (shared.has(path) || typeof source !== 'string') continue
    // '' stands for builtins and other modules outside of the bundle, which shared modules may import.
    const part = cutSdkPart(path, source, (target) => target === '' || shared.has(target))
    if (!part) continue
    files.set(part.path, part.text)
    files.set(path, part.rest)
    shapes.delete(path)
    for (const found of closureOf([part.path], shapeOf)) shared.add(found)
  }
  const reached = closureOf(roots, shapeOf)

  // The maps are stored elsewhere, under other names.
  const text = (path: string): string => (files.get(path) as string).replace(/\/\/# sourceMappingURL=[^\n]*\s*$/, '')
  const sharedTexts: Record<string, string> = {}
  for (const path of [...shared].sort()) sharedTexts[path] = writeSharedModule(shapeOf(path) as ModuleShape, text(path))
  sharedTexts['import-in-the-middle'] = importInTheMiddle
  sharedTexts['bundle/import-in-the-middle'] = importInTheMiddle

  const freshPaths = [...reached].filter((path) => !shared.has(path)).sort()
  const externals = new Set<string>()
  const jsonPaths = new Set<string>()
  for (const path of freshPaths) {
    for (const next of allImports(shapeOf(path))) {
      if (!next.isBundled) externals.add(next.target)
      else if (next.target.endsWith('.json') && files.has(next.target)) jsonPaths.add(next.target)
    }
  }
  const modules = [
    ...freshPaths.map((path) => ({ path, module: writeFreshModule(shapeOf(path) as ModuleShape, text(path)) })),
    ...[...jsonPaths].map((path) => ({ path, module: writeJsonModule(path, text(path)) })),
  ]
  const layer = writeLayer(modules, [...shared].sort(), [...externals].sort())

  const size = layer.text.length + Object.values(sharedTexts).reduce((sum, source) => sum + source.length, 0)
  if (size > linkedBytesLimit) {
    throw new BundleError(
      'BUNDLE_TOO_LARGE',
      `The bundle's code is ${mebibytes(size)}; an isolate takes at most ${mebibytes(linkedBytesLimit)}. Drop large libraries or run the project on a Node host.`,
    )
  }
  const builtins = new Set(externals)
  for (const path of shared) for (const next of allImports(shapeOf(path))) if (!next.isBundled) builtins.add(next.target)

  const isRead = [...shared, ...freshPaths].some((path) => taskOptionEdits(text(path)).length > 0)
  const linked: LinkedBundle = {
    format: 1,
    hash,
    shared: sharedTexts,
    fresh: layer.text,
    core,
    files: build.files,
    configPath: build.configPath,
    ...(build.initPath ? { initPath: build.initPath } : {}),
    externals: build.externals,
    builtins: [...builtins].sort(),
    sdkVersion: build.packageVersion,
    warnings: isRead ? [] : [withoutTaskOptions],
  }
  const sourceMaps: Record<string, string> = {}
  for (const path of [...freshPaths, ...shared]) {
    const map = files.get(`${path}.map`)
    if (typeof map === 'string') sourceMaps[path] = map
  }
  return { linked, sourceMaps, maps: { sourceMaps, lineOffsets: layer.lineOffsets } }
}

export function readManifest(files: BundleFiles): BuildManifest {
  const raw = files.get('build.json')
  if (typeof raw !== 'string')
    throw new BundleError('NOT_A_BUNDLE', 'The upload has no build.json; deploy it with the trigger.dev CLI.')
  let build: Record<string, unknown>
  try {
    build = JSON.parse(raw)
  } catch {
    throw new BundleError('NOT_A_BUNDLE', 'The build.json of the upload is not JSON.')
  }
  const root = typeof build.outputPath === 'string' ? build.outputPath.replace(/\/*$/, '/') : '/app/'
  const inside = (path: unknown): string =>
    String(path ?? '')
      .replace(root, '')
      .replace(/^\/+/, '')
  if (!Array.isArray(build.files) || typeof build.configPath !== 'string' || typeof build.runWorkerEntryPoint !== 'string') {
    throw new BundleError(
      'NOT_A_BUNDLE',
      'build.json lacks files, configPath or runWorkerEntryPoint; deploy with the trigger.dev CLI.',
    )
  }
  return {
    files: (build.files as { entry: string; out: string }[]).map(({ entry, out }) => ({ entry, out: inside(out) })),
    configPath: inside(build.configPath),
    ...(build.initEntryPoint ? { initPath: inside(build.initEntryPoint) } : {}),
    runWorker: inside(build.runWorkerEntryPoint),
    externals: Array.isArray(build.externals) ? (build.externals as { name: string; version: string }[]) : [],
    packageVersion: String(build.packageVersion ?? build.cliPackageVersion ?? ''),
  }
}

/** The run worker's own imports say in which chunk, and under which name, this SDK version keeps what the isolate needs. */
function coreMap(worker: ModuleShape, inlined: InlinedModule | undefined): LinkedBundle['core'] {
  const core: LinkedBundle['core'] = {}
  for (const name of inlined?.names ?? []) core[name] = { module: inlined?.path ?? '', export: name }
  for (const found of worker.statics) {
    if (!found.isBundled) continue
    for (const { local, name } of found.names) {
      if (name === null) continue
      core[name] = { module: found.target, export: name }
      core[local] ??= { module: found.target, export: name }
    }
  }
  const missing = neededNames.filter((name) => !core[name])
  if (missing.length > 0) {
    throw new BundleError(
      'MINIFIED_BUNDLE',
      `The bundle is minified, so ${missing.join(', ')} cannot be found in it; set build.minify to false in trigger.config.ts and deploy again.`,
    )
  }
  return core
}

function allImports(shape: ModuleShape | undefined): { target: string; isBundled: boolean }[] {
  return shape ? [...shape.statics, ...shape.dynamics] : []
}

function sourcesOf(files: BundleFiles, path: string): string[] | undefined {
  const map = files.get(`${path}.map`)
  if (typeof map !== 'string') return undefined
  try {
    return (JSON.parse(map) as { sources?: string[] }).sources
  } catch {
    return undefined
  }
}
