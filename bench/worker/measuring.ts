/**
 * The Worker with counters around it; only benchmarks start it. Counts what an account is billed for, at the bindings and
 * at the objects' storage, so that the code under measure is the code that is deployed. All objects of a Worker share one
 * isolate locally, and so these counters.
 */

import { env as bindings, type DurableObject } from 'cloudflare:workers'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { DispatchHint, Env } from '../../src/contracts/bindings.ts'
import { locatorOf, partitionOf } from '../../src/contracts/ids.ts'
import type { IsolateRun } from '../../src/contracts/isolate.ts'
import { objectNames } from '../../src/contracts/objects.ts'
import worker, * as classes from '../../src/worker.ts'
import { isolateLab, type LabRequest, remember } from './isolate-lab.ts'

export { Egress, PlatformApi } from '../../src/worker.ts'

type Method = (this: unknown, ...args: unknown[]) => unknown
type Methods = Record<string, Method>

// ---------------------------------------------------------------- counts

const counts = new Map<string, number>()
/** A cursor knows its rows only once it has been read to its end. */
let cursors: { label: string; cursor: SqlStorageCursor<Record<string, SqlStorageValue>> }[] = []

function add(name: string, count = 1): void {
  if (count !== 0) counts.set(name, (counts.get(name) ?? 0) + count)
}

/** Puts a function in front of one method of a native object; the object itself stays. */
function intercept(target: object, name: string, before: (args: unknown[], result: unknown) => unknown): void {
  const original = (target as Methods)[name] as Method
  Object.defineProperty(target, name, {
    configurable: true,
    value: (...args: unknown[]) => before(args, original.apply(target, args)),
  })
}

function countCalls(stub: object, label: string, note?: (name: string, input: unknown) => void): object {
  return new Proxy(stub, {
    get: (target, name) => {
      const member = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        add(`${label}.${String(name)}`)
        note?.(String(name), args[0])
        return (target as Methods)[name as string]?.(...args)
      }
    },
  })
}

const env = bindings as unknown as Env
const namespaces = {
  DIRECTORY: 'DirectoryDO',
  PROJECT: 'ProjectDO',
  TASK: 'TaskDO',
  ENVIRONMENT: 'EnvironmentDO',
  RUN: 'RunDO',
  HISTORY: 'HistoryDO',
  SCHEDULER: 'SchedulerDO',
  FILES: 'FilesDO',
  STREAMS: 'StreamsDO',
} as const
for (const [binding, name] of Object.entries(namespaces))
  intercept(env[binding as keyof typeof namespaces], 'get', (_args, stub) => countCalls(stub as object, `request ${name}`))
intercept(env.LOADER, 'get', (args, isolate) => {
  const original = isolate as { getEntrypoint(...args: unknown[]): object }
  const noteRun = (name: string, input: unknown): void => {
    if (name === 'run' && !String(args[0]).startsWith('lab:'))
      remember(args[1] as Parameters<typeof remember>[0], input as IsolateRun)
  }
  return { getEntrypoint: (...args: unknown[]) => countCalls(original.getEntrypoint(...args), 'isolate', noteRun) }
})
for (const name of ['send', 'sendBatch'])
  intercept(env.DISPATCH, name, (args, result) => {
    add('queue message', name === 'send' ? 1 : [...(args[0] as Iterable<unknown>)].length)
    return result
  })
for (const name of ['put', 'list', 'createMultipartUpload', 'get', 'head', 'delete'])
  intercept(env.BUCKET, name, (_args, result) => {
    add(`bucket ${name}`)
    return result
  })

// ---------------------------------------------------------------- objects

/** Which object the current event belongs to. */
const owner = new AsyncLocalStorage<Activity>()

/** Time during which an object is billed: an event or a promise it waits for is under way, or a timer keeps it from hibernating. */
class Activity {
  private readonly name: string
  private running = 0
  private since = 0
  constructor(name: string) {
    this.name = name
  }
  enter(): void {
    if (this.running++ === 0) this.since = performance.now()
  }
  leave(): void {
    if (--this.running === 0) add(`active ms ${this.name}`, performance.now() - this.since)
  }
  during<T>(result: T): T {
    if (!(result instanceof Promise)) {
      this.leave()
      return result
    }
    const leave = (): void => this.leave()
    result.then(leave, leave)
    return result
  }
}

const timers = new Map<unknown, Activity>()
const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis
globalThis.setTimeout = ((callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
  const activity = owner.getStore()
  if (!activity) return startTimer(callback, ms, ...args)
  activity.enter()
  const handle: unknown = startTimer(() => {
    if (timers.delete(handle)) activity.leave()
    callback(...args)
  }, ms)
  timers.set(handle, activity)
  return handle
}) as typeof setTimeout
globalThis.clearTimeout = ((handle: unknown) => {
  timers.get(handle)?.leave()
  timers.delete(handle)
  stopTimer(handle as never)
}) as typeof clearTimeout

interface Billed {
  new (ctx: DurableObjectState, env: Env): DurableObject<Env>
}

function measured<T extends Billed>(name: string, Base: T): T {
  const activities = new WeakMap<object, Activity>()
  class Measured extends (Base as Billed) {
    constructor(ctx: DurableObjectState, env: Env) {
      const activity = new Activity(name)
      countStorage(name, ctx.storage)
      intercept(ctx, 'waitUntil', (args, result) => {
        activity.enter()
        activity.during(args[0])
        return result
      })
      super(ctx, env)
      activities.set(this, activity)
      add(`created ${name}`)
    }
  }
  for (const method of Object.getOwnPropertyNames(Base.prototype)) {
    const original = (Base.prototype as Methods)[method]
    if (method === 'constructor' || typeof original !== 'function') continue
    const wrapped: Method = function (this: unknown, ...args) {
      const activity = activities.get(this as object)
      // Its own calls of itself are part of the event that made them.
      if (!activity || owner.getStore() === activity) return original.apply(this, args)
      if (method === 'alarm') add(`alarm ${name}`)
      activity.enter()
      return activity.during(owner.run(activity, () => original.apply(this, args)))
    }
    Object.defineProperty(Measured.prototype, method, { value: wrapped, configurable: true, writable: true })
  }
  return Measured as unknown as T
}

function countStorage(name: string, storage: DurableObjectStorage): void {
  intercept(storage.sql, 'exec', (args, cursor) => {
    const label = `${name}: ${statement(String(args[0]))}`
    add(`statement ${label}`)
    cursors.push({ label, cursor: cursor as SqlStorageCursor<Record<string, SqlStorageValue>> })
    return cursor
  })
  // Each is billed as one row written.
  for (const method of ['setAlarm', 'deleteAlarm', 'put', 'delete'])
    intercept(storage, method, (_args, result) => {
      add(`rows written ${name}: ${method}`)
      return result
    })
}

function statement(sql: string): string {
  const words = /^\s*(\w+)(?:\s+OR\s+\w+)?(?:\s+INTO|\s+FROM)?\s+(\w+)/i.exec(sql)
  const verb = words?.[1]?.toUpperCase() ?? '?'
  const table = verb === 'SELECT' ? /\bFROM\s+(\w+)/i.exec(sql)?.[1] : words?.[2]
  return `${verb} ${table ?? ''}`
}

export const DirectoryDO = measured('DirectoryDO', classes.DirectoryDO)
export class EnvironmentDO extends measured('EnvironmentDO', classes.EnvironmentDO) {
  /** What deleting all finished runs writes, and what they take on disk. */
  async deleteFinished(): Promise<{ runs: number; bytes: number }> {
    const { sql } = this.ctx.storage
    const before = sql.databaseSize
    const finished = sql.exec<{ id: string }>('SELECT id FROM runs WHERE live IS NULL').toArray()
    for (const { id } of finished) {
      sql.exec('DELETE FROM packets WHERE run_id = ?', id)
      sql.exec('DELETE FROM runs WHERE id = ?', id)
    }
    return { runs: finished.length, bytes: before - sql.databaseSize }
  }
}
export const HistoryDO = measured('HistoryDO', classes.HistoryDO)
export const ProjectDO = measured('ProjectDO', classes.ProjectDO)
export const RunDO = measured('RunDO', classes.RunDO)
export const SchedulerDO = measured('SchedulerDO', classes.SchedulerDO)
export const FilesDO = measured('FilesDO', classes.FilesDO)
export const StreamsDO = measured('StreamsDO', classes.StreamsDO)
export const TaskDO = measured('TaskDO', classes.TaskDO)

// ---------------------------------------------------------------- handlers

export default {
  ...worker,
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url)
    if (pathname === '/bench/counts') return Response.json(takeCounts())
    if (pathname === '/bench/progress') return Response.json(Object.fromEntries(counts))
    if (pathname === '/bench/retention') return Response.json(await deleteFinished(env, await request.text()))
    if (pathname === '/bench/isolate') return Response.json(await isolateLab(env, (await request.json()) as LabRequest))
    if (pathname !== '/health') add(`worker request ${request.method} ${pathname.replace(/run_\w+/, ':run')}`)
    return worker.fetch(request, env, ctx)
  },
} satisfies ExportedHandler<Env, DispatchHint>

async function deleteFinished(env: Env, runId: string): Promise<unknown> {
  const name = objectNames.environment(locatorOf(runId) as string, partitionOf(runId))
  const stub = env.ENVIRONMENT.get(env.ENVIRONMENT.idFromName(name)) as unknown as EnvironmentDO
  return stub.deleteFinished()
}

function takeCounts(): Record<string, number> {
  for (const { label, cursor } of cursors) {
    try {
      add(`rows written ${label}`, cursor.rowsWritten)
      add(`rows read ${label}`, cursor.rowsRead)
    } catch {
      // Not read to its end: it still belongs to its object.
      add(`left open ${label}`)
    }
  }
  cursors = []
  const taken = Object.fromEntries(counts)
  counts.clear()
  return taken
}
