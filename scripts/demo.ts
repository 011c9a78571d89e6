/**
 * `npm run demo -- [--once] [--port 8787] [--state DIR] [--folder DIR]`: starts a platform, deploys examples/hello-world
 * (or another folder with a task `hello-world`) with the unmodified CLI, triggers it with the unmodified SDK and shows what
 * happens.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { configure, runs, tasks } from '@trigger.dev/sdk'
import { portArgument, readArguments } from './arguments.ts'
import { deployProject } from './deploy-project.ts'
import { type Endpoints, type Platform, projectRefOf, startPlatform, stopOnSignal } from './dev.ts'
import { freePort, root } from './local-host.ts'

const finalStates = ['COMPLETED', 'FAILED', 'CRASHED', 'CANCELED', 'SYSTEM_FAILURE', 'EXPIRED', 'TIMED_OUT']
const PATIENCE_MS = 120_000

interface RunEvent {
  spanId: string
  message: string
  kind?: string
  level?: string
  isPartial?: boolean
}

async function follow(endpoints: Endpoints, runId: string): Promise<{ status: string; output: unknown; error: unknown }> {
  const shown = new Set<string>()
  let status = ''
  const deadline = Date.now() + PATIENCE_MS
  while (Date.now() < deadline) {
    const run = await runs.retrieve(runId)
    for (const event of await logLines(endpoints, runId)) {
      if (shown.has(event.spanId)) continue
      shown.add(event.spanId)
      console.log(`    ${event.level?.toLowerCase() ?? 'log'}: ${event.message}`)
    }
    if (run.status !== status) console.log(`  ${run.status}`)
    status = run.status
    if (finalStates.includes(status)) return { status, output: run.output, error: run.error }
    await new Promise((done) => setTimeout(done, 200))
  }
  throw new Error(`Run ${runId} is still ${status} after ${PATIENCE_MS / 1000} s`)
}

async function logLines(endpoints: Endpoints, runId: string): Promise<RunEvent[]> {
  const response = await fetch(`${endpoints.apiUrl}/api/v1/runs/${runId}/events`, {
    headers: { authorization: `Bearer ${endpoints.secretKeys.prod}` },
  })
  if (!response.ok) throw new Error(`Events of ${runId}: ${response.status} ${await response.text()}`)
  const { events } = (await response.json()) as { events: RunEvent[] }
  return events.filter((event) => !event.isPartial && ['LOG', 'DEBUG', 'INFO', 'WARN', 'ERROR'].includes(event.level ?? ''))
}

async function main(): Promise<void> {
  const values = readArguments(
    {
      once: { type: 'boolean', default: false },
      port: { type: 'string' },
      state: { type: 'string' },
      folder: { type: 'string', default: join(root, 'examples/hello-world') },
    },
    'npm run demo -- [--once] [--port 8787] [--state DIR] [--folder DIR]',
  )
  const folder = resolve(values.folder)
  const projectRef = projectRefOf(folder)
  // Once: beside whatever runs already, and nothing is left. Else the folder of `npm run dev`: same keys, same runs.
  const temporary = values.once && !values.state ? mkdtempSync(join(tmpdir(), 'trigger-do-demo-')) : undefined
  if (temporary) process.once('exit', () => rmSync(temporary, { recursive: true, force: true }))
  const port = values.port ? portArgument(values.port) : values.once ? await freePort() : 8787
  let started: Platform | undefined
  const stop = async (): Promise<void> => started?.stop()
  stopOnSignal(stop)
  const platform = await startPlatform({ port, state: values.state ?? temporary ?? join(root, '.state'), projectRef })
  started = platform
  try {
    const { apiUrl, accessToken, secretKeys } = platform.endpoints
    console.log(`Platform: ${apiUrl}

  export TRIGGER_API_URL=${apiUrl}
  export TRIGGER_ACCESS_TOKEN=${accessToken}
  export TRIGGER_SECRET_KEY=${secretKeys.prod}
`)
    console.log(`$ trigger deploy   (${relative(process.cwd(), folder) || '.'})`)
    const deploy = await deployProject({
      folder,
      apiUrl,
      accessToken,
      onLine: (line) => console.log(`  ${line}`),
    })
    if (deploy.code !== 0) throw new Error(`trigger deploy ended with ${deploy.code}`)
    configure({ baseURL: apiUrl, accessToken: secretKeys.prod })
    const handle = await tasks.trigger('hello-world', { name: 'world' })
    console.log(`tasks.trigger('hello-world') → ${handle.id}`)
    const run = await follow(platform.endpoints, handle.id)
    if (run.status !== 'COMPLETED') throw new Error(`${handle.id} ended ${run.status}: ${JSON.stringify(run.error)}`)
    console.log(`\nCOMPLETED\n${JSON.stringify(run.output, null, 2)}`)
    if (values.once) return await stop()
    console.log(`\n${apiUrl} goes on serving. Ctrl-C stops it.`)
  } catch (error) {
    await stop()
    throw error
  }
}

main().catch((error) => {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
})
