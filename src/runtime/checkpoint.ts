/** Checkpoints of the run this code is part of: stored outside of it, so that a later attempt finds them. */
import { request } from '../client/http.ts'
import { connect } from '../client/settings.ts'
import { toJson } from '../client/values.ts'
import { planLimits } from '../contracts/plan.ts'
import { currentRunId } from './current-run.ts'

/** Of the data as JSON. */
const mostBytes = 262_144

export interface StoredCheckpoint<Data = unknown> {
  name: string
  data: Data
  /** The attempt that stored it. */
  attempt: number
  at: Date
}

export interface Checkpoint {
  /**
   * Stores data under a name, for later attempts of the same run. The same name again replaces it.
   *
   * @example
   * const file = (await checkpoint.get<string>('downloaded')) ?? (await download(url))
   * await checkpoint('downloaded', file)
   */
  (name: string, data?: unknown): Promise<void>
  /** The data stored under a name by this run, undefined when there are none. */
  // biome-ignore lint/suspicious/noExplicitAny: the task knows what it stored
  get<Data = any>(name: string): Promise<Data | undefined>
  /** The checkpoint this run stored last, undefined when there is none. */
  // biome-ignore lint/suspicious/noExplicitAny: the task knows what it stored
  last<Data = any>(): Promise<StoredCheckpoint<Data> | undefined>
}

interface Row {
  name: string
  data: unknown
  attempt: number
  createdAt: string
}

/** Stores and finds checkpoints; only inside a task. */
export const checkpoint: Checkpoint = /* @__PURE__ */ Object.assign(store, { get, last })

async function store(name: string, data: unknown = null): Promise<void> {
  const run = currentRunId('checkpoint()')
  const most = planLimits.checkpointNameChars
  if (typeof name !== 'string' || name === '' || name.length > most)
    throw new TypeError(`The name of a checkpoint is a string of 1 to ${most} characters.`)
  const plain = toJson(data, `the data of checkpoint ${name}`, { undefinedProperty: 'omit' })
  const bytes = new TextEncoder().encode(JSON.stringify(plain)).length
  if (bytes > mostBytes)
    throw new RangeError(`The data of checkpoint ${name} are ${bytes} bytes of JSON; at most ${mostBytes} are stored.`)
  const path = `/api/v1/runs/${encodeURIComponent(run)}/checkpoints/${encodeURIComponent(name)}`
  await request(connect({}), 'PUT', path, { body: plain })
}

async function get(name: string): Promise<never> {
  return (await rows('checkpoint.get()')).find((row) => row.name === name)?.data as never
}

async function last(): Promise<never> {
  const row = (await rows('checkpoint.last()')).at(-1)
  if (!row) return undefined as never
  const { name, data, attempt, createdAt } = row
  return { name, data, attempt, at: new Date(createdAt) } as never
}

async function rows(what: string): Promise<Row[]> {
  const path = `/api/v1/runs/${encodeURIComponent(currentRunId(what))}/checkpoints`
  return (await request<{ data: Row[] }>(connect({}), 'GET', path)).data
}
