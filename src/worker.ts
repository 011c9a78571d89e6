/** The only place where all of it meets: handlers, loopback entrypoints and object classes. */

import { connect } from 'cloudflare:sockets'
import { WorkerEntrypoint } from 'cloudflare:workers'
import { createApp } from './api/app.ts'
import { devSocketPath, openDevSocket } from './api/dev-socket.ts'
import { type PlatformCaller, platformFetch } from './api/platform-fetch.ts'
import type { DispatchHint, Env } from './contracts/bindings.ts'
import {
  type DirectoryObject,
  type EnvironmentObject,
  type HistoryObject,
  objectNames,
  type SchedulerObject,
  timerNames,
} from './contracts/objects.ts'
import { refuseTarget } from './execution/egress.ts'
import { type Dial, type Dialled, forward, serveTunnel, type Target, tunnelAddress, unreachable } from './execution/tunnel.ts'

export { DirectoryDO } from './durable-objects/directory-do.ts'
export { EnvironmentDO } from './durable-objects/environment-do.ts'
export { FilesDO } from './durable-objects/files-do.ts'
export { HistoryDO } from './durable-objects/history-do.ts'
export { ProjectDO } from './durable-objects/project-do.ts'
export { RunDO } from './durable-objects/run-do.ts'
export { SchedulerDO } from './durable-objects/scheduler-do.ts'
export { StreamsDO } from './durable-objects/streams-do.ts'
export { TaskDO } from './durable-objects/task-do.ts'

const app = createApp()
// Evaluated when the first agent comes: most isolates never meet one.
app.all('/mcp', async (c) => (await import('./mcp/server.ts')).serveMcp(c.req.raw, c.env))

export default {
  fetch: (request: Request, env: Env, ctx: ExecutionContext) =>
    new URL(request.url).pathname === devSocketPath ? openDevSocket(request, env) : app.fetch(request, env, ctx),

  /** Hints only: EnvironmentDO decides. Losing or doubling one costs time, nothing else. */
  async queue(batch: MessageBatch<DispatchHint>, env: Env): Promise<void> {
    const names = new Set(batch.messages.map((message) => message.body.environment))
    await Promise.all([...names].map((name) => environmentByName(env, name).wake()))
  },

  /** The backstop for a lost alarm: whatever has timers is woken once a minute, a day of history once its end has passed. */
  async scheduled(_event: ScheduledController, env: Env): Promise<void> {
    const directory = env.DIRECTORY.get(env.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject
    for (const { name, notedAt } of await directory.listTimers()) {
      try {
        if (!(await wake(env, name))) await directory.forgetTimers(name, notedAt)
      } catch (error) {
        console.error('wake failed', name, String(error))
      }
    }
  },
} satisfies ExportedHandler<Env, DispatchHint>

function wake(env: Env, name: string): Promise<boolean> {
  const day = timerNames.historyOf(name)
  if (day !== undefined) return (env.HISTORY.get(env.HISTORY.idFromName(day)) as unknown as HistoryObject).wake()
  const locator = timerNames.schedulerOf(name)
  if (locator === undefined) return environmentByName(env, name).wake()
  const id = env.SCHEDULER.idFromName(objectNames.scheduler(locator))
  return (env.SCHEDULER.get(id) as unknown as SchedulerObject).wake()
}

function environmentByName(env: Env, name: string): EnvironmentObject {
  return env.ENVIRONMENT.get(env.ENVIRONMENT.idFromName(name)) as unknown as EnvironmentObject
}

/** The platform API as a run's own SDK sees it: same routes, already authenticated as the run's environment. */
export class PlatformApi extends WorkerEntrypoint<Env, PlatformCaller> {
  override fetch(request: Request): Promise<Response> {
    return platformFetch(request, this.env, this.ctx.props)
  }
}

/** Outbound of every task isolate (loader `globalOutbound`). */
export class Egress extends WorkerEntrypoint<Env, { allowPrivate: boolean }> {
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url)
    const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
    const refusal = this.#refuse(url.hostname, port)
    // Thrown, not answered: the task's own fetch rejects as it would without a network.
    if (refusal) throw new TypeError(`fetch failed: ${refusal}`)
    const service = this.#service()
    if (!service) return fetch(request)
    try {
      return await service.fetch(request)
    } catch (error) {
      throw new TypeError(`fetch failed: ${unreachable({ hostname: url.hostname, port }, error)}`)
    }
  }

  async connect(socket: Socket): Promise<void> {
    const { localAddress } = await socket.opened
    const dial: Dial = (target) => this.#dial(target)
    await (localAddress === tunnelAddress ? serveTunnel(socket, dial) : forward(socket, localAddress ?? '', dial))
  }

  #dial({ hostname, port, secureTransport }: Target): Dialled {
    const refusal = this.#refuse(hostname, port)
    if (refusal) throw new Error(refusal)
    const options = { secureTransport, allowHalfOpen: true }
    const service = this.#service() as (Fetcher & { connect: typeof connect }) | undefined
    const address = `${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`
    return service ? service.connect(address, options) : connect(address, options)
  }

  #service(): Fetcher | undefined {
    return this.ctx.props.allowPrivate ? this.env.EGRESS_PRIVATE : this.env.EGRESS_PUBLIC
  }

  #refuse(hostname: string, port: number): string | undefined {
    return refuseTarget(hostname, port, {
      allowPrivate: this.ctx.props.allowPrivate,
      platformPorts: (this.env.PLATFORM_PORTS ?? '').split(',').filter(Boolean).map(Number),
      platformOrigin: this.env.PLATFORM_ORIGIN,
    })
  }
}
