/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { mintId, randomText } from '../contracts/ids.ts'
import type { IsolateControl, IsolatePlatform } from '../contracts/isolate.ts'
import { type EnvironmentAccess, objectNames } from '../contracts/objects.ts'
import type { Completion, FinishInput, RunExecutor, SpanRecord, StartInput } from '../contracts/rpc.ts'
import type { RunDO } from './run-do.ts'
import { bindings, newIdentity, until } from './testing.ts'

const secret = 'sk_live_0123456789'

/** One attempt as the isolate plays it: the test decides how it ends. */
interface Attempt {
  runId: string
  isolateId: string
  variables: Record<string, string>
  platform: IsolatePlatform
  end(completion: Partial<Completion>, spans?: SpanRecord[]): void
  fail(message: string): void
}

class Bench {
  readonly identity = newIdentity()
  attempts: Attempt[] = []
  finished: FinishInput[] = []
  /** The next reports are answered this way. */
  answers: ('unreachable' | 'busy' | 'stale')[] = []
  private lease = 100

  get stub(): DurableObjectStub {
    return bindings.RUN.get(bindings.RUN.idFromName(objectNames.run(this.identity.locator, '0', 0)))
  }
  get object(): RunExecutor {
    return this.stub as unknown as RunExecutor
  }

  /** Replaces what the object calls: loader, bucket, project and environment. Again after each reset. */
  async wire(): Promise<void> {
    await runInDurableObject(this.stub as DurableObjectStub<RunDO>, (instance) => {
      const object = instance as unknown as { env: Record<string, unknown> }
      const access: EnvironmentAccess = { identity: this.identity, apiKey: 'tr_prod_key', keyEpoch: 1, previousKeys: [] }
      object.env = {
        ...object.env,
        LOADER: { get: (id: string) => ({ getEntrypoint: () => ({ run: this.runner(id) }) }) },
        BUCKET: { get: async () => ({ json: async () => ({ hash: '00' }) }) },
        PROJECT: { idFromName: () => '', get: () => ({ environmentByLocator: async () => access }) },
        ENVIRONMENT: { idFromName: () => '', get: () => ({ finish: (input: FinishInput) => this.finish(input) }) },
      }
    })
  }

  private runner(isolateId: string) {
    return async ({ start }: { start: StartInput }, platform: IsolatePlatform): Promise<unknown> => {
      let outcome: { result: unknown } | { error: string } | undefined
      this.attempts.push({
        runId: start.runId,
        isolateId,
        variables: start.variables,
        platform,
        end: (completion, spans = []) => {
          outcome = { result: { completion: { ok: true, id: start.runId, ...completion }, spans } }
        },
        fail: (message) => {
          outcome = { error: message }
        },
      })
      // Looked at from the object's own context: a promise resolved by the test would belong to another one.
      while (!outcome) await scheduler.wait(2)
      if ('error' in outcome) throw new Error(outcome.error)
      return outcome.result
    }
  }

  private async finish(input: FinishInput): Promise<unknown> {
    const answer = this.answers.shift()
    if (answer === 'unreachable') throw new Error('Network connection lost.')
    if (answer === 'busy') return { ok: false, error: { code: 'OVERLOADED', message: '', status: 503, retryable: true } }
    if (answer === 'stale') return { ok: false, error: { code: 'STALE_LEASE', message: '', status: 409 } }
    this.finished.push(structuredClone(input))
    return { ok: true, value: { released: true } }
  }

  input(runId = mintId('run', this.identity.locator), lease = ++this.lease): StartInput {
    return {
      environment: this.identity,
      lease,
      runId,
      attempt: 1,
      shard: 0,
      bundle: { hash: '00', version: '20260101.1', deploymentId: 'd', workerId: 'w' },
      execution: { task: { id: 'a', filePath: 'a.ts', entryPoint: 'a.mjs' } },
      traceparent: '00-0-0-01',
      variables: { STRIPE_KEY: secret },
    }
  }

  async attempt(runId: string, count = 1): Promise<Attempt> {
    await until(() => this.attempts.filter((attempt) => attempt.runId === runId).length >= count)
    return this.attempts.filter((attempt) => attempt.runId === runId)[count - 1] as Attempt
  }
}

async function newBench(): Promise<Bench> {
  const bench = new Bench()
  await bench.wire()
  return bench
}

const line = (name: string): SpanRecord => ({
  kind: 'log',
  traceId: 't',
  spanId: randomText(8),
  name,
  startTime: '1',
  level: 'LOG',
  isError: false,
  isPartial: false,
  attempt: 1,
})

afterEach(() => vi.restoreAllMocks())

describe('a session', () => {
  it('is opened once per lease, and reports its end', async () => {
    const bench = await newBench()
    const input = bench.input()
    const answers = await Promise.all([bench.object.start(input), bench.object.start(input)])
    expect(answers).toEqual([{ ok: true }, { ok: true }])
    const attempt = await bench.attempt(input.runId)
    expect(await bench.object.alive([input.lease, input.lease + 1])).toEqual([input.lease])
    attempt.end({ output: '1' })
    await until(() => bench.finished.length === 1)
    expect(bench.finished[0]).toMatchObject({ runId: input.runId, lease: input.lease, completion: { ok: true, output: '1' } })
    await until(async () => (await bench.object.alive([input.lease])).length === 0)
    expect(bench.attempts).toHaveLength(1)
  })

  it('refuses a lease that is not newer, also when it comes late to an object that serves another run', async () => {
    const bench = await newBench()
    const first = bench.input()
    const newer = bench.input(first.runId)
    await bench.object.start(newer)
    expect(await bench.object.start(first)).toEqual({ ok: false, reason: 'STALE_LEASE' })
    ;(await bench.attempt(first.runId)).end({})
    await until(() => bench.finished.length === 1)
    const other = bench.input()
    await bench.object.start(other)
    await bench.attempt(other.runId)
    expect(await bench.object.start(first)).toEqual({ ok: false, reason: 'STALE_LEASE' })
    expect(await bench.object.start(newer)).toEqual({ ok: false, reason: 'STALE_LEASE' })
    expect(bench.attempts.map((attempt) => attempt.runId)).toEqual([first.runId, other.runId])
  })

  it('is closed by the next start of its run: its log and platform calls are refused, its end is not reported', async () => {
    const bench = await newBench()
    const old = bench.input()
    await bench.object.start(old)
    const stale = await bench.attempt(old.runId)
    const next = bench.input(old.runId)
    await bench.object.start(next)
    const current = await bench.attempt(old.runId, 2)
    await expect(stale.platform.telemetry([line('late')])).rejects.toThrow('STALE_LEASE')
    const call = { method: 'PUT', path: `/api/v1/runs/${old.runId}/metadata`, headers: [], body: '{}' }
    await expect(stale.platform.fetch(call as never)).rejects.toThrow('STALE_LEASE')
    stale.end({ output: '"stale"' })
    current.end({ output: '"current"' })
    await until(() => bench.finished.length === 1)
    expect(bench.finished.map((input) => [input.lease, input.completion?.output])).toEqual([[next.lease, '"current"']])
  })

  it('shows its telemetry to readers of its own lease only', async () => {
    const bench = await newBench()
    const [a, b] = [bench.input(), bench.input()]
    await bench.object.start(a)
    await bench.object.start(b)
    await (await bench.attempt(a.runId)).platform.telemetry([line('of a')])
    await (await bench.attempt(b.runId)).platform.telemetry([line('of b')])
    expect((await bench.object.telemetry(a.lease)).map((span) => span.name)).toEqual(['of a'])
    expect((await bench.object.telemetry(b.lease)).map((span) => span.name)).toEqual(['of b'])
    expect(await bench.object.telemetry(a.lease - 1)).toEqual([])
  })

  it('masks keys and variables in what it keeps', async () => {
    const bench = await newBench()
    const input = bench.input()
    await bench.object.start(input)
    const attempt = await bench.attempt(input.runId)
    expect(attempt.variables.STRIPE_KEY).toBe(secret)
    await attempt.platform.telemetry([line(`using ${secret} and tr_prod_key`)])
    attempt.end({ ok: false, error: { type: 'STRING_ERROR', raw: `bad ${secret}` } })
    await until(() => bench.finished.length === 1)
    expect(bench.finished[0]?.spans.map((span) => span.name)).toEqual(['using *** and ***'])
    expect(bench.finished[0]?.completion?.error).toEqual({ type: 'STRING_ERROR', raw: 'bad ***' })
  })

  it('hands a resume and a cancel to the isolate, also when they come before it is attached', async () => {
    const bench = await newBench()
    const input = bench.input()
    await bench.object.start(input)
    const waitpoint = { id: 'w', friendlyId: 'w', type: 'DATETIME' as const, completedAt: 1, outputIsError: false }
    expect(await bench.object.resume(input.lease, [waitpoint])).toEqual({ ok: true })
    const attempt = await bench.attempt(input.runId)
    const seen: unknown[] = []
    const control = {
      dup: () => control,
      resolveWaitpoints: async (list: unknown[]) => void seen.push(list),
      cancel: async (reason: string) => void seen.push(reason),
    } as unknown as IsolateControl
    await attempt.platform.attach(control)
    expect(await bench.object.cancel(input.lease, 'enough')).toEqual({ ok: true })
    expect(seen).toEqual([[waitpoint], 'enough'])
    expect(await bench.object.cancel(input.lease + 9, 'enough')).toEqual({ ok: false })
    expect(await bench.object.resume(input.lease + 9, [])).toEqual({ ok: false })
  })
})

describe('the end of a session', () => {
  it('is reported until it is taken', async () => {
    const bench = await newBench()
    bench.answers = ['unreachable', 'busy', 'unreachable']
    const input = bench.input()
    await bench.object.start(input)
    ;(await bench.attempt(input.runId)).end({})
    expect(await bench.object.alive([input.lease])).toEqual([input.lease])
    await until(() => bench.finished.length === 1)
  })

  it('is not reported again when the lease is stale', async () => {
    const bench = await newBench()
    bench.answers = ['stale']
    const input = bench.input()
    await bench.object.start(input)
    ;(await bench.attempt(input.runId)).end({})
    await until(async () => (await bench.object.alive([input.lease])).length === 0)
    expect(bench.finished).toEqual([])
  })

  it('after a reset between its end and the report, nobody serves the lease: the environment starts it again', async () => {
    const bench = await newBench()
    bench.answers = Array.from({ length: 50 }, () => 'unreachable' as const)
    const input = bench.input()
    await bench.object.start(input)
    ;(await bench.attempt(input.runId)).end({})
    await abortAllDurableObjects()
    await bench.wire()
    expect(await bench.object.alive([input.lease])).toEqual([])
    const again = bench.input(input.runId)
    bench.answers = []
    await bench.object.start(again)
    ;(await bench.attempt(input.runId, 2)).end({ output: '2' })
    await until(() => bench.finished.some((report) => report.lease === again.lease))
  })

  it('is confirmed when the environment took the lease away, and a late start of it is refused', async () => {
    const bench = await newBench()
    const input = bench.input()
    await bench.object.start(input)
    const attempt = await bench.attempt(input.runId)
    expect(await bench.object.release(input.lease, input.runId)).toEqual({ ok: true })
    expect(await bench.object.alive([input.lease])).toEqual([])
    await expect(attempt.platform.telemetry([line('late')])).rejects.toThrow('STALE_LEASE')
    const never = bench.input()
    expect(await bench.object.release(never.lease, never.runId)).toEqual({ ok: true })
    expect(await bench.object.start(never)).toEqual({ ok: false, reason: 'STALE_LEASE' })
  })
})

describe('an isolate that is killed', () => {
  const memory = 'Worker exceeded its memory limit.'

  it('by the only run in it ends that run as out of memory, and its id is not used again', async () => {
    const bench = await newBench()
    const input = bench.input()
    await bench.object.start(input)
    const attempt = await bench.attempt(input.runId)
    attempt.fail(memory)
    await until(() => bench.finished.length === 1)
    expect(bench.finished[0]?.completion?.error).toMatchObject({ code: 'TASK_PROCESS_MAYBE_OOM_KILLED' })
    const next = bench.input()
    await bench.object.start(next)
    expect((await bench.attempt(next.runId)).isolateId).toBe(`${attempt.isolateId}:r1`)
  })

  it('while several were in it costs nobody an attempt: each starts again alone', async () => {
    const bench = await newBench()
    const inputs = [bench.input(), bench.input()]
    for (const input of inputs) {
      await bench.object.start(input)
      await bench.attempt(input.runId)
    }
    for (const attempt of bench.attempts) attempt.fail(memory)
    await until(() => bench.finished.length === 2)
    for (const report of bench.finished) expect([report.completion, report.lost?.alone]).toEqual([undefined, true])
  })

  it('by nobody (a platform error) is a loss, not a failure of the task', async () => {
    const bench = await newBench()
    const input = bench.input()
    await bench.object.start(input)
    ;(await bench.attempt(input.runId)).fail('internal error; reference = abc')
    await until(() => bench.finished.length === 1)
    expect(bench.finished[0]).toMatchObject({ lost: { reason: 'internal error; reference = abc' } })
  })

  it('of an older platform is replaced once', async () => {
    const bench = await newBench()
    const input = bench.input()
    await bench.object.start(input)
    ;(await bench.attempt(input.runId)).fail('Unable to deserialize cloned data due to invalid or unsupported version.')
    const second = await bench.attempt(input.runId, 2)
    expect(second.isolateId).toMatch(/:r1$/)
    second.end({})
    await until(() => bench.finished.length === 1)
    expect(bench.finished[0]?.completion?.ok).toBe(true)
  })
})

describe('time', () => {
  it('a deleted or doubled heartbeat alarm changes nothing of the run', async () => {
    const bench = await newBench()
    const input = bench.input()
    await bench.object.start(input)
    const attempt = await bench.attempt(input.runId)
    await runInDurableObject(bench.stub as DurableObjectStub<RunDO>, async (instance, state) => {
      await instance.alarm()
      expect(await state.storage.getAlarm()).not.toBeNull()
      await instance.alarm()
      await state.storage.deleteAlarm()
    })
    attempt.end({})
    await until(() => bench.finished.length === 1)
    await runInDurableObject(bench.stub as DurableObjectStub<RunDO>, async (instance, state) => {
      await instance.alarm()
      // Nothing is served: the object may sleep, and it has written nothing.
      expect([await state.storage.getAlarm(), (await state.storage.list()).size]).toEqual([null, 0])
    })
  })
})
