/** What users build for agents: tools of their own with `trigger.do/mcp`, and ralph of `trigger.do/agents`. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { runs, tasks } from '@trigger.dev/sdk'
import type { ralph as Ralph } from 'trigger.do/agents'
import type * as Mcp from 'trigger.do/mcp'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Project } from './cli.ts'
import { installClient } from './client-package.ts'
import { endpoints, finished, http, unique, until, useProject } from './harness.ts'
import { deployFixture } from './platform-process.ts'

const fixture = join(import.meta.dirname, 'fixtures/client')
const token = 'a token of sixteen or more'
const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
let project: Project
let mcp: typeof Mcp
let ralph: typeof Ralph
let tools: Mcp.DefinedTool[]
const key = (): Record<string, string> => ({ authorization: `Bearer ${project.secretKey}` })

beforeAll(async () => {
  const folder = installClient(fixture)
  project = await deployFixture({ endpoints }, 'client', 'staging')
  useProject(project)
  process.env.TRIGGER_API_URL = endpoints.apiUrl
  process.env.TRIGGER_SECRET_KEY = project.secretKey
  mcp = await import(join(folder, 'dist/mcp/index.js'))
  ;({ ralph } = await import(join(folder, 'dist/adapters/agents/index.js')))
  tools = Object.values(await import(join(fixture, 'tools.ts')))
}, 300_000)

async function connect(serve: (request: Request) => Promise<Response>, bearer = token): Promise<Client> {
  const client = new Client({ name: 'compat', version: '1.0.0' })
  const requestInit = { headers: { authorization: `Bearer ${bearer}` } }
  const served = (input: string | URL | Request, init?: RequestInit): Promise<Response> => serve(new Request(input, init))
  await client.connect(
    new StreamableHTTPClientTransport(new URL('https://tools.test/mcp'), { requestInit, fetch: served as never }),
  )
  return client
}

describe('tools of one’s own', () => {
  it('are listed and called by the official client', async () => {
    const agent = await connect(mcp.serveTools(tools, { authorize: token }))
    const { tools: listed } = await agent.listTools()
    expect(listed.map(({ name }) => name).sort()).toEqual(
      ['cancel_task', 'get_logs', 'get_task_status', 'list_runs', 'list_tasks', 'trigger_task'].sort(),
    )
    expect(listed.find(({ name }) => name === 'get_logs')?.inputSchema).toEqual({
      type: 'object',
      properties: {
        runId: { type: 'string', description: 'The run' },
        tail: { type: 'number', description: 'Only the last lines' },
      },
      required: ['runId'],
      additionalProperties: false,
    })
    const call = async (name: string, args: object = {}): Promise<string> => {
      const { content, isError } = await agent.callTool({ name, arguments: args as Record<string, unknown> })
      expect(isError, JSON.stringify(content)).toBeFalsy()
      return (content as { text: string }[])[0]?.text as string
    }
    expect(JSON.parse(await call('list_tasks')).data.map(({ id }: { id: string }) => id)).toContain('plain-neighbour')
    expect(await call('trigger_task', { taskId: 'plain-neighbour', payload: { n: 41 } })).toBe('42')
    const { data } = JSON.parse(await call('list_runs', { taskId: 'plain-neighbour', status: 'COMPLETED', limit: 1 }))
    expect(data).toHaveLength(1)
    expect(JSON.parse(await call('get_task_status', { runId: data[0].id }))).toMatchObject({ status: 'COMPLETED', output: 42 })
    expect(JSON.parse(await call('get_logs', { runId: data[0].id, tail: 5 }))).toEqual([])
    const delayed = await tasks.trigger('plain-neighbour', { n: 1 }, { delay: '1h' })
    expect(JSON.parse(await call('cancel_task', { runId: delayed.id }))).toMatchObject({ id: delayed.id })
    expect((await runs.retrieve(delayed.id)).status).toBe('CANCELED')
  })

  it.each([
    ['get_logs', {}, 'runId is missing.'],
    ['get_logs', { runId: 7 }, 'runId must be a string, not number.'],
    ['list_runs', { limit: 'ten' }, 'limit must be a number, not string.'],
    ['trigger_task', { taskId: 'x', payload: [] }, 'payload must be an object, not array.'],
    ['list_tasks', { page: 1 }, 'There is no parameter page; there are: none.'],
    ['get_task_status', { runId: 'run_nothing' }, 'Not found'],
    ['drop_all', {}, 'There is no tool drop_all'],
  ])('answer a wrong call of %s with %o by a sentence', async (name, args, words) => {
    const agent = await connect(mcp.serveTools(tools, { authorize: token }))
    const { content, isError } = await agent.callTool({ name, arguments: args })
    expect(isError).toBe(true)
    expect((content as { text: string }[])[0]?.text).toContain(words)
  })

  it('are closed to others, and to pages of other origins', async () => {
    const serve = mcp.serveTools(tools, { authorize: token, allowedOrigins: ['https://app.test'] })
    await expect(connect(serve, 'another token of sixteen')).rejects.toThrow()
    const post = (headers: Record<string, string>): Promise<Response> =>
      serve(new Request('https://tools.test/mcp', { method: 'POST', body: '{}', headers }))
    expect((await post({})).status).toBe(401)
    const bearer = { authorization: `Bearer ${token}` }
    expect((await post({ ...bearer, origin: 'https://evil.test' })).status).toBe(403)
    expect((await post({ ...bearer, origin: 'https://app.test' })).status).not.toBe(403)
    expect((await serve(new Request('https://tools.test/mcp', { headers: bearer }))).status).toBe(405)
    expect(() => mcp.serveTools(tools, { authorize: 'short' })).toThrow(/16 characters/)
    expect(() => mcp.serveTools([...tools, ...tools], { authorize: token })).toThrow(/Two tools are called/)
  })

  it('are refused when they are defined wrongly', () => {
    const good = { name: 'a', description: 'b', parameters: {}, execute: () => 1 }
    for (const [bad, words] of [
      [{ name: 'a b' }, /name of a tool/],
      [{ description: '' }, /description/],
      [{ parameters: { x: { type: 'date' } } }, /Parameter x of a must have a type/],
      [{ execute: undefined }, /execute/],
    ] as const)
      expect(() => mcp.defineTool({ ...good, ...bad } as never)).toThrow(words)
  })
})

describe('ralph', () => {
  it('sets up a job for what happens', async () => {
    const done = await ralph`set up background job to process uploaded videos`
    expect(done).toMatchObject({
      kind: 'event',
      understood: { understood: true, task: 'process-video', event: 'video.uploaded' },
    })
    const sent = await http('POST', '/api/v1/events', { name: 'video.uploaded', payload: { videoId: unique('v') } }, key())
    expect(sent.body.runs).toMatchObject([{ task: 'process-video' }])
    await http('DELETE', `/api/v1/event-subscriptions/${done.id}`, undefined, key())
  })

  it('schedules', async () => {
    const done = await ralph`schedule daily cleanup at 3am`
    expect(done).toMatchObject({ kind: 'schedule', understood: { task: 'cleanup', cron: '0 3 * * *' } })
    expect((await ralph`schedule daily cleanup at 3am`).id).toBe(done.id)
    await http('DELETE', `/api/v1/schedules/${done.id}`, undefined, key())
  })

  it('retries what failed', async () => {
    const failed = await tasks.trigger('explode-loudly', {})
    expect((await finished(failed.id)).isSuccess).toBe(false)
    const done = await ralph`retry all failed explode-loudly jobs from today`
    expect(done).toMatchObject({
      kind: 'bulk',
      understood: { action: 'replay', inWords: expect.stringContaining('explode-loudly') },
    })
    const replayed = await until(async () => {
      const { data } = await runs.list({ taskIdentifier: 'explode-loudly', limit: 10 })
      return data.length > 1 ? data.length : undefined
    }, 'the replay')
    expect(replayed).toBeGreaterThan(1)
    const yesterday = await ralph`retry all failed jobs from yesterday`
    expect(yesterday).toMatchObject({
      kind: 'bulk',
      understood: { filter: { from: expect.any(Number), to: expect.any(Number) } },
    })
  })

  it('starts a job, with values that stay typed', async () => {
    const done = await ralph`send welcome email to ${'ada@example.com'}`
    expect((await finished(done.id)).output).toEqual({ sent: 'ada@example.com' })
  })

  it('refuses what he does not understand, and says what would do', async () => {
    await expect(ralph`paint the fence green`).rejects.toThrow(/language model, and this platform asks none.*say it as a task/)
    await expect(ralph`don't retry failed jobs`).rejects.toThrow()
    await expect((ralph as unknown as (text: string) => Promise<unknown>)('retry')).rejects.toThrow(/template tag/)
    const public_ = await http('POST', '/api/v1/auth/jwt', { claims: { scopes: ['write:runs', 'trigger:tasks'] } }, key())
    const answer = await http(
      'POST',
      '/api/v1/sentences/operate',
      { strings: ['retry all failed jobs'], values: [] },
      { authorization: `Bearer ${public_.body.token}` },
    )
    expect(answer.status).toBe(401)
  })
})

/** The block of README.md that holds the text, as a module beside the fixture's packages. */
async function program<T>(text: string, run: (module: T) => Promise<void>): Promise<void> {
  const code = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)]
    .map(([, block]) => block as string)
    .find((block) => block.includes(text))
  const file = join(fixture, `readme-${process.pid}-${text.length}.ts`)
  writeFileSync(file, code as string)
  try {
    await run(await import(file))
  } finally {
    rmSync(file)
  }
}

describe('README.md', () => {
  it('defines and serves a tool', async () => {
    await program<{ default: { fetch(request: Request): Promise<Response> } }>(
      'serveTools([refund]',
      async ({ default: { fetch } }) => {
        const served = (request: Request): Promise<Response> => {
          request.headers.set('x-agent', 'mine')
          return fetch(request)
        }
        const { tools: listed } = await (await connect(served)).listTools()
        expect(listed).toMatchObject([{ name: 'refund', inputSchema: { required: ['orderId'] } }])
        await expect(connect(fetch)).rejects.toThrow()
      },
    )
  })

  it('asks ralph', async () => {
    const said: unknown[] = []
    const { log } = console
    console.log = (line: unknown) => said.push(line)
    try {
      await program("from 'trigger.do/agents'", async () => {})
    } finally {
      console.log = log
    }
    expect(said).toMatchObject([{ kind: 'event' }, { kind: 'schedule' }, { kind: 'bulk' }])
  })
})
