/**
 * Entry module of a task isolate. It belongs to one environment, bundle and platform version; what belongs to a run
 * comes as an argument. Shared SDK modules are imported only after the globals are patched, never statically.
 */
import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers'
import type { IsolateControl, IsolatePlatform, IsolateRun, TaskIsolate } from '../contracts/isolate.ts'
import type { BundleIndex, CompletedWaitpoint, Completion, SpanRecord } from '../contracts/rpc.ts'
import { Attachment } from './attachment.ts'
import { Attempt } from './attempt.ts'
import { installGlobals } from './globals.ts'
import { indexBundle } from './index.ts'

installGlobals()

/** A safety valve above what EnvironmentDO puts into one isolate; beyond it RunDO tries another shard. */
const maxRuns = 40
let runCount = 0

class Control extends RpcTarget implements IsolateControl {
  readonly #attempt: Attempt
  constructor(attempt: Attempt) {
    super()
    this.#attempt = attempt
  }
  async resolveWaitpoints(waitpoints: CompletedWaitpoint[]): Promise<void> {
    this.#attempt.resolveWaitpoints(waitpoints)
  }
  async cancel(reason: string): Promise<void> {
    await this.#attempt.cancel(reason)
  }
}

export default class TaskIsolateEntrypoint extends WorkerEntrypoint implements TaskIsolate {
  index(input: Parameters<TaskIsolate['index']>[0]): Promise<BundleIndex> {
    return indexBundle(input)
  }

  async run(
    input: IsolateRun,
    platform: IsolatePlatform,
  ): Promise<{ completion: Completion; spans: SpanRecord[] } | { busy: true }> {
    if (runCount >= maxRuns) return { busy: true }
    runCount++
    const attachment = new Attachment(platform, () => new Control(attempt))
    const attempt = new Attempt(input, attachment.platform)
    try {
      return await attempt.execute()
    } finally {
      attachment.end()
      runCount--
    }
  }

  async ping(): Promise<{ runs: number }> {
    return { runs: runCount }
  }
}
