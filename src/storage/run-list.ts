/** Reads a list of runs in the order of their ids: each path on an index of its own, the filter as a condition on each row. */
import type { ListRunsInput } from '../contracts/rpc.ts'
import { indexedEndings, type ListPath } from '../core/run/list-path.ts'
import type { StoredRun } from './run-table.ts'

export interface ListWalk {
  path: ListPath
  input: ListRunsInput
  /** Exclusive: ids older than `before`, or newer than `after`. */
  before?: string
  after?: string
  /** Inclusive. */
  first?: string
  descending: boolean
  /** Ids of runs that are not final, for the path by status. */
  liveIds: string[]
  /** Entries each index may give. */
  limit: number
}

/** One entry of the index; `run` only when it passes the filter. */
export interface ListEntry {
  id: string
  run?: StoredRun
}

/** Rows read for one entry, at most: of a run that has all the tags, each index gives one. */
export function rowsPerEntry(path: ListPath): number {
  return path.by === 'tag' ? path.tags.length + 1 : 1
}

export function* walkList(sql: SqlStorage, walk: ListWalk): Generator<ListEntry> {
  if (walk.path.by === 'tag') {
    const tagged = walk.path.tags.map((tag) => taggedWith(sql, walk, tag))
    yield* lookUp(sql, walk, merge(tagged, walk.descending))
    return
  }
  const cursors = cursorsOf(sql, walk, walk.path)
  const [only] = cursors
  if (only && cursors.length === 1) yield* only
  else yield* merge(cursors, walk.descending)
}

type Entries = Iterator<ListEntry> & Iterable<ListEntry>

function cursorsOf(sql: SqlStorage, walk: ListWalk, path: Exclude<ListPath, { by: 'tag' }>): Entries[] {
  switch (path.by) {
    case 'batch':
      return [cursor(sql, walk, 'run.batch_id = ?', [path.batchId])]
    case 'status':
      return [
        ...path.endings.map((status) => cursor(sql, walk, `run.status = ? AND ${isIndexed}`, [status])),
        ...(path.live.length > 0 ? [lookUp(sql, walk, inOrder(walk))] : []),
      ]
    case 'task':
      return path.tasks.map((task) => cursor(sql, walk, 'run.task = ?', [task]))
    case 'id':
      return [cursor(sql, walk, 'TRUE', [])]
  }
}

/** The condition of the partial index; SQLite takes it only for a query that repeats it. */
export const isIndexed = `status IN (${indexedEndings.map((status) => `'${status}'`).join(', ')})`

type Row = { id: string; data: string | null }

/** The columns of an entry: the document only of a run that passes the filter. */
function columnsOf({ condition }: ReturnType<typeof filterOf>): string {
  return `run.id AS id, CASE WHEN ${condition} THEN run.data END AS data`
}

function* cursor(sql: SqlStorage, walk: ListWalk, condition: string, values: SqlStorageValue[]): Generator<ListEntry> {
  const filter = filterOf(walk.input)
  const range = rangeOf(walk, 'run.id')
  const query = `SELECT ${columnsOf(filter)} FROM runs AS run WHERE ${condition} ${range.condition}`
  for (const row of sql.exec<Row>(query, ...filter.values, ...values, ...range.values)) yield entry(row)
}

function* taggedWith(sql: SqlStorage, walk: ListWalk, tag: string): Generator<ListEntry> {
  const range = rangeOf(walk, 'run_id')
  yield* sql.exec<{ id: string }>(`SELECT run_id AS id FROM run_tags WHERE tag = ? ${range.condition}`, tag, ...range.values)
}

function* lookUp(sql: SqlStorage, walk: ListWalk, entries: Iterable<ListEntry>): Generator<ListEntry> {
  const filter = filterOf(walk.input)
  const query = `SELECT ${columnsOf(filter)} FROM runs AS run WHERE run.id = ?`
  for (const { id } of entries) for (const row of sql.exec<Row>(query, ...filter.values, id)) yield entry(row)
}

/** Of the runs in memory. */
function inOrder(walk: ListWalk): ListEntry[] {
  const ids = walk.liveIds.filter(
    (id) =>
      (walk.before === undefined || id < walk.before) &&
      (walk.after === undefined || id > walk.after) &&
      (walk.first === undefined || id >= walk.first),
  )
  ids.sort()
  if (walk.descending) ids.reverse()
  return ids.slice(0, walk.limit).map((id) => ({ id }))
}

/** Between the cursors, in order, at most so many. */
function rangeOf(walk: ListWalk, id: string): { condition: string; values: SqlStorageValue[] } {
  const conditions: string[] = []
  const values: SqlStorageValue[] = []
  for (const [operator, bound] of [
    ['<', walk.before],
    ['>', walk.after],
    ['>=', walk.first],
  ])
    if (bound !== undefined) {
      conditions.push(`AND ${id} ${operator} ?`)
      values.push(bound)
    }
  const order = walk.descending ? 'DESC' : 'ASC'
  return { condition: `${conditions.join(' ')} ORDER BY ${id} ${order} LIMIT ${walk.limit}`, values }
}

function entry(row: Row): ListEntry {
  return row.data === null ? { id: row.id } : { id: row.id, run: JSON.parse(row.data) }
}

/** In the order of the ids; a run that several cursors give comes once. */
function* merge(cursors: Entries[], descending: boolean): Generator<ListEntry> {
  const heads = cursors.map((cursor) => ({ cursor, next: cursor.next() }))
  for (;;) {
    let best: ListEntry | undefined
    for (const { next } of heads)
      if (!next.done && (!best || (descending ? next.value.id > best.id : next.value.id < best.id))) best = next.value
    if (!best) return
    for (const head of heads) if (!head.next.done && head.next.value.id === best.id) head.next = head.cursor.next()
    yield best
  }
}

/** All of the filter, whatever the path has decided already: there is no second opinion on what belongs to a list. */
function filterOf(input: ListRunsInput): { condition: string; values: SqlStorageValue[] } {
  const conditions: string[] = []
  const values: SqlStorageValue[] = []
  const among = (expression: string, list: string[] | undefined): void => {
    if (!list) return
    conditions.push(`${expression} IN (SELECT value FROM json_each(?))`)
    values.push(JSON.stringify(list))
  }
  const compare = (expression: string, value: SqlStorageValue | undefined): void => {
    if (value === undefined) return
    conditions.push(`${expression} ?`)
    values.push(value)
  }
  among('run.status', input.statuses)
  among('run.task', input.tasks)
  among(field('version'), input.versions)
  among(field('queue'), input.queues)
  among(field('machine'), input.machines)
  if (input.tags) {
    conditions.push(
      "EXISTS (SELECT 1 FROM json_each(run.data, '$.tags') AS tagged WHERE tagged.value IN (SELECT value FROM json_each(?)))",
    )
    values.push(JSON.stringify(input.tags))
  }
  among(field('region'), input.regions)
  if (input.bulkActionId !== undefined) {
    conditions.push("EXISTS (SELECT 1 FROM json_each(run.data, '$.bulkActionIds') AS handled WHERE handled.value = ?)")
    values.push(input.bulkActionId)
  }
  compare('run.batch_id =', input.batchId)
  compare(`${field('scheduleId')} =`, input.scheduleId)
  compare(`COALESCE(${field('isTest')}, 0) =`, input.isTest === undefined ? undefined : Number(input.isTest))
  compare(`${field('createdAt')} >=`, input.from)
  compare(`${field('createdAt')} <=`, input.to)
  return { condition: conditions.length > 0 ? conditions.join(' AND ') : 'TRUE', values }
}

function field(name: string): string {
  return `json_extract(run.data, '$.${name}')`
}
