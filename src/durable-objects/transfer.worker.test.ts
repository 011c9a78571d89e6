/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { EnvironmentLine, ExportedRun, ExportLine, RunLine } from '../contracts/export.ts'
import { mintId } from '../contracts/ids.ts'
import { exportLines } from '../operations/export.ts'
import { Importer } from '../operations/import.ts'
import { getRun, getTrace } from '../operations/runs.ts'
import type { Archive } from './environment/archive.ts'
import type { EnvironmentDO } from './environment-do.ts'
import { bindings, Environment, FakeExecutors, must, until } from './testing.ts'

let executors: FakeExecutors
let environment: Environment
let other: Environment

beforeEach(async () => {
  executors = new FakeExecutors()
  other = new Environment(new FakeExecutors())
  environment = new Environment(executors)
  await environment.deploy('a', 'b')
})
afterEach(() => {
  vi.restoreAllMocks()
})

async function finishedRun(options: Parameters<Environment['trigger']>[1] = {}): Promise<string> {
  const id = await environment.trigger('a', options)
  await until(() => executors.started(id).length === 1)
  await environment.finish(id, { ok: true, output: `"${id}"`, outputType: 'application/json' })
  return id
}

async function exported(options: { after?: string; limit?: number } = {}): Promise<ExportLine[]> {
  const lines: ExportLine[] = []
  for await (const line of exportLines(bindings, environment.caller, { limit: 10_000, variables: false, ...options }, Date.now()))
    lines.push(JSON.parse(line))
  return lines
}
const runsOf = (lines: ExportLine[]): RunLine[] => lines.filter((line): line is RunLine => line.kind === 'run')

async function imported(into: Environment, lines: ExportLine[], queueUnfinished = false): Promise<Importer['counts']> {
  const importer = new Importer(bindings, into.caller, { queueUnfinished })
  for (const [index, line] of lines.entries()) await importer.take({ ...line, line: index + 1 })
  return importer.finish()
}

const handOver = (): Promise<unknown> =>
  runInDurableObject(environment.stub as DurableObjectStub<EnvironmentDO>, (instance) =>
    (instance as unknown as { archive: Archive }).archive.pass(Date.now() + 7_200_000),
  )

describe('an export', () => {
  it('is the same before and after the hand-over to the history, across pages', async () => {
    const ids: string[] = []
    for (let n = 0; n < 3; n++) ids.push(await finishedRun({ tags: [`t${n}`] }))
    const more = await Promise.all(Array.from({ length: 120 }, () => environment.trigger('nobody')))
    await Promise.all(more.map((id) => environment.object.cancelRun(environment.caller, id)))
    const before = runsOf(await exported())
    expect(before.map((line) => line.run.id)).toEqual([...ids, ...more].sort())
    await handOver()
    expect((await environment.run(ids[0] as string)).archived).toBe(true)
    expect(runsOf(await exported())).toEqual(before)
    const [, ...rest] = runsOf(await exported({ after: before[49]?.run.id as string, limit: 51 }))
    expect(rest.map((line) => line.run.id)).toEqual(before.slice(51, 101).map((line) => line.run.id))
  })

  it('is refused to a revoked key before anything is answered', async () => {
    await environment.object.setKeyEpoch(2)
    await expect(exported()).rejects.toThrow('Invalid API key')
  })
})

describe('an import', () => {
  it('brings a deleted environment back with its ids, once, also across resets', async () => {
    const first = await finishedRun({ idempotencyKey: 'k', tags: ['t'] })
    const child = await finishedRun({ parentRunId: first })
    const lines = await exported()
    const before = await getRun(bindings, environment.caller, child)
    await runInDurableObject(environment.stub, (_, { storage }) => {
      for (const table of ['runs', 'packets', 'run_tags', 'idempotency_keys']) storage.sql.exec(`DELETE FROM ${table}`)
    })
    await abortAllDurableObjects()
    expect(await imported(environment, lines)).toMatchObject({ runs: { imported: 2, known: 0 }, isComplete: true })
    await abortAllDurableObjects()
    expect(await imported(environment, lines)).toMatchObject({ runs: { imported: 0, known: 2 } })
    expect(await getRun(bindings, environment.caller, child)).toEqual(before)
    expect((await environment.run(first)).children?.map((run) => run.id)).toEqual([child])
    expect(await environment.trigger('a', { idempotencyKey: 'k' })).toBe(first)
    // Nothing of it executes.
    expect(executors.started(first).length).toBe(1)
    await handOver()
    expect((await getTrace(bindings, environment.caller, child)).run.status).toBe('COMPLETED_SUCCESSFULLY')
    expect((await getRun(bindings, environment.caller, child)).output).toEqual(before.output)
  })

  it('queues what was not final again, but not what its parent makes again', async () => {
    const parent = await environment.trigger('a', { tags: ['p'] })
    await until(() => executors.started(parent).length === 1)
    const child = await environment.trigger('b', { parentRunId: parent, resumeParentOnCompletion: true })
    const delayed = await environment.trigger('a', { delayUntil: Date.now() + 3_600_000, idempotencyKey: 'd' })
    const lines = await exported()
    expect(await imported(other, lines)).toMatchObject({ runs: { unfinished: 3, imported: 0 } })
    const counts = await imported(other, lines, true)
    expect(counts.runs).toMatchObject({ queuedAgain: 2, madeByParent: 1, unfinished: 0 })
    expect((await imported(other, lines, true)).runs).toMatchObject({ queuedAgain: 0, known: 2, madeByParent: 1 })
    await abortAllDurableObjects()
    expect((await imported(other, lines, true)).runs).toMatchObject({ queuedAgain: 0, known: 2, madeByParent: 1 })
    const { runs } = must(await other.object.listRuns(other.caller, { size: 10 }))
    expect(runs.map((run) => [run.importedFrom, run.status]).sort()).toEqual(
      [
        // No version is deployed there.
        [parent, 'PENDING_VERSION'],
        [delayed, 'DELAYED'],
      ].sort(),
    )
    expect(runs.some((run) => run.importedFrom === child)).toBe(false)
  })

  it('leaves out what this environment would delete at once, and counts it', async () => {
    const [line] = runsOf(await exported()).concat(runsOf([await lineOfOneRun()]))
    const old = {
      ...(line as RunLine),
      run: { ...(line as RunLine).run, id: mintId('run', 'zzzzzz', '0', Date.now() - 40 * 86_400_000) },
    }
    expect((await imported(environment, [old])).runs).toMatchObject({ expired: 1, imported: 0 })
  })

  it('keeps settings of queues that are here, and refuses what is above the limit', async () => {
    const queues = [
      { name: 'narrow', paused: true, override: { limit: 1 } },
      { name: 'other', paused: false, override: { percent: 50 } },
      { name: 'wide', paused: false, override: { limit: 5_000 } },
    ]
    const take = async () => must(await environment.object.importQueues(environment.caller, queues))
    const refused = [{ id: 'wide', reason: 'concurrencyLimit 5000 is above the limit of the environment, which is 100.' }]
    expect(await take()).toEqual({ imported: 2, known: 0, refused })
    await environment.object.overrideQueue(environment.caller, { by: 'name', value: 'narrow' }, { limit: 2 })
    expect(await take()).toEqual({ imported: 0, known: 2, refused })
    expect(must(await environment.object.exportQueues(environment.caller))).toEqual([
      { name: 'narrow', paused: true, override: { limit: 2 } },
      { name: 'other', paused: false, override: { percent: 50 } },
    ])
  })

  it('counts packets that are neither in the file nor here', async () => {
    const line = await lineOfOneRun()
    const payload = { data: `${line.run.id}/payload.json`, dataType: 'application/store' }
    expect((await imported(other, [header(), { ...line, payload }])).packets).toEqual({ imported: 0, known: 0, missing: 1 })
  })
})

function header(): EnvironmentLine {
  const { id, projectRef, slug } = environment.identity
  return { kind: 'environment', format: 1, exportedAt: 0, id, projectRef, slug }
}

async function lineOfOneRun(): Promise<RunLine> {
  const id = await finishedRun()
  const { runs } = must(await environment.object.exportRuns(environment.caller, { after: '', before: 'run_w' }))
  return { kind: 'run', ...(runs.find((one) => one.run.id === id) as ExportedRun) }
}
