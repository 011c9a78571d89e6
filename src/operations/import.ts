/** Takes the lines of an export one after the other and sends them on in pieces an RPC can carry. Whatever is here already stays. */
import { fromBase64 } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError, RpcRefusal } from '../contracts/errors.ts'
import type { ExportedRun, ExportLine, ImportedRuns, PacketLine, QueueSettings, VariableLine } from '../contracts/export.ts'
import { timeOf } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import { cleanPacketPath, packetKey } from '../contracts/packets.ts'
import type { Caller } from '../contracts/rpc.ts'
import { storedPaths } from './export.ts'
import { callEnvironment, callProject } from './objects.ts'
import { importSchedule } from './schedules.ts'

type Line = ExportLine & { line: number }
interface Counts {
  imported: number
  known: number
  refused: number
}
export interface Imported {
  runs: Omit<ImportedRuns, 'refused'> & { refused: number }
  packets: { imported: number; known: number; missing: number }
  schedules: Counts
  queues: Counts
  variables: Counts
  refusals: { line: number; id?: string; reason: string }[]
  isComplete: boolean
  next?: string
}

const runsPerCall = 100
const refusalsShown = 100
const aheadMs = 3_600_000
/** The platform sets these itself. */
const ownVariables = new Set(['TRIGGER_SECRET_KEY', 'TRIGGER_API_URL'])

export class Importer {
  readonly counts: Imported = {
    runs: { imported: 0, queuedAgain: 0, known: 0, unfinished: 0, madeByParent: 0, expired: 0, refused: 0 },
    packets: { imported: 0, known: 0, missing: 0 },
    schedules: { imported: 0, known: 0, refused: 0 },
    queues: { imported: 0, known: 0, refused: 0 },
    variables: { imported: 0, known: 0, refused: 0 },
    refusals: [],
    isComplete: false,
  }
  readonly #env: Env
  readonly #caller: Caller
  readonly #queueUnfinished: boolean
  #runs: { run: ExportedRun; line: number }[] = []
  #runChars = 0
  #queues: { queue: QueueSettings; line: number }[] = []
  #variables: { variable: VariableLine; line: number }[] = []
  #packet: { path: string; bytes: Uint8Array; filled: number } | undefined
  readonly #delivered = new Set<string>()

  constructor(env: Env, caller: Caller, options: { queueUnfinished: boolean }) {
    this.#env = env
    this.#caller = caller
    this.#queueUnfinished = options.queueUnfinished
  }

  async take(line: Line): Promise<void> {
    this.counts.isComplete = line.kind === 'end'
    if (this.#packet && !(line.kind === 'packet' && line.path === this.#packet.path && line.offset > 0)) {
      throw this.#broken(line.line, 'kind', `the packet ${this.#packet.path} is not whole: its next piece is missing`)
    }
    if (line.kind === 'run') await this.#takeRun(line)
    else if (line.kind === 'packet') await this.#takePacket(line)
    else if (line.kind === 'schedule') await this.#takeSchedule(line)
    else if (line.kind === 'queue') {
      const { kind: _kind, line: number, ...queue } = line
      this.#queues.push({ queue, line: number })
    } else if (line.kind === 'variable') this.#variables.push({ variable: line, line: line.line })
    else if (line.kind === 'end') {
      if (line.next === undefined) delete this.counts.next
      else this.counts.next = line.next
    }
    if (line.kind === 'run' || line.kind === 'end') await this.#sendSettings()
  }

  async finish(): Promise<Imported> {
    await this.#sendSettings()
    await this.#sendRuns()
    return this.counts
  }

  async #takeRun({ kind: _kind, line, ...run }: Line & { kind: 'run' }): Promise<void> {
    if ((timeOf(run.run.id) ?? 0) > Date.now() + aheadMs)
      throw this.#broken(line, 'run.id', 'the time in the id is in the future')
    for (const path of storedPaths([run.payload, run.output])) {
      if (cleanPacketPath(path) !== path) throw this.#broken(line, 'payload.data', 'not the path of a stored packet')
      if (this.#delivered.has(path)) continue
      this.#delivered.add(path)
      if (!(await this.#env.BUCKET.head(packetKey(this.#caller.environment, path)))) this.counts.packets.missing += 1
    }
    this.#runs.push({ run, line })
    this.#runChars += JSON.stringify(run).length
    if (this.#runs.length >= runsPerCall || this.#runChars >= limits.rpcBytes) await this.#sendRuns()
  }

  async #takePacket({ line, path, contentType, size, offset, data }: PacketLine & { line: number }): Promise<void> {
    if (cleanPacketPath(path) !== path) throw this.#broken(line, 'path', 'not the path of a stored packet')
    const packet = this.#packet ?? { path, bytes: new Uint8Array(size), filled: 0 }
    if (offset !== packet.filled) throw this.#broken(line, 'offset', `the piece before it ends at ${packet.filled}`)
    const piece = fromBase64(data)
    if (packet.bytes.length !== size || packet.filled + piece.length > size || (piece.length === 0 && size > 0))
      throw this.#broken(line, 'data', `${piece.length} bytes at ${offset} are not a piece of a packet of ${size} bytes`)
    packet.bytes.set(piece, packet.filled)
    packet.filled += piece.length
    this.#packet = packet.filled < size ? packet : undefined
    if (this.#packet) return
    this.#delivered.add(path)
    const key = packetKey(this.#caller.environment, path)
    if (await this.#env.BUCKET.head(key)) {
      this.counts.packets.known += 1
      return
    }
    await this.#env.BUCKET.put(key, packet.bytes, { httpMetadata: { contentType }, onlyIf: { etagDoesNotMatch: '*' } })
    this.counts.packets.imported += 1
  }

  async #takeSchedule({ kind: _kind, line, ...schedule }: Line & { kind: 'schedule' }): Promise<void> {
    try {
      this.counts.schedules[await importSchedule(this.#env, this.#caller.environment, schedule)] += 1
    } catch (error) {
      // A task that is not deployed here, a cron this platform does not take, the limit on schedules.
      const isRefusal = error instanceof OperationError || (error instanceof RpcRefusal && error.rpc.status < 500)
      if (!isRefusal) throw error
      this.counts.schedules.refused += 1
      this.#refuse(line, schedule.id, error.message)
    }
  }

  async #sendSettings(): Promise<void> {
    const [queues, variables] = [this.#queues.splice(0), this.#variables.splice(0)]
    if (queues.length > 0) {
      const result = await callEnvironment(this.#env, this.#caller.environment.locator, '0', (environment) =>
        environment.importQueues(
          this.#caller,
          queues.map(({ queue }) => queue),
        ),
      )
      this.counts.queues.imported += result.imported
      this.counts.queues.known += result.known
      this.counts.queues.refused += result.refused.length
      for (const { id, reason } of result.refused)
        this.#refuse(queues.find(({ queue }) => queue.name === id)?.line ?? 0, id, reason)
    }
    if (variables.length > 0) await this.#sendVariables(variables)
  }

  async #sendVariables(lines: { variable: VariableLine; line: number }[]): Promise<void> {
    const { projectId, locator } = this.#caller.environment
    const known = new Set(
      (await callProject(this.#env, projectId, (project) => project.listVariables(locator))).map(({ name }) => name),
    )
    for (const { variable, line } of lines.filter(({ variable: { name } }) => ownVariables.has(name))) {
      this.counts.variables.refused += 1
      this.#refuse(line, variable.name, 'the platform sets it itself')
    }
    const rest = lines.filter(({ variable: { name } }) => !ownVariables.has(name))
    this.counts.variables.known += rest.filter(({ variable: { name } }) => known.has(name)).length
    for (const isSecret of [false, true]) {
      const fresh = rest.filter(({ variable }) => !known.has(variable.name) && variable.isSecret === isSecret)
      if (fresh.length === 0) continue
      const values = Object.fromEntries(fresh.map(({ variable: { name, value } }) => [name, value]))
      const { conflicts } = await callProject(this.#env, projectId, (project) =>
        project.setVariables(locator, values, { override: false, isSecret }),
      )
      // Somebody set one of them this moment: none was taken.
      if (conflicts.length > 0)
        throw new OperationError('CONFLICT', `Variables were set meanwhile: ${conflicts.join(', ')}. Import the file again.`)
      this.counts.variables.imported += Object.keys(values).length
    }
  }

  async #sendRuns(): Promise<void> {
    const runs = this.#runs.splice(0)
    this.#runChars = 0
    if (runs.length === 0) return
    const { refused, ...counts } = await callEnvironment(this.#env, this.#caller.environment.locator, '0', (environment) =>
      environment.importRuns(
        this.#caller,
        runs.map(({ run }) => run),
        { queueUnfinished: this.#queueUnfinished },
      ),
    )
    for (const [name, count] of Object.entries(counts)) this.counts.runs[name as keyof typeof counts] += count
    this.counts.runs.refused += refused.length
    for (const { id, reason } of refused) this.#refuse(runs.find(({ run }) => run.run.id === id)?.line ?? 0, id, reason)
  }

  #broken(line: number, field: string, message: string): OperationError {
    return broken(line, field, message, this.counts)
  }

  #refuse(line: number, id: string, reason: string): void {
    if (this.counts.refusals.length < refusalsShown) this.counts.refusals.push({ line, id, reason })
  }
}

/** The file is not what it should be: nothing after this line is taken. */
export function broken(line: number, field: string, message: string, taken: Imported): OperationError {
  const body = { code: 'INVALID_LINE', line, field, taken }
  return new OperationError('UNPROCESSABLE', `Line ${line}: ${message} at "${field}"`, { body })
}
