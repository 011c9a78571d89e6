/**
 * Which modules all runs of an isolate share, and their text. A module of the run worker's import closure can hold no code of
 * the user: esbuild groups modules by the entry points that reach them.
 */
import { applyEdits, type Edit } from './fresh.ts'
import { bundleRoot } from './paths.ts'
import type { ModuleShape } from './read-module.ts'
import { isSdk } from './sdk-part.ts'
import { taskOptionEdits } from './task-options.ts'

export type ReadShape = (path: string) => ModuleShape | undefined

/** Everything that is reached from the given modules, themselves included. */
export function closureOf(roots: readonly string[], shapeOf: ReadShape): Set<string> {
  const seen = new Set<string>()
  const open = [...roots]
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (seen.has(path)) continue
    const shape = shapeOf(path)
    if (!shape) continue
    seen.add(path)
    for (const next of [...shape.statics, ...shape.dynamics]) if (next.isBundled) open.push(next.target)
  }
  return seen
}

/**
 * Also shareable: chunks made only of the SDK's packages, whose state hangs off one global symbol, as long as all they
 * import is shared as well (a real module cannot import a module that is made anew per run).
 */
export function addSdkChunks(
  shared: Set<string>,
  candidates: Iterable<string>,
  shapeOf: ReadShape,
  sourcesOf: (path: string) => string[] | undefined,
  isEntry: (path: string) => boolean,
): void {
  const sdk = new Set<string>()
  for (const path of candidates) {
    // A chunk made of no source only passes on names: esbuild's door to a module that is imported dynamically.
    const sources = sourcesOf(path)
    if (!shared.has(path) && !isEntry(path) && sources?.every(isSdk)) sdk.add(path)
  }
  for (let hasChanged = true; hasChanged; ) {
    hasChanged = false
    for (const path of sdk) {
      const shape = shapeOf(path)
      const needs = shape ? [...shape.statics, ...shape.dynamics].filter((next) => next.isBundled) : []
      if (needs.every((next) => shared.has(next.target) || sdk.has(next.target))) continue
      sdk.delete(path)
      hasChanged = true
    }
  }
  for (const path of sdk) shared.add(path)
}

/** The shared text: `import.meta` is undefined in a dynamic Worker, and the isolate's own `require` must stay. */
export function writeSharedModule(shape: ModuleShape, source: string): string {
  const url = JSON.stringify(`file://${bundleRoot}/${shape.path}`)
  const edits: Edit[] = taskOptionEdits(source)
  for (const found of shape.imports) {
    if (found.type !== 'import-meta') continue
    const isUrl = /^\.url\b/.test(source.slice(found.end, found.end + 5))
    edits.push({ start: found.start, end: found.end + (isUrl ? 4 : 0), text: isUrl ? url : `({ url: ${url} })` })
  }
  const { text } = applyEdits(source, edits)
  return text.replace('globalThis.require = createRequire(', 'globalThis.require ??= createRequire(')
}

/** Stands for the one package the CLI leaves out; OpenTelemetry's instrumentation hooks do nothing here. */
export const importInTheMiddle = `export class Hook { unhook() {} }
export function addHook() {}
export function removeHook() {}
export function createAddHookMessageChannel() { return { addHookMessagePort: undefined, waitForAllMessagesAcknowledged: async () => {}, registerOptions: {} } }
export default Hook;
`
