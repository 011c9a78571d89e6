/** Runs real inputs of real runs again in isolates made for measuring. */
import { RpcTarget } from 'cloudflare:workers'
import type { Env } from '../../src/contracts/bindings.ts'
import type { IsolatePlatform, IsolateRun, TaskIsolate } from '../../src/contracts/isolate.ts'
import type { Phase } from './phases.ts'

type Code = () => Promise<WorkerLoaderWorkerCode>

/** What the platform last gave to an isolate, by task. */
const seen = new Map<string, { input: IsolateRun; code: Code }>()

export function remember(code: Code, input: IsolateRun): void {
  seen.set((input.start.execution.task as { id: string }).id, { input, code })
}

export interface LabRequest {
  task: string
  /** Loads a new isolate instead of one that is there already. */
  isolate: string
  count: number
  /** Text of the main module and how far each run goes; without it the platform's own entrypoint runs, call by call. */
  main?: string
  /** Without `main`, 'call' is an empty call. */
  upTo?: Phase
}

class Platform extends RpcTarget implements IsolatePlatform {
  async attach(): Promise<void> {}
  async telemetry(): Promise<void> {}
  async fetch(): Promise<never> {
    throw new Error('A measured run calls no platform.')
  }
}

export async function isolateLab(env: Env, request: LabRequest): Promise<{ ms: number }> {
  const known = seen.get(request.task)
  if (!known) throw new Error(`${request.task} has not run yet`)
  const { main, upTo, count } = request
  const isolate = env.LOADER.get(`lab:${request.isolate}`, async () => {
    const code = await known.code()
    return main === undefined ? code : { ...code, modules: { ...code.modules, 'main.js': { js: main } } }
  })
  const entrypoint = isolate.getEntrypoint() as unknown as TaskIsolate & Repeater
  const platform = new Platform()
  const startedAt = performance.now()
  if (main !== undefined) await entrypoint.repeat(known.input, platform, upTo as Phase, count)
  else
    for (let i = 0; i < count; i++) {
      if (upTo === 'call') {
        await entrypoint.ping()
        continue
      }
      const result = await entrypoint.run(known.input, platform)
      if (!('completion' in result) || !result.completion.ok) throw new Error(`The run failed: ${JSON.stringify(result)}`)
    }
  return { ms: performance.now() - startedAt }
}

interface Repeater {
  repeat(input: IsolateRun, platform: IsolatePlatform, upTo: Phase, count: number): Promise<void>
}
