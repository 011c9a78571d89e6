/**
 * An environment as lines of JSON, a page of runs at a time: nothing is kept but the page. What it holds of settings comes
 * first, then the runs, oldest first, so that whoever has half of it goes on after the last run it has.
 */
import { toBase64 } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { type ExportedRun, type ExportLine, exportFormat, type PacketLine, type ScheduleLine } from '../contracts/export.ts'
import { firstIdAt, locatorOf } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import type { ArchivedRun } from '../contracts/objects.ts'
import { packetKey } from '../contracts/packets.ts'
import type { Caller, EnvironmentIdentity, Packet } from '../contracts/rpc.ts'
import { historyDay } from '../core/run/retention.ts'
import { callEnvironment, callHistory, callProject } from './objects.ts'
import { listSchedules } from './schedules.ts'

export interface ExportOptions {
  /** Go on after this run. */
  after?: string
  /** Runs of this piece, at most. */
  limit: number
  variables: boolean
}

const schedulesPerPage = 100
const clocksApartMs = 60_000

export async function* exportLines(env: Env, caller: Caller, options: ExportOptions, now: number): AsyncGenerator<string> {
  const { environment } = caller
  if (options.after !== undefined && locatorOf(options.after) !== environment.locator)
    throw new OperationError('NOT_FOUND', 'after is no run of this environment')
  // The first call also finds a revoked key, before anything is answered.
  const queues = await callEnvironment(env, environment.locator, '0', (object) => object.exportQueues(caller))
  const { id, projectRef, slug, branchName } = environment
  const head = { id, projectRef, slug, ...(branchName ? { branchName } : {}) }
  yield text({ kind: 'environment', format: exportFormat, exportedAt: now, ...head })
  if (options.after === undefined) {
    for (const queue of queues) yield text({ kind: 'queue', ...queue })
    for await (const schedule of scheduleLines(env, environment)) yield text(schedule)
    if (options.variables) for (const line of await variableLines(env, environment)) yield text(line)
  }
  yield* runLines(env, caller, options, firstIdAt('run', now + clocksApartMs))
}

async function* runLines(env: Env, caller: Caller, options: ExportOptions, before: string): AsyncGenerator<string> {
  const budget = { calls: 0, bytes: 0 }
  const sent = new Set<string>()
  let after = options.after ?? ''
  let runs = 0
  for (;;) {
    const from = after
    budget.calls += 1
    const page = await callEnvironment(env, caller.environment.locator, '0', (object) =>
      object.exportRuns(caller, { after: from, before }),
    )
    for await (const run of withHistory(env, caller, page.runs, budget)) {
      for await (const line of packetLines(env, caller.environment, run, sent, budget)) yield line
      const line = text({ kind: 'run', ...run })
      budget.bytes += line.length
      runs += 1
      after = run.run.id
      yield line
      if (runs >= options.limit || budget.calls >= limits.exportCalls || budget.bytes >= limits.exportBytes) {
        yield text({ kind: 'end', runs, next: after })
        return
      }
    }
    if (page.isLast) {
      yield text({ kind: 'end', runs })
      return
    }
  }
}

/** Neighbours of one day are asked for together; what is in the environment still is left as it is. */
async function* withHistory(
  env: Env,
  caller: Caller,
  runs: (ExportedRun & { archived?: boolean })[],
  budget: { calls: number },
): AsyncGenerator<ExportedRun> {
  let known: Record<string, ArchivedRun | null> = {}
  for (const [index, { archived, ...run }] of runs.entries()) {
    const { id } = run.run
    if (!archived) {
      yield run
      continue
    }
    if (!(id in known)) {
      const ids = runs
        .slice(index)
        .filter((one) => one.archived && historyDay(one.run.id) === historyDay(id))
        .map((one) => one.run.id)
      budget.calls += 1
      known = await callHistory(env, caller.environment.locator, id, (history) => history.getMany(ids))
    }
    const found = known[id]
    delete known[id]
    yield found ? { ...run, ...found } : run
  }
}

async function* packetLines(
  env: Env,
  identity: EnvironmentIdentity,
  { payload, output }: ExportedRun,
  sent: Set<string>,
  budget: { calls: number; bytes: number },
): AsyncGenerator<string> {
  for (const path of storedPaths([payload, output])) {
    // Replays share it.
    if (sent.has(path)) continue
    sent.add(path)
    budget.calls += 1
    const object = await env.BUCKET.get(packetKey(identity, path))
    if (!object) continue
    const contentType = object.httpMetadata?.contentType ?? 'application/json'
    for await (const piece of piecesOf(object.body, limits.exportPieceBytes)) {
      const line: PacketLine = {
        kind: 'packet',
        path,
        contentType,
        size: object.size,
        offset: piece.offset,
        data: toBase64(piece.bytes),
      }
      budget.bytes += line.data.length
      yield text(line)
    }
  }
}

export function storedPaths(packets: (Packet | undefined)[]): string[] {
  return packets.flatMap((packet) => (packet?.dataType === 'application/store' && packet.data ? [packet.data] : []))
}

/** Of equal length but the last; an empty body is one empty piece. */
async function* piecesOf(body: ReadableStream<Uint8Array>, most: number): AsyncGenerator<{ offset: number; bytes: Uint8Array }> {
  const reader = body.getReader()
  const buffer = new Uint8Array(most)
  let [filled, offset] = [0, 0]
  for (;;) {
    const { done, value } = await reader.read()
    let rest = value ?? new Uint8Array()
    while (rest.length > 0) {
      const part = rest.subarray(0, most - filled)
      buffer.set(part, filled)
      filled += part.length
      rest = rest.subarray(part.length)
      if (filled < most) continue
      yield { offset, bytes: buffer }
      offset += filled
      filled = 0
    }
    if (!done) continue
    if (filled > 0 || offset === 0) yield { offset, bytes: buffer.subarray(0, filled) }
    return
  }
}

async function* scheduleLines(env: Env, identity: EnvironmentIdentity): AsyncGenerator<ScheduleLine> {
  for (let page = 1; ; page++) {
    const { schedules } = await listSchedules(env, identity, { page, perPage: schedulesPerPage })
    for (const { type, nextRun: _next, nextRunEffectiveAt: _at, ...schedule } of schedules)
      if (type === 'IMPERATIVE') yield { kind: 'schedule', ...schedule }
    if (schedules.length < schedulesPerPage) return
  }
}

async function variableLines(env: Env, identity: EnvironmentIdentity): Promise<ExportLine[]> {
  const variables = await callProject(env, identity.projectId, (project) => project.listVariables(identity.locator))
  return variables.map(({ name, value, isSecret }) => ({ kind: 'variable', name, value, isSecret }))
}

function text(line: ExportLine): string {
  return `${JSON.stringify(line)}\n`
}
