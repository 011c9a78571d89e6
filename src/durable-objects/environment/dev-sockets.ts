/**
 * Sockets of dev sessions: they carry one word, "this run has a new snapshot", so that a session need not ask. They hibernate.
 * Which runs a socket wants is in memory; after a reset it hears of all, and passes over what it does not know.
 */
import type { Env } from '../../contracts/bindings.ts'
import { locatorOf, randomText } from '../../contracts/ids.ts'
import { type EnvironmentObject, objectNames } from '../../contracts/objects.ts'
import type { EnvironmentIdentity } from '../../contracts/rpc.ts'
import { connectedFrame, eventFrame, openFrame, pongFrame, readFrame, refusedFrame } from '../../realtime/engine-io.ts'
import { putSetting, readSetting } from '../../storage/document-table.ts'

const namespace = '/dev-worker'
const listenersKept = 20

export class DevSockets {
  private readonly wanted = new WeakMap<WebSocket, Set<string>>()
  private readonly ctx: DurableObjectState
  private readonly env: Env
  /** Of this environment. */
  private readonly identity: () => EnvironmentIdentity | undefined

  constructor(ctx: DurableObjectState, env: Env, identity: () => EnvironmentIdentity | undefined) {
    this.ctx = ctx
    this.env = env
    this.identity = identity
  }

  accept(): Response {
    const { 0: client, 1: server } = new WebSocketPair()
    this.ctx.acceptWebSocket(server)
    server.send(openFrame(randomText(20)))
    return new Response(null, { status: 101, webSocket: client })
  }

  async message(socket: WebSocket, text: string): Promise<void> {
    const frame = readFrame(text)
    if (frame.kind === 'ping') socket.send(pongFrame)
    if (frame.kind === 'connect') {
      if (frame.namespace === namespace) this.wanted.set(socket, new Set())
      socket.send(
        frame.namespace === namespace
          ? connectedFrame(namespace, randomText(20))
          : refusedFrame(frame.namespace, 'Only /dev-worker is served here.'),
      )
    }
    if (frame.kind !== 'event' || frame.namespace !== namespace) return
    const ids = (frame.data as { runFriendlyIds?: unknown } | null)?.runFriendlyIds
    const runIds = Array.isArray(ids) ? ids.filter((id): id is string => typeof id === 'string') : []
    const wanted = this.wanted.get(socket)
    if (frame.name === 'run:unsubscribe') for (const id of runIds) wanted?.delete(id)
    if (frame.name !== 'run:subscribe') return
    for (const id of runIds) wanted?.add(id)
    await this.listenAt(new Set(runIds.flatMap((id) => locatorOf(id) ?? [])))
  }

  /** The socket's handshake names no branch: its session's runs may live in one. */
  private async listenAt(locators: Set<string>): Promise<void> {
    const own = this.identity()
    for (const locator of locators)
      if (own && locator !== own.locator)
        await this.object(locator)
          .tellOfRuns(own.locator, own.projectId)
          .catch(() => {})
  }

  /** From the environment whose key a session of this branch used for its socket; nobody of another project listens. */
  addListener(locator: string, projectId: string): void {
    const own = this.identity()
    if (own?.type !== 'DEVELOPMENT' || own.projectId !== projectId) return
    const known = this.listeners()
    if (known.includes(locator)) return
    putSetting(this.ctx.storage.sql, 'devListeners', [...known, locator].slice(-listenersKept))
  }

  notify(runId: string, isRelayed = false): void {
    const frame = eventFrame(namespace, 'run:notify', { version: '1', run: { friendlyId: runId } })
    for (const socket of this.ctx.getWebSockets()) {
      const wanted = this.wanted.get(socket)
      if (!wanted || wanted.has(runId)) {
        try {
          socket.send(frame)
        } catch {
          // Closed meanwhile; its session asks by itself.
        }
      }
    }
    if (!isRelayed)
      for (const locator of this.listeners())
        this.ctx.waitUntil(
          this.object(locator)
            .notifyRun(runId)
            .catch(() => {}),
        )
  }

  private listeners(): string[] {
    return readSetting<string[]>(this.ctx.storage.sql, 'devListeners') ?? []
  }

  private object(locator: string): EnvironmentObject {
    const id = this.env.ENVIRONMENT.idFromName(objectNames.environment(locator))
    return this.env.ENVIRONMENT.get(id) as unknown as EnvironmentObject
  }
}
