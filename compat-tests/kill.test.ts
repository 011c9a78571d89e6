/**
 * SIGKILL of workerd with 40 runs in all states, ten times: every run reaches exactly one final state and none is lost. What
 * was executing when the process died, waiting in memory included, executes again from the top, once; everything else
 * executes once; each child of a parent exists once. Tasks report each start and end of an execution to a ledger here.
 */
import { createServer, type Server } from 'node:http'
import { runs, tasks, wait } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deployFixture, finished, type PlatformProcess, startPlatform, until, useEnvironment } from './harness.ts'

const rounds = 10
const ofEach = 5

interface Entry {
  what: 'start' | 'end'
  id: string
  attempt: number
  step?: string
  at: number
}

/** What was known when the process died. */
interface Kill {
  at: number
  final: Set<string>
}

let platform: PlatformProcess
let secretKey: string
let server: Server
let ledgerUrl: string
const ledger: Entry[] = []
const kills: Kill[] = []

beforeAll(async () => {
  server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    ledger.push({ ...(JSON.parse(text) as Omit<Entry, 'at'>), at: performance.now() })
    // No connection is kept, so none is used at the moment it is closed: a task's own fetch would fail by that.
    response.setHeader('connection', 'close')
    response.end('{}')
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  ledgerUrl = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  platform = await startPlatform()
  secretKey = (await deployFixture(platform, 'plain')).secretKey
  useEnvironment(platform)
}, 300_000)

afterAll(async () => {
  await platform?.stop()
  server?.closeAllConnections()
  server?.close()
})

interface Triggered {
  id: string
  token?: string
}

async function triggerRound(): Promise<Triggered[]> {
  const payload = { ledger: ledgerUrl }
  const one = async (): Promise<Triggered[]> => {
    const token = await wait.createToken({ timeout: '10m' })
    const handles = await Promise.all([
      tasks.trigger('kill-serial', payload),
      tasks.trigger('kill-slow', payload),
      tasks.trigger('kill-timer', payload),
      tasks.trigger('kill-parent', payload),
      tasks.trigger('kill-token', { ...payload, token: token.id }),
      tasks.trigger('kill-retry', payload),
      tasks.trigger('kill-quick', payload, { delay: '3s' }),
    ])
    return handles.map(({ id }, index) => (index === 4 ? { id, token: token.id } : { id }))
  }
  const groups = await Promise.all(Array.from({ length: ofEach }, one))
  await new Promise((done) => setTimeout(done, 300))
  // The last ones, so that some of them are about to finish when the process dies.
  const quick = await Promise.all(Array.from({ length: ofEach }, () => tasks.trigger('kill-quick', payload)))
  return [...groups.flat(), ...quick.map(({ id }) => ({ id }))]
}

/** Final before the process died, by the platform's own answer. Runs that are not in it may be anywhere. */
async function finalNow(ids: string[]): Promise<Set<string>> {
  const found = await Promise.all(ids.map((id) => runs.retrieve(id)))
  return new Set(found.filter((run) => run.isCompleted).map((run) => run.id))
}

/** Least and most executions of one attempt, from when each began and ended and when the process died. */
function allowed(entries: Entry[]): [least: number, most: number] {
  let again = 0
  let perhaps = 0
  for (const kill of kills) {
    const before = entries.filter((entry) => entry.at < kill.at)
    const last = before.at(-1)
    if (!last || kill.final.has(last.id)) continue
    const earlier = kills.filter((other) => other.at < kill.at && other.at > last.at).length
    // What an earlier kill has interrupted is not interrupted again before it has started again.
    if (earlier > 0) continue
    if (last.what === 'start') again++
    // The task had ended, but perhaps the platform did not know yet.
    else perhaps++
  }
  return [1 + again, 1 + again + perhaps]
}

function byExecution(): Map<string, Entry[]> {
  const groups = new Map<string, Entry[]>()
  for (const entry of ledger) {
    const name = `${entry.id} attempt ${entry.attempt}`
    groups.set(name, [...(groups.get(name) ?? []), entry])
  }
  return groups
}

async function all(taskIdentifier: string): Promise<string[]> {
  const ids: string[] = []
  for await (const run of runs.list({ taskIdentifier, limit: 100 })) ids.push(run.id)
  return ids
}

describe('SIGKILL of workerd', () => {
  it(`loses no run and repeats none that was not executing, ${rounds} times`, { timeout: 900_000 }, async () => {
    const triggered: Triggered[] = []
    const statuses = new Map<string, string>()
    for (let round = 0; round < rounds; round++) {
      const fresh = await triggerRound()
      triggered.push(...fresh)
      // Not at the same moment of a run's life in each round.
      await new Promise((done) => setTimeout(done, round * 40))
      const final = await finalNow(
        [...fresh.map(({ id }) => id), ...new Set(ledger.map(({ id }) => id))].filter((id) => !statuses.has(id)),
      )
      await platform.killWorkerd()
      // What the dead process had sent is still being read here.
      await new Promise((done) => setTimeout(done, 100))
      kills.push({ at: performance.now(), final: new Set([...final, ...statuses.keys()]) })
      await platform.waitUntilHealthy()
      for (const { token } of fresh) if (token) await wait.completeToken(token, 'go on')
      for (const { id } of fresh) {
        const run = await finished(id, 90_000)
        expect(run.status, `${id} ${run.taskIdentifier} in round ${round}: ${JSON.stringify(run.error)}`).toBe('COMPLETED')
        statuses.set(id, run.status)
      }
    }

    // Whatever would still execute a run a second time has had its chance.
    await new Promise((done) => setTimeout(done, 3_000))
    for (const { id } of triggered) expect((await runs.retrieve(id)).status).toBe('COMPLETED')

    const wrong: string[] = []
    let repeated = 0
    for (const [name, entries] of byExecution()) {
      const starts = entries.filter((entry) => entry.what === 'start').length
      const [least, most] = allowed(entries)
      if (starts > 1) repeated++
      if (starts < least || starts > most)
        wrong.push(
          `${name}: ${starts} executions, expected ${least} to ${most}: ${entries.map((e) => `${e.what} ${Math.round(e.at)}`)}`,
        )
    }
    expect(wrong, `killed at ${kills.map(({ at }) => Math.round(at))}`).toEqual([])
    // The kills did hit what they were meant to: about half of the runs execute or wait when the process dies.
    expect(repeated).toBeGreaterThan(rounds * ofEach)

    const executed = new Set(ledger.map(({ id }) => id))
    expect(triggered.filter(({ id }) => !executed.has(id))).toEqual([])
    const children = new Map<string, Set<string>>()
    for (const { step, id } of ledger) if (step) children.set(step, (children.get(step) ?? new Set()).add(id))
    expect(children.size).toBe(2 * rounds * ofEach)
    expect([...children].filter(([, ids]) => ids.size !== 1)).toEqual([])

    // As many runs as were asked for, and no more: ours and two children of each parent.
    const counts: Record<string, number> = {}
    for (const id of ['kill-serial', 'kill-slow', 'kill-timer', 'kill-parent', 'kill-token', 'kill-retry', 'kill-quick'])
      counts[id] = new Set(await all(id)).size
    const n = rounds * ofEach
    expect(counts).toEqual({
      'kill-serial': n,
      'kill-slow': 2 * n,
      'kill-timer': n,
      'kill-parent': n,
      'kill-token': n,
      'kill-retry': n,
      'kill-quick': 3 * n,
    })
  })

  it('plans go on at the stage they were in, a parent finds its batch: no job is started twice', {
    timeout: 300_000,
  }, async () => {
    const plans = 4
    const job = (id: string, step: string): unknown => ({ $task: { id, payload: { ledger: ledgerUrl, step } } })
    const then = (of: unknown, as: number, next: unknown): unknown => ({ $then: { of, as, do: next } })
    const start = async (n: number): Promise<string> => {
      const fanOut = Array.from({ length: 5 }, (_, index) => job('kill-slow', `plan ${n} stage 2 job ${index}`))
      const plan = then(
        then(job('kill-slow', `plan ${n} stage 1`), 1, fanOut),
        2,
        then(job('kill-slow', `plan ${n} stage 3`), 3, { all: { $var: 2 }, last: { $var: 3 } }),
      )
      const response = await fetch(`${platform.endpoints.apiUrl}/api/v1/plans`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secretKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ plan }),
      })
      return ((await response.json()) as { id: string }).id
    }
    const parents = await Promise.all(Array.from({ length: plans }, () => tasks.trigger('kill-batch', { ledger: ledgerUrl })))
    const ids = await Promise.all(Array.from({ length: plans }, (_, n) => start(n)))
    const stageBegan = (stage: number) => async (): Promise<boolean> =>
      ids.every((_, n) => ledger.some(({ step }) => step?.startsWith(`plan ${n} stage ${stage}`)))
    for (const stage of [1, 2]) {
      await until(stageBegan(stage), `stage ${stage} of each plan`, 90_000)
      await platform.killWorkerd()
      await platform.waitUntilHealthy()
    }
    for (const id of ids)
      expect(await finished(id, 90_000)).toMatchObject({
        status: 'COMPLETED',
        output: { all: [10, 10, 10, 10, 10], last: 10 },
        attemptCount: 1,
      })
    for (const { id } of parents) {
      expect(await finished(id, 90_000)).toMatchObject({ status: 'COMPLETED', output: [true, true, true] })
      const items = new Set(ledger.filter(({ step }) => step?.startsWith(`${id} item`)).map((entry) => entry.id))
      expect(items.size, id).toBe(3)
    }
    // Each job is one run, whatever was killed around it; what had ended is not executed again.
    const jobs = new Map<string, Set<string>>()
    for (const { step, id } of ledger) if (step?.startsWith('plan ')) jobs.set(step, (jobs.get(step) ?? new Set()).add(id))
    expect(jobs.size).toBe(plans * 7)
    expect([...jobs].filter(([, runsOfJob]) => runsOfJob.size !== 1)).toEqual([])
    const firstStages = ledger.filter(({ step, what }) => step?.endsWith('stage 1') && what === 'end')
    expect(firstStages).toHaveLength(plans)
  })
})
