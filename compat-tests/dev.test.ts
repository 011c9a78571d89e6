/** `trigger.dev dev`, unmodified: runs of the development environment execute on this machine, by the code as it is now. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runs, streams, tasks, wait } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { environmentKey, type Project } from './cli.ts'
import { type DevSession, startDev } from './dev-session.ts'
import { endpoints, finished, hasStatus, http, runTask, until, useProject } from './harness.ts'
import { makeProject } from './made-project.ts'

const source = `
import { batch, logger, metadata, schedules, schemaTask, streams, tags, task, wait } from '@trigger.dev/sdk'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpus } from 'node:os'

export const hello = task({
  id: 'hello',
  run: async (payload: { name?: string }, { ctx }) => {
    logger.info('hello from the laptop', { name: payload.name })
    console.log('a line of the console')
    return { greeting: 'BUILD one ' + (payload.name ?? 'you'), pid: process.pid, cores: cpus().length, env: ctx.environment.type }
  },
})
export const flaky = task({
  id: 'flaky',
  retry: { maxAttempts: 3, minTimeoutInMs: 100, maxTimeoutInMs: 200, factor: 1, randomize: false },
  run: async (_: unknown, { ctx }) => {
    if (ctx.attempt.number < 2) throw new Error('not yet')
    return ctx.attempt.number
  },
})
export const fails = task({ id: 'fails', retry: { maxAttempts: 1 }, run: async () => { throw new Error('it is broken') } })
export const exits = task({ id: 'exits', retry: { maxAttempts: 1 }, run: async () => { process.exit(7) } })
export const hangs = task({
  id: 'hangs',
  run: async (_: unknown, { signal }) => {
    metadata.set('stage', 'hanging')
    await metadata.flush()
    await new Promise((done) => signal.addEventListener('abort', done))
    await sleep(60_000)
  },
})
export const overlong = task({
  id: 'overlong',
  maxDuration: 5,
  retry: { maxAttempts: 1 },
  run: async () => {
    const end = Date.now() + 60_000
    while (Date.now() < end) { for (let i = 0; i < 1e6; i++); await sleep(1) }
  },
})
export const tokens = task({
  id: 'tokens',
  run: async () => {
    const source = (async function* () {
      for (let i = 0; i < 10; i++) {
        yield { i }
        await sleep(100)
      }
    })()
    await streams.pipe('tokens', source).waitUntilComplete()
    await streams.append('notes', 'the end')
  },
})
export const waits = task({ id: 'waits', run: async () => { const start = Date.now(); await wait.for({ seconds: 8 }); return Date.now() - start } })
export const naps = task({ id: 'naps', run: async () => { await wait.for({ seconds: 1 }); return 'awake' } })
export const parent = task({
  id: 'parent',
  run: async () => {
    const one = await hello.triggerAndWait({ name: 'child' }).unwrap()
    const failed = await fails.triggerAndWait(undefined as never)
    return { one: one.greeting, failed: failed.ok }
  },
})
export const batches = task({
  id: 'batches',
  run: async () => {
    const { runs } = await hello.batchTriggerAndWait([{ payload: { name: 'a' } }, { payload: { name: 'b' } }])
    return runs.map((run) => (run.ok ? run.output.greeting : 'failed'))
  },
})
export const approves = task({
  id: 'approves',
  run: async () => {
    const token = await wait.createToken({ timeout: '1h' })
    metadata.set('token', token.id)
    await metadata.flush()
    const answer = await wait.forToken<{ by: string }>(token.id)
    return answer.ok ? answer.output.by : 'nobody'
  },
})
export const describes = task({
  id: 'describes',
  run: async () => {
    metadata.set('progress', 0.5).append('log', 'first')
    await tags.add('from-a-laptop')
    return 'x'.repeat(200_000)
  },
})
export const noisy = task({
  id: 'noisy',
  run: async ({ lines }: { lines: number }) => {
    await logger.trace('many lines', async () => { for (let i = 0; i < lines; i++) logger.log('line ' + i) })
    return lines
  },
})
export const ticks = schedules.task({ id: 'ticks', cron: '* * * * *', run: async (payload) => payload.timestamp })
`

let project: Project
let folder: string
let session: DevSession
const environment = 'dev'

beforeAll(async () => {
  const made = makeProject({ 'src/tasks.ts': source })
  folder = made.folder
  project = await environmentKey(endpoints, folder, environment)
  session = await startDev(endpoints, folder)
  useProject(project)
}, 200_000)
afterAll(async () => {
  await session?.stop()
})

const key = (): Record<string, string> => ({ authorization: `Bearer ${project.secretKey}` })

describe('a session of dev', () => {
  it('runs a task in a process on this machine, and says so', async () => {
    const run = await runTask('hello', { name: 'Ada' })
    expect(run.output).toMatchObject({ greeting: 'BUILD one Ada', env: 'DEVELOPMENT' })
    expect((run.output as { pid: number }).pid).toBeGreaterThan(1)
    await session.until(new RegExp(`hello.*${run.id.slice(-6)}|${run.id}`))
    await session.until(/Success/)
  })

  it('is quick: the question for runs is held open', async () => {
    const started: number[] = []
    for (let round = 0; round < 5; round++) {
      const run = await runTask('hello')
      started.push((run.startedAt as Date).getTime() - run.createdAt.getTime())
    }
    expect(Math.min(...started)).toBeLessThan(150)
  })

  it('retries what throws, ends what throws too often, and what leaves its process', async () => {
    const [flaky, fails, exits] = await Promise.all(['flaky', 'fails', 'exits'].map((id) => runTask(id)))
    expect(flaky).toMatchObject({ status: 'COMPLETED', output: 2, attemptCount: 2 })
    expect(fails).toMatchObject({ status: 'FAILED', attemptCount: 1, error: { message: 'it is broken' } })
    expect(exits?.status).toBe('CRASHED')
  })

  it('waits for short and long times, children, batches and tokens', async () => {
    const handles = await Promise.all(['waits', 'naps', 'parent', 'batches', 'approves'].map((id) => tasks.trigger(id, {})))
    const [waits, naps, parent, batches, approves] = handles.map(({ id }) => id) as [string, string, string, string, string]
    const token = await until(async () => (await runs.retrieve(approves)).metadata?.token as string | undefined, 'the token')
    await wait.completeToken(token, { by: 'Grace' })
    expect((await finished(approves)).output).toBe('Grace')
    expect((await finished(naps)).output).toBe('awake')
    expect((await finished(batches)).output).toEqual(['BUILD one a', 'BUILD one b'])
    expect((await finished(parent)).output).toEqual({ one: 'BUILD one child', failed: false })
    const waited = (await finished(waits)).output as number
    expect(waited).toBeGreaterThan(7_900)
    expect(waited).toBeLessThan(10_500)
  })

  it('keeps metadata, tags and a large output', async () => {
    const run = await runTask('describes')
    expect(run).toMatchObject({ metadata: { progress: 0.5, log: ['first'] }, tags: ['from-a-laptop'] })
    expect(run.output).toHaveLength(200_000)
  })

  it('takes a large payload', async () => {
    const run = await runTask('hello', { name: 'n'.repeat(200_000) })
    expect((run.output as { greeting: string }).greeting).toHaveLength(200_010)
  })

  it('streams, read while they are written', async () => {
    const { id } = await tasks.trigger('tokens', {})
    const seen: { chunk: unknown; at: number }[] = []
    for await (const chunk of await streams.read(id, 'tokens')) seen.push({ chunk, at: Date.now() })
    expect(seen.map(({ chunk }) => chunk)).toEqual(Array.from({ length: 10 }, (_, i) => ({ i })))
    expect((seen.at(-1)?.at ?? 0) - (seen[0]?.at ?? 0)).toBeGreaterThan(500)
    expect(await finished(id)).toMatchObject({ status: 'COMPLETED' })
    for await (const chunk of await streams.read(id, 'notes')) expect(chunk).toBe('the end')
  })

  it('ends a run that is cancelled within a moment, and one that takes too long', async () => {
    const [cancelled, overlong] = await Promise.all([tasks.trigger('hangs', {}), tasks.trigger('overlong', {})])
    await until(async () => (await runs.retrieve(cancelled.id)).metadata?.stage === 'hanging', 'the task to hang')
    const before = Date.now()
    await runs.cancel(cancelled.id)
    expect((await finished(cancelled.id)).status).toBe('CANCELED')
    // The slot is free, and the process gone, once the session confirmed it.
    await until(async () => (await snapshot(cancelled.id)) === 'FINISHED', 'the session to confirm')
    expect(Date.now() - before).toBeLessThan(3_000)
    expect((await finished(overlong.id)).status).toBe('TIMED_OUT')
  })

  it('shows the spans and the lines of a run, and those of its children', async () => {
    const run = await runTask('parent')
    const events = await until(async () => {
      const { body } = await http('GET', `/api/v1/runs/${run.id}/events`, undefined, key())
      const names = body.events.map((event: { message: string }) => event.message) as string[]
      return names.some((name) => name.startsWith('run()')) ? names : undefined
    }, 'the spans')
    expect(events.some((name) => name.startsWith('Attempt 1'))).toBe(true)
    const traced = await http('GET', `/api/v1/runs/${run.id}/trace`, undefined, key())
    const runIds = new Set<string>()
    const walk = (node: { runId: string; children: never[] }): void => {
      runIds.add(node.runId)
      node.children.forEach(walk)
    }
    walk(traced.body.trace.rootSpan)
    expect(runIds.size).toBe(3)
    const hello = await runTask('hello', { name: 'Bob' })
    const line = await until(async () => {
      const { body } = await http('GET', `/api/v1/runs/${hello.id}/events`, undefined, key())
      return body.events.find((event: { message: string }) => event.message === 'hello from the laptop')
    }, 'the line')
    expect(line).toMatchObject({ level: 'INFO', kind: 'LOG', attemptNumber: 1, properties: { name: 'Bob' } })
    const { body } = await http('GET', `/api/v1/runs/${hello.id}/events`, undefined, key())
    expect(body.events.map((event: { message: string }) => event.message)).toContain('a line of the console')
    expect(body.events.filter((event: { isPartial: boolean }) => event.isPartial)).toEqual([])
  })

  it('survives a run that prints ten thousand lines', async () => {
    const run = await runTask('noisy', { lines: 10_000 })
    expect(run.output).toBe(10_000)
    const lines = await until(async () => {
      const { body } = await http('GET', `/api/v1/runs/${run.id}/events`, undefined, key())
      const found = body.events.filter((event: { message: string }) => /^line \d+$/.test(event.message)).length as number
      const isToldOf = body.events.some((event: { message: string }) => event.message.startsWith('More lines and spans were not'))
      return isToldOf ? found : undefined
    }, 'the lines')
    expect(lines).toBeGreaterThan(3_000)
  })

  it('runs a schedule that is declared in the code', async () => {
    const ran = await until(
      async () => (await runs.list({ taskIdentifier: 'ticks', status: 'COMPLETED', limit: 1 })).data[0],
      'a tick',
      75_000,
    )
    expect(ran.status).toBe('COMPLETED')
  })

  it('says what it is to the platform', async () => {
    const pat = { authorization: `Bearer ${endpoints.accessToken}` }
    const status = await http('GET', `/api/v1/projects/${project.ref}/dev-status`, undefined, pat)
    expect(status.body).toEqual({ isConnected: true })
    const worker = await http('GET', `/api/v1/projects/${project.ref}/dev/workers/current`, undefined, pat)
    expect(worker.body.worker.tasks.map((task: { slug: string }) => task.slug)).toContain('approves')
  })

  it('builds again when a file is saved: new runs use the new code, what runs ends on the old', {
    timeout: 120_000,
  }, async () => {
    const old = await tasks.trigger('waits', {})
    await hasStatus(old.id, 'WAITING')
    const file = join(folder, 'src/tasks.ts')
    writeFileSync(file, readFileSync(file, 'utf8').replace('BUILD one', 'BUILD two'))
    await until(async () => /Local worker ready[\s\S]*Local worker ready/.test(session.output), 'the second build', 60_000)
    const fresh = await runTask('hello', { name: 'Ada' })
    expect((fresh.output as { greeting: string }).greeting).toBe('BUILD two Ada')
    const done = await finished(old.id)
    expect(done.status).toBe('COMPLETED')
    expect(done.version).not.toBe(fresh.version)
  })

  it('frees its runs when it is killed, and the next session takes what waits', { timeout: 120_000 }, async () => {
    const running = await tasks.trigger('hangs', {})
    await until(async () => (await runs.retrieve(running.id)).metadata?.stage === 'hanging', 'the task to hang')
    await session.stop('SIGKILL')
    expect((await finished(running.id)).status).toBe('CANCELED')
    const waiting = await tasks.trigger('hello', { name: 'later' })
    await new Promise((done) => setTimeout(done, 1_500))
    expect((await runs.retrieve(waiting.id)).status).toBe('QUEUED')
    session = await startDev(endpoints, folder)
    expect((await finished(waiting.id)).output).toMatchObject({ greeting: 'BUILD two later' })
  })

  it('ends on Ctrl-C, and its runs with it', async () => {
    const running = await tasks.trigger('hangs', {})
    await until(async () => (await runs.retrieve(running.id)).metadata?.stage === 'hanging', 'the task to hang')
    expect(await session.stop('SIGINT')).toBe(0)
    expect(['CANCELED', 'CRASHED']).toContain((await finished(running.id)).status)
    const pat = { authorization: `Bearer ${endpoints.accessToken}` }
    await until(
      async () => !(await http('GET', `/api/v1/projects/${project.ref}/dev-status`, undefined, pat)).body.isConnected,
      'the session to be gone',
      30_000,
    )
  })
})

async function snapshot(runId: string): Promise<string> {
  const { body } = await http('GET', `/engine/v1/dev/runs/${runId}/snapshots/latest`, undefined, key())
  return body.execution.snapshot.executionStatus
}
