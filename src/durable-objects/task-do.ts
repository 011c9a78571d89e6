/**
 * Versions, tasks and deployments of one environment. What must stay true: a promote is acknowledged only after EnvironmentDO
 * and SchedulerDO took their copies; a failed deployment leaves the current version as it was.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import { mintId, randomText } from '../contracts/ids.ts'
import type { Build, BuildOutcome } from '../contracts/node-host.ts'
import {
  type BackgroundWorkerInput,
  type BackgroundWorkerRecord,
  type DeploymentRecord,
  type EnvironmentObject,
  objectNames,
  type ProjectObject,
  type SchedulerObject,
  type TaskObject,
} from '../contracts/objects.ts'
import type { BundleIndex, EnvironmentIdentity, RpcResult, WorkerVersion } from '../contracts/rpc.ts'
import { optionProblem } from '../core/run/declared.ts'
import { declaredFor, scheduleProblem } from '../core/schedule/declared.ts'
import { Builds } from './task/builds.ts'

type Row = Record<string, SqlStorageValue>

interface StoredDeployment extends Omit<DeploymentRecord, 'isCurrent' | 'worker'> {
  workerId: string
  /** Known once the bundle was built. */
  bundleHash?: string
  sdkVersion?: string
  /** The file the indexer loads. */
  loading?: string
  /** The upload. */
  artifactKey?: string
}

/** A current version whose runs and schedules do not know of it yet. */
interface Handover {
  /** Or the id of a dev session's worker. */
  deploymentId: string
  identity: EnvironmentIdentity
}

/** EnvironmentDO has its own copies of those that runs are bound to. */
const workersKept = 50

const handoverRetryMs = 5_000

/** A deploy is one request; one that still builds after this long died with its Worker. */
const buildMs = 600_000

export class TaskDO extends DurableObject<Env> implements TaskObject {
  private sql: SqlStorage
  /** Deployments begun in this life of the object. */
  private readonly underWay = new Set<string>()
  private handing?: Promise<void>
  private readonly builds = new Builds()
  /** Of the newest promote in this life of the object; after a reset they are read again. */
  private variables?: Record<string, string>

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    this.sql = ctx.storage.sql
    this.sql.exec(`
      CREATE TABLE IF NOT EXISTS deployments (id TEXT PRIMARY KEY, version TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
        created_at INTEGER NOT NULL, record TEXT NOT NULL, bundle_index TEXT);
      CREATE TABLE IF NOT EXISTS workers (id TEXT PRIMARY KEY, record TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    `)
  }

  async createDeployment(
    identity: EnvironmentIdentity,
    input: {
      id: string
      contentHash: string
      runtime?: string
      git?: Record<string, unknown>
      externalId?: string
      artifactKey?: string
    },
  ): Promise<DeploymentRecord & { interrupted?: string }> {
    const known = this.row(input.id)
    if (known) return this.record(known)
    this.underWay.add(input.id)
    return this.ctx.storage.transactionSync(() => {
      const now = Date.now()
      const interrupted = this.takeInterrupted(input.contentHash)
      const record: StoredDeployment = {
        ...input,
        shortCode: randomText(8),
        version: this.nextVersion(now),
        status: 'BUILDING',
        createdAt: now,
        workerId: mintId('worker', identity.locator, '0', now),
      }
      this.sql.exec(
        'INSERT INTO deployments VALUES (?, ?, ?, ?, ?, NULL)',
        record.id,
        record.version,
        record.status,
        now,
        JSON.stringify(record),
      )
      return { ...this.record(this.row(record.id) as Row), ...(interrupted ? { interrupted } : {}) }
    })
  }

  private nextVersion(now: number): string {
    const day = new Date(now).toISOString().slice(0, 10).replaceAll('-', '')
    const counter = `version:${day}`
    const number = Number(this.state(counter) ?? '0') + 1
    this.setState(counter, String(number))
    return `${day}.${number}`
  }

  async registerWorker(
    identity: EnvironmentIdentity,
    input: BackgroundWorkerInput,
    variables: Record<string, string>,
  ): Promise<RpcResult<BackgroundWorkerRecord>> {
    const problem = scheduleProblem(input.index.tasks) ?? optionProblem(input.index)
    if (problem) return refusal('INVALID_TASK', problem, 400)
    const current = await this.currentWorker()
    // The CLI repeats a call that broke off, and a session that starts again on the same code goes on with its runs.
    const isSame = current !== null && current.contentHash === input.contentHash && sameIndex(current.index, input.index)
    const record = isSame ? current : this.ctx.storage.transactionSync(() => this.addWorker(input))
    await this.makeCurrent(identity, record.id, variables)
    return { ok: true, value: record }
  }

  private addWorker(input: BackgroundWorkerInput): BackgroundWorkerRecord {
    const now = Date.now()
    const record: BackgroundWorkerRecord = { ...input, version: this.nextVersion(now), createdAt: now }
    this.sql.exec('INSERT INTO workers VALUES (?, ?)', record.id, JSON.stringify(record))
    const old = 'DELETE FROM workers WHERE id NOT IN (SELECT id FROM workers ORDER BY id DESC LIMIT ?)'
    this.sql.exec(old, workersKept)
    return record
  }

  async currentWorker(): Promise<BackgroundWorkerRecord | null> {
    return this.worker(this.state('current') ?? '')
  }

  private worker(id: string): BackgroundWorkerRecord | null {
    const row = this.first('SELECT record FROM workers WHERE id = ?', id)
    return row ? JSON.parse(row.record as string) : null
  }

  async noteLoading(id: string, file: string): Promise<void> {
    const row = this.row(id)
    if (row?.status !== 'BUILDING') return
    this.sql.exec('UPDATE deployments SET record = ? WHERE id = ?', JSON.stringify({ ...parse(row), loading: file }), id)
  }

  /** A deployment of this content that no life of this object after a restart knows of, if it had begun to load a file. */
  private takeInterrupted(contentHash: string): string | undefined {
    for (const row of this.sql.exec<Row>("SELECT * FROM deployments WHERE status = 'BUILDING'").toArray()) {
      const { id, loading, ...stored } = parse(row)
      if (stored.contentHash !== contentHash || this.underWay.has(id) || !loading) continue
      const error = { name: 'INDEXING_INTERRUPTED', message: `The platform ended while it loaded ${loading}.` }
      this.sql.exec(
        "UPDATE deployments SET status = 'FAILED', record = ? WHERE id = ?",
        JSON.stringify({ id, ...stored, status: 'FAILED', error }),
        id,
      )
      return loading
    }
    return undefined
  }

  waitForBuilds(id: string, holdMs: number): Promise<Build[]> {
    return this.builds.wait(id, holdMs)
  }

  async stopWaitingForBuilds(id: string): Promise<void> {
    this.builds.stop(id)
  }

  async hasNodeHost(): Promise<boolean> {
    return this.builds.isHosted
  }

  requestBuild(build: Build): Promise<BuildOutcome> {
    return this.builds.request(build)
  }

  async endBuild(deploymentId: string, outcome: BuildOutcome): Promise<boolean> {
    return this.builds.end(deploymentId, outcome)
  }

  async artifactOf(deploymentId: string): Promise<string | null> {
    const row = this.row(deploymentId)
    return (row && parse(row).artifactKey) ?? null
  }

  async completeDeployment(
    identity: EnvironmentIdentity,
    id: string,
    built: { index: BundleIndex; bundleHash: string; sdkVersion?: string },
    promote: boolean,
    variables: Record<string, string>,
  ): Promise<RpcResult<DeploymentRecord>> {
    const row = this.row(id)
    if (!row) return refusal('NOT_FOUND', 'Deployment not found', 404)
    const { index, ...bundle } = built
    const problem = scheduleProblem(index.tasks)
    if (problem) return refusal('INVALID_SCHEDULE', problem, 422)
    const wrong = optionProblem(index)
    if (wrong) return refusal('INVALID_TASK', wrong, 422)
    if (row.status !== 'DEPLOYED') {
      const stored = parse(row)
      const next: StoredDeployment = { ...stored, ...bundle, status: 'DEPLOYED', deployedAt: Date.now() }
      this.sql.exec(
        'UPDATE deployments SET status = ?, record = ?, bundle_index = ? WHERE id = ?',
        next.status,
        JSON.stringify(next),
        JSON.stringify(index),
        id,
      )
    }
    const deployed = this.row(id) as Row
    if (promote) await this.makeCurrent(identity, id, variables)
    else await this.environmentObject(identity).addVersion(this.workerVersion(deployed))
    return { ok: true, value: this.record(this.row(id) as Row) }
  }

  async failDeployment(id: string, error: { name: string; message: string; stack?: string }): Promise<void> {
    const row = this.row(id)
    if (!row || row.status === 'DEPLOYED') return
    this.end(row, 'FAILED', error)
  }

  async getDeployment(id: string): Promise<DeploymentRecord | null> {
    await this.timeOutBuilds()
    const row = this.row(id)
    return row ? this.record(row) : null
  }

  async deploymentWithExternalId(externalId: string): Promise<DeploymentRecord | null> {
    const row = this.first(
      "SELECT * FROM deployments WHERE status = 'DEPLOYED' AND json_extract(record, '$.externalId') = ? ORDER BY id DESC",
      externalId,
    )
    return row ? this.record(row) : null
  }

  async listDeployments(input: {
    size: number
    after?: string
    status?: string
    from?: number
    to?: number
  }): Promise<{ deployments: DeploymentRecord[]; next?: string }> {
    await this.timeOutBuilds()
    const rows = this.sql
      .exec<Row>(
        `SELECT * FROM deployments WHERE id < ? AND (? = '' OR status = ?) AND created_at >= ? AND created_at <= ?
         ORDER BY id DESC LIMIT ?`,
        input.after ?? '~',
        input.status ?? '',
        input.status ?? '',
        input.from ?? 0,
        input.to ?? Number.MAX_SAFE_INTEGER,
        input.size + 1,
      )
      .toArray()
    const page = rows.slice(0, input.size)
    const last = page.at(-1)
    return {
      deployments: page.map((row) => this.record(row)),
      ...(rows.length > input.size && last ? { next: last.id as string } : {}),
    }
  }

  async currentDeployment(): Promise<DeploymentRecord | null> {
    const id = this.state('current')
    return id ? this.getDeployment(id) : null
  }

  async promote(
    identity: EnvironmentIdentity,
    version: string,
    variables: Record<string, string>,
    allowRollbacks = true,
  ): Promise<RpcResult<DeploymentRecord>> {
    const row = this.first('SELECT * FROM deployments WHERE version = ?', version)
    if (!row) return refusal('NOT_FOUND', 'Deployment not found', 404)
    if (row.status !== 'DEPLOYED')
      return refusal('NOT_DEPLOYED', `Version ${version} is ${row.status}; only a deployed version can be promoted.`, 400)
    const current = this.state('current')
    if (current === row.id) return refusal('ALREADY_CURRENT', `Version ${version} is already the current version.`, 400)
    if (!allowRollbacks && current && current > (row.id as string)) {
      return refusal('ROLLBACK', `Version ${version} is older than the current one and rollbacks were not allowed.`, 400)
    }
    const problem = scheduleProblem(this.workerVersion(row).tasks)
    if (problem) return refusal('INVALID_SCHEDULE', problem, 400)
    await this.makeCurrent(identity, row.id as string, variables)
    return { ok: true, value: this.record(this.row(row.id as string) as Row) }
  }

  /** What is current is decided here; the runs and the schedules follow, also when this object ends before they have. */
  private async makeCurrent(
    identity: EnvironmentIdentity,
    deploymentId: string,
    variables: Record<string, string>,
  ): Promise<void> {
    this.ctx.storage.transactionSync(() => {
      this.setState('current', deploymentId)
      this.setState('handover', JSON.stringify({ deploymentId, identity } satisfies Handover))
    })
    await this.ctx.storage.setAlarm(Date.now() + handoverRetryMs)
    this.variables = variables
    await this.handOver()
  }

  override async alarm(): Promise<void> {
    if (this.state('handover') === undefined) return
    // Before the attempt: it is lost with the object otherwise.
    await this.ctx.storage.setAlarm(Date.now() + handoverRetryMs)
    // They may have been changed since.
    this.variables = undefined
    await this.handOver().catch((error) => console.error('a promoted version was not handed over yet', String(error)))
  }

  /** One at a time, always the newest: an older version that is slow to arrive must not come last. */
  private handOver(): Promise<void> {
    this.handing ??= this.handOverNewest().finally(() => {
      this.handing = undefined
    })
    return this.handing
  }

  private async handOverNewest(): Promise<void> {
    for (let text = this.state('handover'); text !== undefined; text = this.state('handover')) {
      const { deploymentId, identity } = JSON.parse(text) as Handover
      const worker = this.worker(deploymentId)
      const version = worker ? devVersion(worker) : this.workerVersion(this.row(deploymentId) as Row)
      const variables = this.variables ?? (await this.readVariables(identity))
      await this.environmentObject(identity).setVersion(identity, version, variables)
      const schedulerId = this.env.SCHEDULER.idFromName(objectNames.scheduler(identity.locator))
      const scheduler = this.env.SCHEDULER.get(schedulerId) as unknown as SchedulerObject
      await scheduler.syncDeclared(identity, declaredFor(version.tasks, identity.type))
      this.sql.exec("DELETE FROM state WHERE key = 'handover' AND value = ?", text)
    }
    await this.ctx.storage.deleteAlarm()
  }

  private async readVariables(identity: EnvironmentIdentity): Promise<Record<string, string>> {
    const id = this.env.PROJECT.idFromName(identity.projectId)
    const list = await (this.env.PROJECT.get(id) as unknown as ProjectObject).listVariables(identity.locator)
    return Object.fromEntries(list.map(({ name, value }) => [name, value]))
  }

  private workerVersion(row: Row): WorkerVersion {
    const stored = parse(row)
    const index = JSON.parse(row.bundle_index as string) as BundleIndex
    return {
      version: stored.version,
      workerId: stored.workerId,
      deploymentId: stored.id,
      deploymentShortCode: stored.shortCode,
      bundleHash: stored.bundleHash as string,
      ...(stored.externalId ? { externalId: stored.externalId } : {}),
      ...(stored.runtime ? { runtime: stored.runtime } : {}),
      ...(stored.runtimeVersion ? { runtimeVersion: stored.runtimeVersion } : {}),
      ...(stored.sdkVersion ? { sdkVersion: stored.sdkVersion } : {}),
      tasks: index.tasks,
      queues: index.queues,
    }
  }

  private environmentObject(identity: EnvironmentIdentity): EnvironmentObject {
    const id = this.env.ENVIRONMENT.idFromName(objectNames.environment(identity.locator))
    return this.env.ENVIRONMENT.get(id) as unknown as EnvironmentObject
  }

  private async timeOutBuilds(): Promise<void> {
    const rows = this.sql
      .exec<Row>("SELECT * FROM deployments WHERE status = 'BUILDING' AND created_at < ?", Date.now() - buildMs)
      .toArray()
    const error = { name: 'TIMED_OUT', message: `The deploy did not end within ${buildMs / 60_000} minutes; run it again.` }
    for (const row of rows) this.end(row, 'TIMED_OUT', error)
  }

  private end(row: Row, status: 'FAILED' | 'TIMED_OUT', error: { name: string; message: string; stack?: string }): void {
    const next: StoredDeployment = { ...parse(row), status, error }
    this.sql.exec('UPDATE deployments SET status = ?, record = ? WHERE id = ?', status, JSON.stringify(next), row.id)
  }

  private record(row: Row): DeploymentRecord {
    const { bundleHash: _hash, workerId, sdkVersion: _sdk, loading: _loading, artifactKey: _key, ...record } = parse(row)
    const index = row.bundle_index ? (JSON.parse(row.bundle_index as string) as BundleIndex) : undefined
    return {
      ...record,
      isCurrent: this.state('current') === record.id,
      ...(index
        ? {
            worker: {
              id: workerId,
              version: record.version,
              tasks: index.tasks.map((task) => ({
                id: task.id,
                slug: task.id,
                filePath: task.filePath,
                ...(task.exportName ? { exportName: task.exportName } : {}),
                ...(task.triggerSource ? { triggerSource: task.triggerSource } : {}),
                ...(task.payloadSchema !== undefined ? { payloadSchema: task.payloadSchema } : {}),
              })),
            },
          }
        : {}),
    }
  }

  private row(id: string): Row | undefined {
    return this.first('SELECT * FROM deployments WHERE id = ?', id)
  }

  private state(key: string): string | undefined {
    return this.first('SELECT value FROM state WHERE key = ?', key)?.value as string | undefined
  }

  private setState(key: string, value: string): void {
    this.sql.exec('INSERT OR REPLACE INTO state VALUES (?, ?)', key, value)
  }

  private first(query: string, ...values: SqlStorageValue[]): Row | undefined {
    return this.sql.exec<Row>(query, ...values).toArray()[0]
  }
}

function devVersion(worker: BackgroundWorkerRecord): WorkerVersion {
  const { index, runtime, runtimeVersion, sdkVersion } = worker
  return {
    version: worker.version,
    workerId: worker.id,
    deploymentId: '',
    deploymentShortCode: '',
    bundleHash: '',
    remote: true,
    ...(runtime ? { runtime } : {}),
    ...(runtimeVersion ? { runtimeVersion } : {}),
    ...(sdkVersion ? { sdkVersion } : {}),
    tasks: index.tasks,
    queues: index.queues,
  }
}

function sameIndex(one: BundleIndex, other: BundleIndex): boolean {
  return JSON.stringify([one.tasks, one.queues]) === JSON.stringify([other.tasks, other.queues])
}

function parse(row: Row): StoredDeployment {
  return JSON.parse(row.record as string)
}

function refusal(
  code: string,
  message: string,
  status: number,
): { ok: false; error: { code: string; message: string; status: number } } {
  return { ok: false, error: { code, message, status } }
}
