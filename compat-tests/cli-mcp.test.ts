/** The CLI's own MCP server (`trigger mcp`, a process that speaks over its pipes) against this platform. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endpoints, plain } from './harness.ts'

const home = mkdtempSync(join(tmpdir(), 'trigger-do-mcp-'))
mkdirSync(join(home, '.config'))
const cli = resolve(import.meta.dirname, '../node_modules/trigger.dev/dist/esm/index.js')
const at = { projectRef: plain.ref, environment: 'prod' }
let agent: Client

beforeAll(async () => {
  agent = new Client({ name: 'compat', version: '1.0.0' })
  await agent.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [cli, 'mcp', '--api-url', endpoints.apiUrl],
      cwd: join(import.meta.dirname, 'fixtures/plain'),
      stderr: 'ignore',
      env: {
        PATH: process.env.PATH as string,
        HOME: home,
        XDG_CONFIG_HOME: join(home, '.config'),
        TRIGGER_API_URL: endpoints.apiUrl,
        TRIGGER_ACCESS_TOKEN: endpoints.accessToken,
        NO_COLOR: '1',
      },
    }),
  )
}, 60_000)
afterAll(async () => {
  await agent?.close()
  rmSync(home, { recursive: true, force: true })
})

async function call(name: string, args: Record<string, unknown> = {}): Promise<{ text: string; isError: boolean }> {
  const { content, isError } = await agent.callTool({ name, arguments: args })
  return { text: (content as { text: string }[]).map(({ text }) => text).join('\n'), isError: isError === true }
}
async function told(name: string, args: Record<string, unknown>, pattern: RegExp): Promise<string> {
  const { text, isError } = await call(name, args)
  expect(text, name).toMatch(pattern)
  expect(isError, name).toBe(false)
  return text
}

describe('trigger mcp', () => {
  it('shows who and what there is', async () => {
    await told('whoami', {}, /owner@localhost/)
    await told('list_orgs', {}, /owner/)
    await told('list_projects', {}, new RegExp(plain.ref))
    await told('get_current_worker', at, /Current worker for prod is \d{8}\.\d+[\s\S]*add-one/)
    await told('get_task_schema', { ...at, taskSlug: 'add-one' }, /## add-one/)
    await told('list_deploys', at, /Found \d+ deployments?/)
    await told('list_preview_branches', { projectRef: plain.ref }, /branch/i)
  })

  it('triggers a task, waits for it, shows, cancels and replays it', async () => {
    const started = await told('trigger_task', { ...at, taskId: 'add-one', payload: { n: 41 } }, /run_\w+/)
    const runId = /run_\w+/.exec(started)?.[0] as string
    await told('wait_for_run_to_complete', { ...at, runId }, /completed[\s\S]*42/i)
    await told('get_run_details', { ...at, runId }, /Status: completed/i)
    await told('list_runs', at, new RegExp(runId))
    await told('replay_run', { ...at, runId }, /run_\w+/)
    const later = await told('trigger_task', { ...at, taskId: 'add-one', payload: { n: 1 }, options: { delay: '1h' } }, /run_\w+/)
    const delayed = /run_\w+/.exec(later)?.[0] as string
    await told('cancel_run', { ...at, runId: delayed }, /cancell?ed/i)
    await told('wait_for_run_to_complete', { ...at, runId: delayed }, /cancell?ed/i)
  })

  it.each(['list_prompts', 'list_dashboards'])('says of %s that it is not built, in words', async (name) => {
    const { text, isError } = await call(name, at)
    expect(text).toMatch(/not built yet/)
    expect(isError).toBe(true)
  })

  it('says that a run is not there', async () => {
    const { text, isError } = await call('get_run_details', { ...at, runId: `run_${'0'.repeat(26)}` })
    expect(text).toMatch(/not found/i)
    expect(isError).toBe(true)
  })
})
