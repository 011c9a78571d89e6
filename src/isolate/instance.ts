/**
 * A new instance of the project's code for one run: the layer's parameters bound to the run's scope, and stand-ins for
 * the builtins that would lead around it.
 */

import * as workers from 'cloudflare:workers'
import nodeModule, { createRequire } from 'node:module'
import timers from 'node:timers'
import { layerParameters, type Namespace } from '../execution/bundle/layer-contract.ts'
import type { ActiveRun } from './active-run.ts'
import { loadedModules } from './core.ts'
import { instantiate } from './instantiate.ts'
import type { Instance } from './project.ts'
import { connect } from './sockets.ts'

const isolateGlobal = globalThis as unknown as Record<string, unknown>
/** The bundle's files live below this path in stack traces and `import.meta.url`. */
const bundleRoot = '/bundle'
const nativeRequire = createRequire('/')

export async function makeInstance(run: ActiveRun): Promise<Instance> {
  const { layer, loaded } = await loadedModules()
  const standIns = makeStandIns(run)
  const external = (specifier: string): Namespace => {
    const found = standIns[bare(specifier)] ?? loaded.externals[specifier]
    if (found) return found
    throw new Error(`Cannot find module '${specifier}'${loaded.missing[specifier] ? `: ${loaded.missing[specifier]}` : ''}`)
  }
  const require = makeRequire(standIns)
  const scope: Record<string, unknown> = {
    ...run.scope,
    require,
    __filename: `${bundleRoot}/index.mjs`,
    __dirname: bundleRoot,
  }
  const { table } = layer.layer(
    ...layerParameters.map((name) => (Object.hasOwn(scope, name) ? scope[name] : isolateGlobal[name])),
  )
  const instance = instantiate({ table, shared: loaded.shared, external })
  return { import: async (path) => instance.evaluate(path) }
}

function makeRequire(standIns: Record<string, Namespace>): (specifier: string) => unknown {
  const require = (specifier: string): unknown => {
    const standIn = standIns[bare(specifier)]
    if (standIn) return standIn.default
    // Everything of the project is in the bundle; the other modules of the isolate are the harness.
    if (nodeModule.isBuiltin(specifier)) return nativeRequire(specifier)
    throw Object.assign(new Error(`Cannot find module '${specifier}'`), { code: 'MODULE_NOT_FOUND' })
  }
  return Object.assign(require, {
    cache: {},
    resolve: (specifier: string) => {
      throw new Error(`require.resolve("${specifier}") is not available: the project is one bundle.`)
    },
  })
}

function bare(specifier: string): string {
  return specifier.startsWith('node:') ? specifier.slice(5) : specifier
}

function makeStandIns(run: ActiveRun): Record<string, Namespace> {
  const { scope } = run
  const standIns: Record<string, Namespace> = {}
  // The ways around import statements lead to the same stand-ins.
  const require = makeRequire(standIns)
  const process = scope.process as Record<string, unknown>
  process.getBuiltinModule = (name: string) => (nodeModule.isBuiltin(name) ? require(name) : undefined)
  const names = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'] as const
  const scopedTimers = Object.fromEntries(names.map((name) => [name, scope[name]]))
  const promises = makeTimerPromises(run)
  return Object.assign(standIns, {
    process: namespace(process),
    console: namespace(scope.console as object),
    timers: namespace({ ...timers, ...scopedTimers, promises }),
    'timers/promises': namespace(promises),
    module: namespace({ ...nodeModule, createRequire: () => require }),
    'cloudflare:sockets': namespace({ connect }),
    'cloudflare:workers': namespace(workerModule),
  })
}

const { DurableObject, RpcStub, RpcTarget, WorkerEntrypoint, WorkflowEntrypoint, waitUntil } = workers
/** Without what ends the isolate or calls the harness: an isolate has other runs in it. */
const workerModule = { DurableObject, RpcStub, RpcTarget, WorkerEntrypoint, WorkflowEntrypoint, waitUntil, env: {}, exports: {} }

/** Named imports are read off the object when they are used, so a plain object serves as well as a namespace. */
function namespace(value: object): Namespace {
  return new Proxy(value as Namespace, {
    get: (target, key) => (key === 'default' ? value : Reflect.get(target, key)),
    has: (target, key) => key === 'default' || Reflect.has(target, key),
  })
}

function makeTimerPromises(run: ActiveRun): Record<string, unknown> {
  const { operations } = run
  const sleep = (ms?: number, value?: unknown, options: { signal?: AbortSignal } = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const { signal } = options
      if (signal?.aborted) return reject(abortError(signal))
      const onAbort = (): void => {
        operations.clear(handle)
        if (signal) reject(abortError(signal))
      }
      const handle = operations.timeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve(value)
      }, ms)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  async function* every(ms?: number, value?: unknown, options?: { signal?: AbortSignal }): AsyncGenerator<unknown> {
    for (;;) yield await sleep(ms, value, options)
  }
  return {
    setTimeout: sleep,
    setImmediate: (value?: unknown) => sleep(0, value),
    setInterval: every,
    scheduler: { wait: (ms: number, options?: { signal?: AbortSignal }) => sleep(ms, undefined, options), yield: () => sleep(0) },
  }
}

function abortError(signal: AbortSignal): Error {
  const error = Object.assign(new Error('The operation was aborted', { cause: signal.reason }), { code: 'ABORT_ERR' })
  error.name = 'AbortError'
  return error
}
