/** For the workerd tests of the objects: identities, versions, and executors that a test can make misbehave. */
/// <reference types="@cloudflare/vitest-plugin/types" />
import { env } from 'cloudflare:test'
import { vi } from 'vitest'
import type { Env } from '../contracts/bindings.ts'
import { mintEnvironmentId, mintId, randomText } from '../contracts/ids.ts'
import { type EnvironmentObject, objectNames } from '../contracts/objects.ts'
import type {
  Caller,
  CompletedWaitpoint,
  Completion,
  EnvironmentIdentity,
  RpcResult,
  RunDetail,
  RunExecutor,
  StartInput,
  TriggerOptions,
  WorkerVersion,
} from '../contracts/rpc.ts'
import { Executors } from './environment/executors.ts'

export const bindings = env as unknown as Env

export function newIdentity(): EnvironmentIdentity {
  const locator = randomText(6)
  return {
    id: mintEnvironmentId(locator),
    locator,
    slug: 'prod',
    type: 'PRODUCTION',
    projectId: `prj${randomText(21)}`,
    projectRef: 'proj_test',
    projectName: 'test',
    organizationId: 'org1',
    organizationSlug: 'org',
    organizationTitle: 'Org',
  }
}

export function newVersion(tasks: string[], version = '20260101.1'): WorkerVersion {
  return {
    version,
    workerId: 'worker_1',
    deploymentId: 'deployment_1',
    deploymentShortCode: 'abc',
    bundleHash: '00',
    tasks: tasks.map((id) => ({
      id,
      filePath: 'a.ts',
      entryPoint: 'a.mjs',
      host: 'isolate' as const,
      retry: { maxAttempts: 2, minTimeoutInMs: 1, maxTimeoutInMs: 1, factor: 1 },
    })),
    queues: [{ name: 'narrow', concurrencyLimit: 2 }],
  }
}

/** Plays every RunDO of the test: a session per lease, and faults by name. */
export class FakeExecutors {
  /** Lease → what was started, while it is served. */
  sessions = new Map<number, { slot: number; input: StartInput }>()
  starts: StartInput[] = []
  resumed: { lease: number; waitpoints: CompletedWaitpoint[] }[] = []
  released: number[] = []
  cancelled: number[] = []
  /** The next starts go wrong this way, in order. */
  faults: ('answer lost' | 'never arrives')[] = []
  /** Slots whose object does not answer `release`. */
  stuck = new Set<number>()

  /** For one environment: those of earlier tests may still be alive. */
  install(locator: string): void {
    const nobody = new Proxy({}, { get: () => () => Promise.reject(new Error('not of this test')) }) as RunExecutor
    vi.spyOn(Executors.prototype, 'at').mockImplementation((of, slot) => (of === locator ? this.executor(slot) : nobody))
  }

  started(runId: string): StartInput[] {
    return this.starts.filter((input) => input.runId === runId)
  }

  private executor(slot: number): RunExecutor {
    return {
      start: async (input) => {
        const fault = this.faults.shift()
        if (fault === 'never arrives') throw new Error('Network connection lost.')
        this.sessions.set(input.lease, { slot, input })
        this.starts.push(input)
        if (fault === 'answer lost') throw new Error('Network connection lost.')
        return { ok: true }
      },
      resume: async (lease, waitpoints) => {
        if (!this.sessions.has(lease)) return { ok: false }
        this.resumed.push({ lease, waitpoints })
        return { ok: true }
      },
      cancel: async (lease) => {
        this.cancelled.push(lease)
        return { ok: this.sessions.has(lease) }
      },
      alive: async (leases) => leases.filter((lease) => this.sessions.get(lease)?.slot === slot),
      telemetry: async () => [],
      release: async (lease) => {
        if (this.stuck.has(slot)) return { ok: false }
        this.sessions.delete(lease)
        this.released.push(lease)
        return { ok: true }
      },
    }
  }
}

/** One environment as its callers see it; a new stub for each call, as after a reset. */
export class Environment {
  readonly identity: EnvironmentIdentity = newIdentity()
  readonly caller: Caller = { environment: this.identity, keyEpoch: 1 }
  readonly executors: FakeExecutors

  constructor(executors: FakeExecutors) {
    this.executors = executors
    executors.install(this.identity.locator)
  }

  get stub(): DurableObjectStub {
    const { ENVIRONMENT } = bindings
    return ENVIRONMENT.get(ENVIRONMENT.idFromName(objectNames.environment(this.identity.locator)))
  }
  get object(): EnvironmentObject {
    return this.stub as unknown as EnvironmentObject
  }

  async deploy(...tasks: string[]): Promise<void> {
    await this.object.setVersion(this.identity, newVersion(tasks), {})
  }

  mint(): string {
    return mintId('run', this.identity.locator)
  }

  async trigger(task: string, options: Partial<TriggerOptions> = {}, runId = this.mint(), operationId = runId): Promise<string> {
    const payload = { data: '{"n":1}', dataType: 'application/json' }
    return must(await this.object.trigger(this.caller, { runId, operationId, task, options: { payload, ...options } })).id
  }

  async run(id: string): Promise<RunDetail> {
    return must(await this.object.getRun(this.caller, id))
  }

  /** The executor's report for the newest start of the run. */
  async finish(runId: string, completion: Partial<Completion> = { ok: true, output: '1' }): Promise<RpcResult<unknown>> {
    const input = this.executors.started(runId).at(-1)
    if (!input) throw new Error(`${runId} was not started`)
    return this.finishLease(input, completion)
  }

  async finishLease(input: StartInput, completion: Partial<Completion> = { ok: true, output: '1' }): Promise<RpcResult<unknown>> {
    const { runId, attempt, lease } = input
    const result = await this.object.finish({
      runId,
      attempt,
      lease,
      completion: { ok: true, id: runId, ...completion },
      spans: [],
    })
    this.executors.sessions.delete(lease)
    return result
  }
}

export function must<T>(result: RpcResult<T>): T {
  if (!result.ok) throw new Error(`${result.error.code}: ${result.error.message}`)
  return result.value
}

export async function until(check: () => boolean | Promise<boolean>, ms = 3_000): Promise<void> {
  const end = Date.now() + ms
  while (!(await check())) {
    if (Date.now() > end) throw new Error('it did not happen in time')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
