/**
 * What `layer.js` (LinkedBundle.fresh) exports and what the isolate gives to it. The linker writes it, isolate/ calls it.
 * Must stay true: the order of layerParameters is the order of the arguments.
 */
export const layerParameters = [
  'globalThis',
  'self',
  'global',
  'fetch',
  'Date',
  'Math',
  'crypto',
  'performance',
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
  'setImmediate',
  'clearImmediate',
  'queueMicrotask',
  'process',
  'console',
  'AbortSignal',
  'WebSocket',
  'EventSource',
  'caches',
  'navigator',
  'scheduler',
  'MessageChannel',
  'require',
  '__filename',
  '__dirname',
] as const

/** A module namespace: real for shared modules and builtins, made by isolate/instantiate.ts for fresh ones. */
export type Namespace = Record<string, unknown>

/** What a fresh module is called with as its first argument; the namespaces of its `deps` follow in order. */
export interface ModuleContext {
  /** Registers the getters of the module's exports, before its body runs. */
  exports(getters: Record<string, () => unknown>): void
  /** `import(specifier)` of the module. */
  import(specifier: unknown): Promise<Namespace>
  meta: { url: string; filename: string; dirname: string; resolve(specifier: string): string }
}

export interface LayerEntry {
  /** Bundle paths of fresh or shared modules, or specifiers of externals; in source order. */
  deps: string[]
  /** Indices of deps whose names are re-exported with `export *`. */
  stars: number[]
  /** Has top-level await: `run` makes an async generator. */
  isAsync: boolean
  /** Up to its first `yield` it registers the exports, so members of a cycle see hoisted functions; then comes the body. */
  run(context: ModuleContext, ...deps: Namespace[]): { next(): unknown }
}
export type LayerTable = Record<string, LayerEntry>

/** The exports of layer.js. */
export interface LayerModule {
  /** A new instance of the fresh part: nothing of the user's code has run yet when it returns. */
  layer(...scope: unknown[]): { table: LayerTable }
  /** Loads each shared module, by bundle path. Load all of them once, when the isolate starts and the globals are patched. */
  sharedModules: Record<string, () => Promise<Namespace>>
  /** Loads each builtin the fresh modules import, by specifier; scoped stand-ins go on top. */
  externalModules: Record<string, () => Promise<Namespace>>
}
