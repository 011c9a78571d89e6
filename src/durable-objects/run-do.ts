/**
 * RunDO executes: it holds the isolate sessions of live runs, their live spans and their way back to the platform.
 * What must stay true (design §3.1): a lease is served once; after a session is closed its callback target is dead;
 * a run that ends without a wait writes nothing here. EnvironmentDO's lease row is the durable truth.
 */
import { DurableObject, RpcTarget } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import type { IsolateControl, IsolatePlatform } from '../contracts/isolate.ts'
import { limits } from '../contracts/limits.ts'
import { type EnvironmentAccess, type EnvironmentObject, objectNames, type ProjectObject } from '../contracts/objects.ts'
import { packetKey } from '../contracts/packets.ts'
import { planTask } from '../contracts/plan.ts'
import type { CompletedWaitpoint, FinishInput, Packet, RunExecutor, SpanRecord, StartInput } from '../contracts/rpc.ts'
import { mapErrorStack } from '../execution/error-stack.ts'
import { classifyIsolateFailure } from '../execution/isolate-failure.ts'
import { type LoopbackExports, openIsolate } from '../execution/isolate-loader.ts'
import { carryOut, Inbox, type PlanPlatform } from '../execution/plan-run.ts'

/** A session alive this long arms the heartbeat alarm, which keeps the object from being evicted. */
const heartbeatAfterMs = 5_000
/** Local workerd evicts after about 10 s without events, Cloudflare after 70 s or more. */
const heartbeatEveryMs = 8_000
const accessCacheMs = 30_000
/** A run's telemetry is cut here; the rest is counted, not kept. */
const maxSpans = 20_000
/** Some ten minutes. */
const reportAttempts = 120
const operationHeader = 'x-trigger-request-idempotency-key'
/** How long the isolate may outlive its own maxDuration before RunDO ends the run itself. */
const maxDurationGraceMs = 3_000

interface Session {
  start: StartInput
  spans: SpanRecord[]
  control?: IsolateControl
  pendingResume: CompletedWaitpoint[]
  cancelReason?: string
  closed: boolean
  /** Cleared with the session: a pending timer keeps the object from hibernating, which is billed. */
  heartbeat?: ReturnType<typeof setTimeout>
  /** The run waited on a waitpoint: elapsed time no longer says how long it worked. */
  waited: boolean
  /** Another run was in the isolate at some time: when the isolate is killed, this one may be innocent. */
  shared: boolean
  recovery: number
  /** The SDK's key of one logical call → ours, which is the same when the attempt starts again from the top. */
  operations: Map<string, string>
  counts: Map<string, number>
  /** Values that must not show in stored logs and errors. */
  secrets: string[]
}

export class RunDO extends DurableObject<Env> implements RunExecutor {
  private sessions = new Map<number, Session>()
  private highestLease = new Map<string, number>()
  private access?: { at: number; value: Promise<EnvironmentAccess | null>; projectId: string }
  private heartbeatArmed = false
  /** Grows with each isolate that was killed or does not match this platform: its id is never used again (design D4). */
  private retired = 0

  async start(input: StartInput): Promise<{ ok: boolean; reason?: string }> {
    if (this.sessions.has(input.lease)) return { ok: true }
    const highest = this.highestLease.get(input.runId) ?? 0
    if (input.lease <= highest) return { ok: false, reason: 'STALE_LEASE' }
    this.highestLease.set(input.runId, input.lease)
    for (const [lease, session] of this.sessions) if (session.start.runId === input.runId) this.close(lease)
    const session: Session = {
      start: input,
      spans: [],
      pendingResume: [],
      closed: false,
      waited: false,
      shared: this.sessions.size > 0,
      recovery: this.retired,
      operations: new Map(),
      counts: new Map(),
      secrets: [],
    }
    if (session.shared) for (const other of this.sessions.values()) other.shared = true
    session.heartbeat = setTimeout(() => this.armHeartbeat(), heartbeatAfterMs)
    this.sessions.set(input.lease, session)
    this.ctx.waitUntil(this.execute(session))
    return { ok: true }
  }

  async resume(lease: number, waitpoints: CompletedWaitpoint[]): Promise<{ ok: boolean }> {
    const session = this.sessions.get(lease)
    if (!session) return { ok: false }
    if (!session.control) {
      session.pendingResume.push(...waitpoints)
      return { ok: true }
    }
    await session.control.resolveWaitpoints(waitpoints)
    return { ok: true }
  }

  async cancel(lease: number, reason: string): Promise<{ ok: boolean }> {
    const session = this.sessions.get(lease)
    if (!session) return { ok: false }
    session.cancelReason = reason
    if (session.control) await session.control.cancel(reason)
    return { ok: true }
  }

  async alive(leases: number[]): Promise<number[]> {
    return leases.filter((lease) => this.sessions.has(lease))
  }

  async telemetry(lease: number): Promise<SpanRecord[]> {
    return this.sessions.get(lease)?.spans ?? []
  }

  async release(lease: number, runId: string): Promise<{ ok: boolean }> {
    // A start of this lease that is still on its way finds the door closed.
    this.highestLease.set(runId, Math.max(lease, this.highestLease.get(runId) ?? 0))
    const session = this.sessions.get(lease)
    if (session) {
      await session.control?.cancel('This run was given to another start.').catch(() => {})
      this.close(lease)
    }
    return { ok: true }
  }

  override async alarm(): Promise<void> {
    this.heartbeatArmed = false
    this.armHeartbeat()
  }

  private armHeartbeat(): void {
    if (this.heartbeatArmed || this.sessions.size === 0) return
    this.heartbeatArmed = true
    this.ctx.storage.setAlarm(Date.now() + heartbeatEveryMs)
  }

  private async execute(session: Session): Promise<void> {
    const { start } = session
    let finish: Pick<FinishInput, 'completion' | 'lost'>
    try {
      finish = await this.attempt(session)
    } catch (error) {
      finish = this.failed(session, error)
    }
    if (session.closed) return
    if (finish.completion?.error) {
      finish.completion.error = await mapErrorStack(this.env, start.bundle.hash, finish.completion.error).catch(
        () => finish.completion?.error,
      )
    }
    if (finish.completion?.error) finish.completion.error = mask(session, finish.completion.error)
    await this.report(session, {
      runId: start.runId,
      attempt: start.attempt,
      lease: start.lease,
      spans: session.spans,
      ...finish,
    })
    this.close(start.lease)
  }

  private failed(session: Session, error: unknown): Pick<FinishInput, 'completion' | 'lost'> {
    const failure = classifyIsolateFailure(session.start.runId, error)
    if (!failure.killed) return failure
    this.retired = Math.max(this.retired, session.recovery + 1)
    return session.shared ? { lost: { reason: `its isolate was killed: ${String(error)}`, alone: true } } : failure
  }

  private async attempt(session: Session): Promise<Pick<FinishInput, 'completion' | 'lost'>> {
    const { start } = session
    const access = await this.environmentAccess(start)
    if (!access) return { lost: { reason: 'The environment of this run no longer exists.' } }
    session.secrets = secretsOf(start, access)
    if (taskIdOf(start) === planTask) return { completion: await this.planAttempt(session, access) }
    const run = {
      start: { ...start, variables: runVariables(start, access, this.env) },
      taskFile: taskFileOf(start),
    }
    const exports = this.ctx.exports as unknown as LoopbackExports
    let renewed = false
    for (;;) {
      const isolate = openIsolate(this.env, exports, {
        environment: start.environment,
        bundleHash: start.bundle.hash,
        shard: start.shard,
        recovery: session.recovery,
      })
      const platform = new PlatformTarget(session, (request) => this.callPlatform(session, access, request))
      try {
        const result = await this.withDeadline(session, isolate.run(run, platform as unknown as IsolatePlatform))
        if ('busy' in result) {
          session.recovery += 1
          continue
        }
        appendSpans(session, result.spans)
        return { completion: result.completion }
      } catch (error) {
        // The cached isolate outlived a platform deploy: same run again in a fresh one, once. Nothing of the task ran.
        if (!renewed && /unsupported version/i.test(String(error))) {
          renewed = true
          session.recovery += 1
          this.retired = Math.max(this.retired, session.recovery)
          continue
        }
        throw error
      } finally {
        platform.close()
      }
    }
  }

  /** A plan is carried out here: it runs no code of the project itself. */
  private async planAttempt(session: Session, access: EnvironmentAccess): ReturnType<typeof carryOut> {
    const { start } = session
    const { BUCKET } = this.env
    const inbox = new Inbox()
    session.control = {
      resolveWaitpoints: async (waitpoints) => inbox.deliver(waitpoints),
      cancel: async (reason) => inbox.cancel(reason),
    }
    if (session.cancelReason !== undefined) inbox.cancel(session.cancelReason)
    inbox.deliver(session.pendingResume.splice(0))
    const platform: PlanPlatform = {
      call: async (method, path, body, operationKey) => {
        const type = path.endsWith('/items') ? 'application/x-ndjson' : 'application/json'
        const headers: [string, string][] = [
          [operationHeader, operationKey],
          ['content-type', type],
        ]
        const answer = await this.callPlatform(session, access, { method, path, headers, body }, headers)
        return { status: answer.status, body: typeof answer.body === 'string' ? answer.body : '' }
      },
      readStored: async (path) => {
        const object = await BUCKET.get(packetKey(start.environment, path))
        if (!object) throw new Error(`The stored output ${path} is not there.`)
        return { data: await object.text(), dataType: object.httpMetadata?.contentType ?? 'application/json' }
      },
      store: async (output) => {
        if (output.length <= limits.inlinePacketBytes / 3) return { data: output, dataType: 'application/json' }
        const path = `${start.runId}/output.json`
        await BUCKET.put(packetKey(start.environment, path), output, { httpMetadata: { contentType: 'application/json' } })
        return { data: path, dataType: 'application/store' }
      },
    }
    const { payload: data, payloadType: dataType } = start.execution.run as { payload: string; payloadType: string }
    const packet: Packet = dataType === 'application/store' ? await platform.readStored(data) : { data, dataType }
    const { plan } = JSON.parse(packet.data as string) as { plan: unknown }
    return carryOut({ runId: start.runId, plan, version: start.bundle.version }, platform, inbox)
  }

  /** RunDO's own clock backs up the isolate's: a task that never yields to its timer still ends. */
  private async withDeadline<T>(session: Session, running: Promise<T>): Promise<T> {
    const seconds = session.start.maxDuration
    if (!seconds || seconds >= 2_147_483_647) return running
    // Waits are not counted by the isolate; the backstop only fires for runs that never wait.
    let timer: ReturnType<typeof setTimeout> | undefined
    const deadline = new Promise<T>((_, reject) => {
      timer = setTimeout(
        () => {
          if (!session.waited) reject(new Error('MAX_DURATION_EXCEEDED'))
        },
        seconds * 1000 + maxDurationGraceMs,
      )
    })
    try {
      return await Promise.race([running, deadline])
    } finally {
      clearTimeout(timer)
    }
  }

  private async callPlatform(
    session: Session,
    access: EnvironmentAccess,
    request: PlatformRequest,
    headers = withOperationKey(session, request),
  ): Promise<PlatformResponse> {
    const { start } = session
    if (
      request.path.startsWith('/engine/v1/runs/') ||
      /resumeParentOnCompletion"?:\s*true/.test(typeof request.body === 'string' ? request.body : '')
    ) {
      session.waited = true
    }
    const exports = this.ctx.exports as unknown as LoopbackExports
    const api = exports.PlatformApi({ props: { access, run: { runId: start.runId, lease: start.lease } } })
    const hasBody = request.body !== undefined && request.method !== 'GET' && request.method !== 'HEAD'
    const response = await api.fetch(
      new Request(`${platformOrigin(start, this.env)}${request.path}`, {
        method: request.method,
        headers,
        body: hasBody ? request.body : undefined,
      }),
    )
    const text = /json|text/.test(response.headers.get('content-type') ?? '')
    return {
      status: response.status,
      headers: [...response.headers],
      body: text ? await response.text() : await response.arrayBuffer(),
    }
  }

  /** Until it is taken: the heartbeat keeps this object alive meanwhile, and a lost report would run the task again. */
  private async report(session: Session, input: FinishInput): Promise<void> {
    for (let attempt = 0; attempt < reportAttempts && !session.closed; attempt++) {
      try {
        const result = await this.environment(session.start).finish(input)
        if (result.ok || !result.error.retryable) return
      } catch (error) {
        if (attempt % 10 === 9) console.error('finish was not accepted yet', input.runId, String(error))
      }
      await scheduler.wait(Math.min(5_000, 50 * 2 ** attempt) * (0.75 + Math.random() / 2))
    }
  }

  private environment(start: StartInput): EnvironmentObject {
    const name = objectNames.environment(start.environment.locator, start.runId.slice(-1))
    return this.env.ENVIRONMENT.get(this.env.ENVIRONMENT.idFromName(name)) as unknown as EnvironmentObject
  }

  private environmentAccess(start: StartInput): Promise<EnvironmentAccess | null> {
    const now = Date.now()
    if (this.access && now - this.access.at < accessCacheMs) return this.access.value
    const { projectId, locator, branchName } = start.environment
    const project = this.env.PROJECT.get(this.env.PROJECT.idFromName(projectId)) as unknown as ProjectObject
    const value = project.environmentByLocator(locator, branchName)
    value.catch(() => {
      this.access = undefined
    })
    this.access = { at: now, value, projectId }
    return value
  }

  private close(lease: number): void {
    const session = this.sessions.get(lease)
    if (!session) return
    session.closed = true
    clearTimeout(session.heartbeat)
    ;(session.control as unknown as Disposable | undefined)?.[Symbol.dispose]?.()
    session.control = undefined
    this.sessions.delete(lease)
    if (this.highestLease.size > 10_000) this.highestLease.clear()
  }
}

interface PlatformRequest {
  method: string
  path: string
  headers: [string, string][]
  body?: string | ArrayBuffer
}
interface PlatformResponse {
  status: number
  headers: [string, string][]
  body: string | ArrayBuffer
}

interface OpenAttempt {
  session: Session
  call: (request: PlatformRequest) => Promise<PlatformResponse>
}

/** Belongs to one lease and takes run identity from itself, never from arguments. */
class PlatformTarget extends RpcTarget implements IsolatePlatform {
  /** Gone with the attempt: the runtime may keep the target itself for as long as this object lives. */
  #attempt: OpenAttempt | undefined

  constructor(session: Session, call: (request: PlatformRequest) => Promise<PlatformResponse>) {
    super()
    this.#attempt = { session, call }
  }

  close(): void {
    this.#attempt = undefined
  }

  async attach(control: IsolateControl): Promise<void> {
    const { session } = this.#open()
    // The stub must outlive this call.
    session.control = (control as unknown as { dup(): IsolateControl }).dup()
    if (session.cancelReason !== undefined) await session.control.cancel(session.cancelReason)
    const pending = session.pendingResume.splice(0)
    if (pending.length > 0) await session.control.resolveWaitpoints(pending)
  }

  async fetch(request: PlatformRequest): Promise<PlatformResponse> {
    return this.#open().call(request)
  }

  async telemetry(spans: SpanRecord[]): Promise<void> {
    appendSpans(this.#open().session, spans)
  }

  #open(): OpenAttempt {
    if (!this.#attempt || this.#attempt.session.closed)
      throw new Error('STALE_LEASE: this run was given to another start, or is over.')
    return this.#attempt
  }
}

function appendSpans(session: Session, spans: SpanRecord[]): void {
  for (const span of spans) {
    if (session.spans.length >= maxSpans) return
    session.spans.push(mask(session, span))
  }
}

/** Keys, and variables long enough to be secrets. */
function secretsOf(start: StartInput, access: EnvironmentAccess): string[] {
  const variables = Object.entries(start.variables).filter(
    ([name, text]) => text.length >= 8 && !/^(TRIGGER_|NODE_ENV$)/.test(name),
  )
  return [access.apiKey, ...variables.map(([, text]) => text)]
}

function mask<T>(session: Session, value: T): T {
  const text = JSON.stringify(value)
  const found = session.secrets.filter((secret) => text.includes(JSON.stringify(secret).slice(1, -1)))
  if (found.length === 0) return value
  return JSON.parse(found.reduce((masked, secret) => masked.replaceAll(JSON.stringify(secret).slice(1, -1), '***'), text))
}

/**
 * An attempt that starts again repeats its calls in the same order, with new random keys of the SDK. Ours say which call of
 * the attempt it is, so that a child or batch made before the restart is found instead of made twice.
 */
function withOperationKey(session: Session, request: PlatformRequest): [string, string][] {
  if (request.method !== 'POST') return request.headers
  const own = request.headers.find(([header]) => header.toLowerCase() === operationHeader)?.[1]
  let key = own ? session.operations.get(own) : undefined
  if (!key) {
    const count = (session.counts.get(request.path) ?? 0) + 1
    session.counts.set(request.path, count)
    key = `${session.start.runId}/${session.start.attempt}/${request.path}#${count}`
    if (own) session.operations.set(own, key)
  }
  return [...request.headers.filter(([header]) => header.toLowerCase() !== operationHeader), [operationHeader, key]]
}

function taskIdOf(start: StartInput): string {
  return (start.execution.task as { id: string }).id
}

function taskFileOf(start: StartInput): { entry: string; out: string; exportName?: string } {
  const task = start.execution.task as { filePath: string; entryPoint?: string; exportName?: string }
  return { entry: task.filePath, out: task.entryPoint ?? '', exportName: task.exportName }
}

function platformOrigin(start: StartInput, env: Env): string {
  return start.variables.TRIGGER_API_URL ?? env.PLATFORM_ORIGIN ?? 'https://platform.invalid'
}

function runVariables(start: StartInput, access: EnvironmentAccess, env: Env): Record<string, string> {
  const { environment } = start
  return {
    TRIGGER_RUNTIME_WAIT_THRESHOLD_IN_MS: '5000',
    NODE_ENV: environment.type === 'DEVELOPMENT' ? 'development' : 'production',
    ...start.variables,
    TRIGGER_API_URL: platformOrigin(start, env),
    TRIGGER_STREAM_URL: platformOrigin(start, env),
    TRIGGER_SECRET_KEY: access.apiKey,
    TRIGGER_PROJECT_REF: environment.projectRef,
    TRIGGER_ORG_ID: environment.organizationId,
    TRIGGER_RUN_ID: start.runId,
    TRIGGER_REALTIME_STREAM_VERSION: 'v1',
    ...(environment.branchName ? { TRIGGER_PREVIEW_BRANCH: environment.branchName } : {}),
  }
}
