/** Runs by their id. */
import { request } from './http.ts'
import { type LogLine, logsOf, type Run } from './run.ts'
import { outputOf } from './run-feed.ts'
import { connect, type Settings } from './settings.ts'

export interface RunFilter {
  taskId?: string | string[]
  /** QUEUED, EXECUTING, COMPLETED, FAILED, …; several are any of them. */
  status?: string | string[]
  tag?: string | string[]
  /** ISO instants, or a Date. */
  from?: string | Date
  to?: string | Date
  /** 1 to 100. */
  limit?: number
  /** `pagination.next` of the page before. */
  after?: string
}

export interface RunPage {
  data: Run[]
  pagination: { next?: string; previous?: string }
}

export interface Runs {
  /** One run with its payload and output, or its error. */
  get(id: string): Promise<Run>
  /**
   * Runs, the newest first.
   *
   * @example
   * const { data } = await trigger.runs.list({ taskId: 'process-video', status: 'FAILED', limit: 20 })
   */
  list(filter?: RunFilter): Promise<RunPage>
  cancel(id: string): Promise<{ id: string }>
  /** Log lines, the oldest first; `tail`: only the last ones. */
  logs(id: string, options?: { tail?: number }): Promise<LogLine[]>
}

const names: Record<Exclude<keyof RunFilter, 'limit' | 'after'>, string> = {
  taskId: 'filter[taskIdentifier]',
  status: 'filter[status]',
  tag: 'filter[tag]',
  from: 'filter[createdAt][from]',
  to: 'filter[createdAt][to]',
}

export function runsOf(settings: Settings): Runs {
  const path = (id: string): string => {
    if (typeof id !== 'string' || id === '') throw new TypeError('The id of a run must be a string.')
    return encodeURIComponent(id)
  }
  return {
    async get(id) {
      const connection = connect(settings)
      const { outputPresignedUrl, ...run } = await request<Run>(connection, 'GET', `/api/v3/runs/${path(id)}`)
      return (
        outputPresignedUrl ? { ...run, output: await outputOf(connection, { ...run, outputPresignedUrl } as Run) } : run
      ) as Run
    },
    async list(filter = {}) {
      return request(connect(settings), 'GET', `/api/v1/runs${query(filter)}`)
    },
    async cancel(id) {
      return request(connect(settings), 'POST', `/api/v2/runs/${path(id)}/cancel`)
    },
    async logs(id, options) {
      path(id)
      return logsOf(connect(settings), id, options)
    },
  }
}

function query(filter: RunFilter): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(filter)) {
    if (value === undefined) continue
    if (name === 'limit') parameters.set('page[size]', String(value))
    else if (name === 'after') parameters.set('page[after]', String(value))
    else if (Object.hasOwn(names, name))
      parameters.set(names[name as keyof typeof names], value instanceof Date ? value.toISOString() : String(value))
    else throw new TypeError(`Runs cannot be filtered by ${name}; there are ${Object.keys(names).join(', ')}, limit, after.`)
  }
  return parameters.size > 0 ? `?${parameters}` : ''
}
