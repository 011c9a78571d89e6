import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import { objectNames } from '../contracts/objects.ts'
import type { Caller, CompletedWaitpoint, EnvironmentIdentity, FinishInput, RpcResult, RunDetail, RunExecutor, SpanRecord, TriggerInput, TriggerResult, WorkerVersion } from '../contracts/rpc.ts'

interface Row { detail: RunDetail; spans: SpanRecord[]; lease: number; slot: number; score: number; retryAt?: number; waits: string[]; lost: number }
const finals = new Set(['CANCELED', 'COMPLETED_SUCCESSFULLY', 'COMPLETED_WITH_ERRORS', 'SYSTEM_FAILURE', 'CRASHED', 'EXPIRED', 'TIMED_OUT'])
const ok = <T>(value: T): RpcResult<T> => ({ ok: true, value })
const fail = (code: string, message: string, status: number): RpcResult<never> => ({ ok: false, error: { code, message, status } })

export class EnvironmentDO extends DurableObject<Env> {
  rows = new Map<string, Row>()
  version?: WorkerVersion
  variables: Record<string, string> = {}
  identity?: EnvironmentIdentity
  lease = 0
  epoch = 0
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID; CREATE TABLE IF NOT EXISTS kv (k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID')
    for (const r of ctx.storage.sql.exec<{ id: string; data: string }>('SELECT * FROM runs')) this.rows.set(r.id, JSON.parse(r.data))
    for (const r of ctx.storage.sql.exec<{ k: string; v: string }>('SELECT * FROM kv')) (this as any)[r.k] = JSON.parse(r.v)
    this.lease += 1000
  }
  kv(k: string, v: unknown): void { (this as any)[k] = v; this.ctx.storage.sql.exec('INSERT OR REPLACE INTO kv VALUES (?, ?)', k, JSON.stringify(v)) }
  save(row: Row): void { row.detail.updatedAt = Date.now(); this.ctx.storage.sql.exec('INSERT OR REPLACE INTO runs VALUES (?, ?)', row.detail.id, JSON.stringify(row)) }
  async trigger(caller: Caller, input: TriggerInput): Promise<RpcResult<TriggerResult>> {
    this.identity = caller.environment
    const had = this.rows.get(input.runId)
    if (had) return ok({ id: input.runId, isCached: false })
    const o = input.options
    const now = Date.now()
    const parent = o.parentRunId ? this.rows.get(o.parentRunId) : undefined
    const detail: RunDetail = { id: input.runId, task: input.task, status: 'PENDING', createdAt: o.createdAt ?? now, updatedAt: now, queuedAt: now, tags: o.tags ?? [], queue: o.queue ?? `task/${input.task}`, depth: parent ? parent.detail.depth + 1 : 0, resumeParentOnCompletion: o.resumeParentOnCompletion ?? false, attemptNumber: 0, maxAttempts: o.maxAttempts, maxDuration: o.maxDuration, priorityMs: 0, isTest: o.test ?? false, durationMs: 0, costInCents: 0, baseCostInCents: 0, traceId: hex(16), spanId: hex(8), payload: o.payload, metadata: o.metadata, parentRunId: parent?.detail.id, rootRunId: parent ? (parent.detail.rootRunId ?? parent.detail.id) : undefined, batchId: o.batch?.id, batchIndex: o.batch?.index }
    const row: Row = { detail, spans: [], lease: 0, slot: 0, score: now, waits: [], lost: 0 }
    this.rows.set(input.runId, row); this.save(row)
    this.dispatch()
    return ok({ id: input.runId, isCached: false })
  }
  dispatch(): void {
    for (const row of this.rows.values()) if (row.detail.status === 'PENDING' && (row.retryAt ?? 0) <= Date.now()) this.start(row)
  }
  start(row: Row): void {
    const v = this.version
    const task = v?.tasks.find((t) => t.id === row.detail.task)
    if (!v || !task || !this.identity) { row.detail.status = 'PENDING_VERSION'; this.save(row); return }
    const identity = this.identity
    row.lease = ++this.lease; row.detail.status = 'EXECUTING'; row.detail.startedAt ??= Date.now(); row.detail.attemptNumber += 1; row.detail.version = v.version; this.save(row)
    const d = row.detail
    const iso = (t?: number): string => new Date(t ?? Date.now()).toISOString()
    const execution = { task: { id: task.id, filePath: task.filePath, exportName: task.exportName, entryPoint: task.entryPoint }, attempt: { number: d.attemptNumber, startedAt: iso(), id: `attempt_${d.id.slice(4)}`, backgroundWorkerId: v.workerId, backgroundWorkerTaskId: task.id, status: 'EXECUTING' }, run: { id: d.id, payload: d.payload?.data ?? '', payloadType: d.payload?.dataType ?? 'application/json', tags: d.tags, isTest: d.isTest, isReplay: false, createdAt: iso(d.createdAt), startedAt: iso(d.startedAt), version: v.version, maxAttempts: task.retry?.maxAttempts, durationMs: 0, costInCents: 0, baseCostInCents: 0, context: undefined, traceContext: {}, parentTaskRunId: d.parentRunId, rootTaskRunId: d.rootRunId, metadata: d.metadata?.data ? JSON.parse(d.metadata.data) : undefined }, queue: { id: 'queue_1', name: d.queue }, environment: { id: identity.id, slug: identity.slug, type: identity.type }, organization: { id: identity.organizationId, slug: identity.organizationSlug, name: identity.organizationTitle }, project: { id: identity.projectId, ref: identity.projectRef, slug: identity.projectRef, name: identity.projectName }, machine: { name: 'small-1x', cpu: 0.5, memory: 0.5, centsPerMs: 0 }, deployment: { id: v.deploymentId, shortCode: v.deploymentShortCode, version: v.version, runtime: v.runtime ?? 'node', runtimeVersion: v.runtimeVersion ?? '24' } }
    this.ctx.waitUntil(this.runDO(row).start({ environment: identity, lease: row.lease, runId: d.id, attempt: d.attemptNumber, shard: 0, bundle: { hash: v.bundleHash, version: v.version, deploymentId: v.deploymentId, workerId: v.workerId }, execution, traceparent: `00-${d.traceId}-${d.spanId}-01`, maxDuration: d.maxDuration ?? task.maxDuration, variables: this.variables }).catch((e) => console.error('start', String(e))))
  }
  runDO(row: Row): RunExecutor { return this.env.RUN.get(this.env.RUN.idFromName(objectNames.run(this.identity!.locator, '0', row.slot))) as unknown as RunExecutor }
  async finish(input: FinishInput): Promise<RpcResult<{ released: boolean }>> {
    const row = this.rows.get(input.runId)
    if (!row || row.lease !== input.lease) return fail('STALE_LEASE', 'stale', 409)
    row.spans.push(...input.spans)
    const c = input.completion
    const d = row.detail
    if (!c) { d.status = 'PENDING'; d.attemptNumber -= 1; row.lost++; console.error('lost', input.lost?.reason); if (row.lost > 3) { d.status = 'COMPLETED_WITH_ERRORS'; d.error = { type: 'INTERNAL_ERROR', code: 'TASK_RUN_STALLED_EXECUTING', message: input.lost?.reason } } }
    else if (c.ok) { d.status = 'COMPLETED_SUCCESSFULLY'; d.output = { data: c.output, dataType: c.outputType ?? 'application/json' } }
    else if (c.retry) { d.status = 'PENDING'; row.retryAt = Date.now() + c.retry.delay; setTimeout(() => this.dispatch(), c.retry.delay + 5) }
    else { d.status = 'COMPLETED_WITH_ERRORS'; d.error = c.error }
    if (finals.has(d.status)) d.completedAt = Date.now()
    d.durationMs += c?.usage?.durationMs ?? 0
    row.lease = 0; this.save(row)
    if (finals.has(d.status) && d.parentRunId && d.resumeParentOnCompletion) this.resumeParent(row)
    this.dispatch()
    return ok({ released: true })
  }
  resumeParent(row: Row): void {
    const parent = this.rows.get(row.detail.parentRunId as string)
    if (!parent?.lease) return
    const d = row.detail
    const wp: CompletedWaitpoint = { id: `waitpoint_${d.id.slice(4)}`, friendlyId: `waitpoint_${d.id.slice(4)}`, type: 'RUN', completedAt: Date.now(), outputIsError: !!d.error, output: d.error ? JSON.stringify(d.error) : d.output?.data, outputType: d.output?.dataType, index: d.batchIndex, completedByTaskRun: { friendlyId: d.id, batch: d.batchId ? { friendlyId: d.batchId } : undefined } }
    this.ctx.waitUntil(this.runDO(parent).resume(parent.lease, [wp]).then(() => undefined))
  }
  async getRun(_c: Caller, id: string): Promise<RpcResult<RunDetail>> { const r = this.rows.get(id); return r ? ok(r.detail) : fail('not_found', 'Not found', 404) }
  async getTrace(_c: Caller, id: string): Promise<RpcResult<{ run: RunDetail; spans: SpanRecord[] }>> { const r = this.rows.get(id); return r ? ok({ run: r.detail, spans: r.spans }) : fail('not_found', 'Not found', 404) }
  async listRuns(): Promise<RpcResult<{ runs: RunDetail[] }>> { return ok({ runs: [...this.rows.values()].reverse().map((r) => r.detail).slice(0, 20) }) }
  async setVersion(identity: EnvironmentIdentity, current: WorkerVersion, variables: Record<string, string>): Promise<void> { this.kv('identity', identity); this.kv('version', current); this.kv('variables', variables); for (const r of this.rows.values()) if (r.detail.status === 'PENDING_VERSION') r.detail.status = 'PENDING'; this.dispatch() }
  async setVariables(identity: EnvironmentIdentity, variables: Record<string, string>): Promise<void> { this.kv('identity', identity); this.kv('variables', variables) }
  async setKeyEpoch(): Promise<void> {}
  async wake(): Promise<void> { this.dispatch() }
}
function hex(n: number): string { return [...crypto.getRandomValues(new Uint8Array(n))].map((b) => b.toString(16).padStart(2, '0')).join('') }
export class HistoryDO extends DurableObject<Env> {}
export class SchedulerDO extends DurableObject<Env> { async syncDeclared(): Promise<void> {} }
