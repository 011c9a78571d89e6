/**
 * Evaluates modules of a layer on demand, with the semantics of ES modules: live bindings, cycles, one evaluation each,
 * synchronous unless there is top-level await. One instance belongs to one run; shared modules are the isolate's.
 */
import type { LayerModule, LayerTable, ModuleContext, Namespace } from '../execution/bundle/layer-contract.ts'
import { bundleRoot, isRelative, resolvePath } from '../execution/bundle/paths.ts'

export interface InstantiateInput {
  table: LayerTable
  /** Real namespaces of the shared modules, by bundle path. */
  shared: Record<string, Namespace>
  /** A builtin or stand-in by specifier; throws for one that does not exist here. */
  external(specifier: string): Namespace
}
export interface Instance {
  /** Evaluates a module (bundle path) and what it imports; at once unless something has top-level await. */
  evaluate(path: string): Namespace | Promise<Namespace>
}

interface Evaluation {
  /** First step of a module with top-level await: its exports are registered. */
  started?: Promise<unknown>
  namespace: Namespace
  body?: { next(): unknown }
  state: 'unlinked' | 'linked' | 'running' | 'done' | 'failed'
  error?: unknown
  pending?: Promise<void>
}

export function instantiate({ table, shared, external }: InstantiateInput): Instance {
  const evaluations = new Map<string, Evaluation>()

  function evaluationOf(path: string): Evaluation {
    const known = evaluations.get(path)
    if (known) return known
    const namespace = Object.defineProperty(Object.create(null), Symbol.toStringTag, { value: 'Module' })
    const made: Evaluation = { namespace, state: 'unlinked' }
    evaluations.set(path, made)
    return made
  }

  function namespaceOf(dependency: string): Namespace {
    return table[dependency] ? evaluationOf(dependency).namespace : (shared[dependency] ?? external(dependency))
  }

  /** Registers the exports of a module and of all it imports, before any of them runs. */
  function link(path: string): void {
    const entry = table[path]
    const evaluation = evaluationOf(path)
    if (!entry || evaluation.state !== 'unlinked') return
    evaluation.state = 'linked'
    try {
      const deps = entry.deps.map(namespaceOf)
      evaluation.body = entry.run(contextOf(path, evaluation.namespace), ...deps)
      const started = evaluation.body.next()
      if (entry.isAsync) {
        evaluation.started = Promise.resolve(started as unknown)
        evaluation.started.catch(() => {})
      }
      for (const dependency of entry.deps) link(dependency)
      for (const star of entry.stars) addStar(evaluation.namespace, deps[star] as Namespace)
    } catch (error) {
      evaluation.state = 'failed'
      evaluation.error = error
      throw error
    }
  }

  /** Returns a promise only when there is something to wait for. */
  function run(path: string, ancestors: ReadonlySet<string>): undefined | Promise<void> {
    const entry = table[path]
    if (!entry) return undefined
    const evaluation = evaluationOf(path)
    if (evaluation.state === 'failed') throw evaluation.error
    if (evaluation.state !== 'linked') return evaluation.pending
    evaluation.state = 'running'
    const fail = (error: unknown): never => {
      evaluation.state = 'failed'
      evaluation.error = error
      throw error
    }
    const done = (): void => {
      evaluation.state = 'done'
      evaluation.pending = undefined
    }
    try {
      const waits: Promise<void>[] = []
      const chain = new Set(ancestors).add(path)
      for (const dependency of entry.deps) {
        // Waiting for a module of the same cycle that is above would be waiting for oneself.
        const wait = chain.has(dependency) ? undefined : run(dependency, chain)
        if (wait) waits.push(wait)
      }
      const body = (): undefined | Promise<void> => {
        // Only when the first step is over: a queued step resumes without the run's async context, and the SDK finds no run.
        if (entry.isAsync) return (evaluation.started as Promise<unknown>).then(() => evaluation.body?.next()).then(done)
        evaluation.body?.next()
        done()
        return undefined
      }
      evaluation.pending = waits.length > 0 ? Promise.all(waits).then(body).catch(fail) : body()?.catch(fail)
      evaluation.pending?.catch(() => {})
      return evaluation.pending
    } catch (error) {
      return fail(error)
    }
  }

  function evaluate(path: string): Namespace | Promise<Namespace> {
    if (!table[path]) return namespaceOf(path)
    link(path)
    const { namespace } = evaluationOf(path)
    return run(path, new Set())?.then(() => namespace) ?? namespace
  }

  function contextOf(path: string, namespace: Namespace): ModuleContext {
    const filename = `${bundleRoot}/${path}`
    const locate = (specifier: string): string => {
      const target = specifier.startsWith(`file://${bundleRoot}/`) ? specifier.slice(`file://${bundleRoot}/`.length) : specifier
      return isRelative(target) ? resolvePath(path, target) : target
    }
    return {
      exports(getters): void {
        for (const [name, get] of Object.entries(getters)) Object.defineProperty(namespace, name, { get, enumerable: true })
      },
      import: async (specifier) => evaluate(locate(String(specifier))),
      meta: {
        url: `file://${filename}`,
        filename,
        dirname: filename.slice(0, filename.lastIndexOf('/')),
        resolve: (specifier) => (isRelative(specifier) ? `file://${bundleRoot}/${locate(specifier)}` : specifier),
      },
    }
  }

  return { evaluate }
}

/** `export *`: names the module does not export itself, looked up live; `default` is never among them. */
function addStar(namespace: Namespace, star: Namespace): void {
  for (const name of Object.keys(star)) {
    if (name === 'default' || name in namespace) continue
    Object.defineProperty(namespace, name, { get: () => star[name], enumerable: true })
  }
}

export interface LoadedModules {
  shared: Record<string, Namespace>
  externals: Record<string, Namespace>
  /** Builtins this runtime does not have: specifier → why. Importing one fails the run, not the isolate. */
  missing: Record<string, string>
}

/** Loads what the layer needs from outside, once per isolate, after the globals are patched. */
export async function loadModules(layer: Pick<LayerModule, 'sharedModules' | 'externalModules'>): Promise<LoadedModules> {
  const loaded: LoadedModules = { shared: {}, externals: {}, missing: {} }
  for (const [path, load] of Object.entries(layer.sharedModules)) loaded.shared[path] = await load()
  for (const [specifier, load] of Object.entries(layer.externalModules)) {
    try {
      loaded.externals[specifier] = await load()
    } catch (error) {
      loaded.missing[specifier] = error instanceof Error ? error.message : String(error)
    }
  }
  return loaded
}
