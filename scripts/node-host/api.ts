/** The calls of a Node host. */

export interface HostRun {
  snapshot: { id: string }
  dequeuedAt: string
  backgroundWorker: { version: string }
  deployment: { id: string }
  run: { id: string; machine: { cpu: number; memory: number } }
  runner: { token: string }
}

export interface Connected {
  workerGroup: { name: string }
  environment: { id: string }
  project: { id: string; ref: string }
}

const base = '/engine/v1/worker-actions'
/** Longer than the platform holds a question open. */
const heldMs = 90_000
const callMs = 30_000

export class HostApi {
  readonly apiUrl: string
  readonly secretKey: string
  readonly branch: string | undefined

  constructor(apiUrl: string, secretKey: string, branch: string | undefined) {
    this.apiUrl = apiUrl
    this.secretKey = secretKey
    this.branch = branch
  }

  connect(): Promise<Connected> {
    return this.#post(`${base}/connect`, {})
  }

  builds(signal: AbortSignal): Promise<{ builds: { deploymentId: string; version: string }[] }> {
    return this.#post(`${base}/builds`, {}, heldMs, signal)
  }

  dequeue(maxRunCount: number, signal: AbortSignal): Promise<HostRun[]> {
    return this.#post(`${base}/dequeue`, { maxRunCount }, heldMs, signal)
  }

  heartbeat(runId: string, snapshotId: string): Promise<unknown> {
    return this.#post(`${base}/runs/${runId}/snapshots/${snapshotId}/heartbeat`, {})
  }

  release(runId: string, snapshotId: string, reason: string): Promise<{ requeued: boolean }> {
    return this.#post(`${base}/runs/${runId}/snapshots/${snapshotId}/release`, { reason: reason.slice(0, 1_000) })
  }

  /** The attempt ends as it does upstream when a process is killed for its memory: a larger machine may be tried. */
  async outOfMemory({ run, runner, snapshot }: HostRun, message: string): Promise<void> {
    const own = { 'x-trigger-workload-deployment-id': runner.token }
    const path = `/api/v1/workload-actions/runs/${run.id}/snapshots`
    const { snapshots } = (await (
      await this.#send('GET', `${path}/since/${snapshot.id}`, undefined, callMs, undefined, own)
    ).json()) as { snapshots: { snapshot: { id: string } }[] }
    const last = snapshots.at(-1)?.snapshot.id
    const error = { type: 'INTERNAL_ERROR', code: 'TASK_PROCESS_OOM_KILLED', message }
    const completion = { completion: { id: run.id, ok: false, error } }
    if (last) await this.#send('POST', `${path}/${last}/attempts/complete`, completion, callMs, undefined, own)
  }

  fail(deploymentId: string, message: string): Promise<unknown> {
    return this.#post(`/api/v1/deployments/${deploymentId}/fail`, { error: { message } })
  }

  async bundle(deploymentId: string): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#send('GET', `${base}/deployments/${deploymentId}/bundle`, undefined, heldMs)
    return response.body as ReadableStream<Uint8Array>
  }

  async #post<T>(path: string, body: unknown, timeoutMs = callMs, signal?: AbortSignal): Promise<T> {
    const response = await this.#send('POST', path, body, timeoutMs, signal)
    return (await response.json()) as T
  }

  async #send(
    method: string,
    path: string,
    body: unknown,
    timeoutMs: number,
    signal?: AbortSignal,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const limit = AbortSignal.timeout(timeoutMs)
    const response = await fetch(this.apiUrl + path, {
      method,
      headers: {
        authorization: `Bearer ${this.secretKey}`,
        'content-type': 'application/json',
        ...(this.branch ? { 'x-trigger-branch': this.branch } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    })
    if (response.ok) return response
    const text = await response.text()
    let message = text.slice(0, 200)
    try {
      message = (JSON.parse(text) as { error: string }).error
    } catch {}
    throw Object.assign(new Error(`${response.status} ${message}`), { status: response.status })
  }
}
