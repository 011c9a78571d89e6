/**
 * Patches the isolate's globals once, before any SDK module is loaded: shared code finds the run it works for here.
 * Must stay true: without a run, everything behaves as the real global does.
 */
import processModule from 'node:process'
import { currentRun, ProcessExit, runs, uncaught } from './active-run.ts'
import { lateMetadata } from './late-metadata.ts'
import { installNodeSockets } from './node-net.ts'
import { real } from './operations.ts'
import { exitRun } from './scope.ts'
import { installOpenTelemetry } from './telemetry.ts'

type AnyFunction = (...args: never[]) => unknown
const isolateGlobal = globalThis as unknown as Record<PropertyKey, unknown>

/** What SDK modules see while they load, outside of any run. */
const baseEnv: Record<string, string | undefined> = { TRIGGER_MACHINE_ID: 'isolate', NODE_ENV: 'production' }
const apiWithoutRun: Record<string, unknown> = { 'run-metadata': lateMetadata }

export function installGlobals(): void {
  Object.defineProperty(globalThis, Symbol.for('dev.trigger.ts.api'), {
    configurable: true,
    get: () => currentRun()?.api ?? apiWithoutRun,
    set: (value: object) => Object.assign(currentRun()?.api ?? apiWithoutRun, value),
  })
  for (const name of ['fetch', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'] as const) redirect(name)
  for (const name of ['clearTimeout', 'clearInterval', 'clearImmediate'] as const) redirect(name)
  patchConsole()
  patchProcess()
  patchRandom()
  patchAbortTimeout()
  installNodeSockets()
  installOpenTelemetry()
  globalThis.addEventListener('unhandledrejection', (event) => {
    const run = currentRun()
    if (!run) return
    event.preventDefault()
    if (run.operations.closed || event.reason instanceof ProcessExit) return
    if (run.process?.emit('unhandledRejection', event.reason, event.promise)) return
    run.fail(uncaught(event.reason))
  })
}

function redirect(name: keyof typeof real): void {
  const own = real[name] as AnyFunction
  isolateGlobal[name] = (...args: never[]): unknown => ((currentRun()?.scope[name] as AnyFunction) ?? own)(...args)
}

function patchConsole(): void {
  const console = real.console
  isolateGlobal.console = new Proxy(console, {
    get: (target, key) => Reflect.get((currentRun()?.scope.console as Console) ?? target, key),
  })
}

function patchProcess(): void {
  const targets = new Set<object>([processModule, isolateGlobal.process as object])
  for (const target of targets) {
    define(target, 'env', {
      get: () => currentRun()?.env ?? baseEnv,
      set: () => {},
    })
    define(target, 'cpuUsage', { value: () => ({ user: 0, system: 0 }), writable: true })
    // The native ones cancel the request the run came with: to the platform that looks like a lost isolate.
    const exit = (code?: unknown): never => {
      const run = currentRun()
      if (run) exitRun(run, code)
      throw new ProcessExit(Number(code ?? 0))
    }
    define(target, 'exit', { value: exit, writable: true })
    define(target, 'reallyExit', { value: exit, writable: true })
    define(target, 'abort', { value: () => exit(134), writable: true })
  }
}

function define(target: object, key: string, descriptor: PropertyDescriptor): void {
  if (!Reflect.defineProperty(target, key, { configurable: true, enumerable: true, ...descriptor })) {
    real.console.warn(`trigger.do: process.${key} could not be replaced`)
  }
}

/** Module scope may not draw random values in workerd; SDK modules do (machine ids). A weak generator serves there. */
function patchRandom(): void {
  let state = 0x9e3779b9
  const weak = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
  const fill = crypto.getRandomValues.bind(crypto)
  const uuid = crypto.randomUUID.bind(crypto)
  const getRandomValues = <T extends ArrayBufferView>(array: T): T => {
    try {
      return fill(array as never) as unknown as T
    } catch (error) {
      if (currentRun()) throw error
      const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
      for (let i = 0; i < bytes.length; i++) bytes[i] = weak()
      return array
    }
  }
  const randomUUID = (): string => {
    try {
      return uuid()
    } catch {
      const hex = [...getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
      return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-8$4-$5')
    }
  }
  Object.defineProperty(crypto, 'getRandomValues', { value: getRandomValues, configurable: true, writable: true })
  Object.defineProperty(crypto, 'randomUUID', { value: randomUUID, configurable: true, writable: true })
}

/** The native one fires its listeners without a context, so a run would lose itself in them. */
function patchAbortTimeout(): void {
  const native = AbortSignal.timeout.bind(AbortSignal)
  AbortSignal.timeout = (ms: number): AbortSignal => {
    const run = currentRun()
    if (!run) return native(ms)
    const controller = new AbortController()
    run.operations.timeout(() => {
      runs.run(run, () => controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')))
    }, ms)
    return controller.signal
  }
}
