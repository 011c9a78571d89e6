/**
 * What one run sees instead of the isolate's globals. The values are given to the bundle as parameters that shadow the
 * global names; the patched globals of shared modules end at the same values (globals.ts).
 */
import { EventEmitter } from 'node:events'
import process from 'node:process'
import { format } from 'node:util'
import type { ActiveRun } from './active-run.ts'
import { ProcessExit, uncaught } from './active-run.ts'
import { type ConsoleSettings, makeConsole } from './console-capture.ts'
import { real } from './operations.ts'
import { makeFetch, type PlatformTarget } from './scoped-fetch.ts'

type Callback = (...args: unknown[]) => unknown
const isolateGlobal = globalThis as unknown as Record<PropertyKey, unknown>
const emitterMethods = [
  'on',
  'once',
  'addListener',
  'prependListener',
  'prependOnceListener',
  'off',
  'removeListener',
  'removeAllListeners',
  'emit',
  'listeners',
  'listenerCount',
  'eventNames',
  'setMaxListeners',
] as const
/** Own name of the SDK's registry: always the isolate's, where a getter finds the run. */
const sdkSymbol = Symbol.for('dev.trigger.ts.api')

/** Node's. Drivers that find a Workers runtime here (pg) ask for packages the CLI, which builds for Node, leaves out. */
const nodeNavigator = Object.freeze({
  userAgent: `Node.js/${process.versions.node.split('.')[0]}`,
  hardwareConcurrency: 1,
  language: 'en-US',
  languages: Object.freeze(['en-US']),
  platform: process.platform,
})

export function makeScope(run: ActiveRun, target: PlatformTarget, settings: ConsoleSettings): Record<string, unknown> {
  const { operations } = run
  const guarded = (callback: Callback): Callback => {
    return (...args) => {
      if (operations.closed) return
      try {
        callback(...args)
      } catch (error) {
        if (!(error instanceof ProcessExit)) run.fail(uncaught(error))
      }
    }
  }
  const scope: Record<string, unknown> = {
    fetch: makeFetch(operations, target),
    setTimeout: (callback: Callback, ms?: number, ...args: unknown[]) => operations.timeout(callback, ms, args),
    clearTimeout: (handle: unknown) => operations.clear(handle),
    setInterval: (callback: Callback, ms?: number, ...args: unknown[]) => operations.interval(callback, ms, args),
    clearInterval: (handle: unknown) => operations.clear(handle),
    setImmediate: (callback: Callback, ...args: unknown[]) => operations.immediate(callback, args),
    clearImmediate: (handle: unknown) => real.clearImmediate(handle as never),
    queueMicrotask: (callback: Callback) => real.queueMicrotask(guarded(callback)),
    console: makeConsole(run.telemetry, settings),
    navigator: nodeNavigator,
    // Node has no such global, and this one could outlive the run and reach another environment.
    caches: undefined,
  }
  scope.process = makeProcess(run, scope.console as Console, guarded)
  const own = makeGlobalThis(scope)
  scope.globalThis = own
  scope.self = own
  scope.global = own
  return scope
}

export function exitRun(run: ActiveRun, code: unknown): never {
  const exitCode = Number(code ?? 0)
  run.fail({
    type: 'INTERNAL_ERROR',
    code: 'TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE',
    message: `Process exited with code ${exitCode}.`,
  })
  throw new ProcessExit(exitCode)
}

function makeProcess(run: ActiveRun, console: Console, guarded: (callback: Callback) => Callback): unknown {
  const stream = (write: (text: string) => void): unknown => ({
    isTTY: false,
    columns: 80,
    write: (chunk: unknown) => {
      const text = typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk as Uint8Array)
      if (text.trim() !== '') write(text.replace(/\n$/, ''))
      return true
    },
    on: () => undefined,
    once: () => undefined,
    end: () => undefined,
  })
  const overrides: Record<PropertyKey, unknown> = {
    env: run.env,
    exit: (code?: unknown) => exitRun(run, code),
    abort: () => exitRun(run, 134),
    kill: () => exitRun(run, 137),
    nextTick: (callback: Callback, ...args: unknown[]) => process.nextTick(guarded(callback), ...args),
    stdout: stream((text) => console.log('%s', text)),
    stderr: stream((text) => console.error('%s', text)),
    emitWarning: (warning: unknown) => console.warn(format(warning)),
    cpuUsage: () => ({ user: 0, system: 0 }),
    title: 'trigger-do-worker',
  }
  // Listeners of one run must not outlive it on the isolate's process. Only rejections nobody handles reach them.
  for (const name of emitterMethods) {
    overrides[name] = (...args: unknown[]): unknown => {
      run.process ??= new EventEmitter()
      const result = (run.process[name] as Callback)(...args)
      return result === run.process ? proxy : result
    }
  }
  const proxy: unknown = new Proxy(overrides, {
    get: (own, key) => {
      if (key in own) return own[key]
      const value = Reflect.get(process, key)
      return typeof value === 'function' ? bound(value as Callback, process) : value
    },
    has: (own, key) => key in own || key in process,
  })
  return proxy
}

const boundFunctions = new WeakMap<Callback, Callback>()

/** Native functions refuse a foreign `this`; classes must stay as they are. */
function bound(fn: Callback, owner: unknown): Callback {
  if (Object.hasOwn(fn, 'prototype')) return fn
  let result = boundFunctions.get(fn)
  if (!result) {
    result = Object.assign(fn.bind(owner), fn) as Callback
    boundFunctions.set(fn, result)
  }
  return result
}

function makeGlobalThis(scope: Record<PropertyKey, unknown>): unknown {
  const lookUp = (key: PropertyKey): unknown => {
    if (Object.hasOwn(scope, key)) return scope[key]
    const value = isolateGlobal[key]
    return typeof value === 'function' ? bound(value as Callback, globalThis) : value
  }
  return new Proxy({} as Record<PropertyKey, unknown>, {
    get: (own, key) => (key === sdkSymbol ? isolateGlobal[key] : key in own ? own[key] : lookUp(key)),
    has: (own, key) => key in own || Object.hasOwn(scope, key) || key in isolateGlobal,
    set: (own, key, value) => {
      if (key === sdkSymbol) isolateGlobal[key] = value
      else own[key] = value
      return true
    },
    // The descriptor is passed on as it is: undici defines a property that can't be configured.
    defineProperty: (own, key, descriptor) => Reflect.defineProperty(own, key, descriptor),
    getOwnPropertyDescriptor: (own, key) => {
      const descriptor = Reflect.getOwnPropertyDescriptor(own, key)
      if (descriptor) return descriptor
      if (!Object.hasOwn(scope, key) && !Object.hasOwn(isolateGlobal, key)) return undefined
      return { value: lookUp(key), writable: true, enumerable: false, configurable: true }
    },
  })
}
