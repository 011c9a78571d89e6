/** Sessions of `trigger.dev dev` in trouble: the platform restarts, the socket is refused, two of them at once, an older CLI. */
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { configure, runs, tasks } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { environmentKey, type Project } from './cli.ts'
import { type DevSession, startDev } from './dev-session.ts'
import { finished, hasStatus, type PlatformProcess, startPlatform, unique } from './harness.ts'
import { makeProject } from './made-project.ts'

const source = (greeting: string): string => `
import { task, wait } from '@trigger.dev/sdk'
import { setTimeout as sleep } from 'node:timers/promises'
export const hello = task({ id: 'hello', run: async () => '${greeting}' })
export const works = task({ id: 'works', run: async ({ seconds }: { seconds: number }) => { await sleep(seconds * 1000); return 'worked' } })
export const waits = task({ id: 'waits', run: async () => { await wait.for({ seconds: 8 }); return 'waited' } })
export const parent = task({ id: 'parent', run: async () => (await hello.triggerAndWait(undefined as never)).ok })
`

let platform: PlatformProcess

beforeAll(async () => {
  platform = await startPlatform()
}, 120_000)
afterAll(() => platform?.stop())

async function session(
  greeting: string,
  args: string[] = [],
  apiUrl = platform.endpoints.apiUrl,
  made = makeProject({ 'src/t.ts': source(greeting) }),
): Promise<{ dev: DevSession; project: Project; made: { folder: string; ref: string } }> {
  const endpoints = { ...platform.endpoints, apiUrl }
  const project = await environmentKey(platform.endpoints, made.folder, 'dev')
  const dev = await startDev(endpoints, made.folder, args)
  return { dev, project, made }
}
function use({ secretKey }: Project, branch?: string): void {
  configure({
    baseURL: platform.endpoints.apiUrl,
    accessToken: secretKey,
    ...(branch ? { previewBranch: branch } : {}),
  })
}

describe('dev', () => {
  const ref = (): string => first.made.ref
  const beside = (greeting: string): ReturnType<typeof makeProject> =>
    makeProject({ 'src/t.ts': source(greeting), 'trigger.config.ts': `project: '${ref()}', dirs: ['./src'], maxDuration: 60` })
  let first: Awaited<ReturnType<typeof session>>

  it('goes on when the platform is killed in the middle of its runs', { timeout: 200_000 }, async () => {
    first = await session('from the first')
    use(first.project)
    const working = await tasks.trigger('works', { seconds: 6 })
    const waiting = await tasks.trigger('waits', {})
    await hasStatus(working.id, 'EXECUTING')
    await hasStatus(waiting.id, 'WAITING')
    await platform.killWorkerd()
    await platform.waitUntilHealthy()
    const [worked, waited] = [await finished(working.id, 60_000), await finished(waiting.id, 60_000)]
    expect([worked, waited]).toMatchObject([
      { status: 'COMPLETED', output: 'worked', attemptCount: 1 },
      { status: 'COMPLETED', output: 'waited', attemptCount: 1 },
    ])
    const after = await tasks.trigger('hello', {})
    expect((await finished(after.id)).output).toBe('from the first')
    await first.dev.until(/Connection was restored/)
  })

  it('keeps two sessions on two branches apart', { timeout: 200_000 }, async () => {
    const branch = unique('feature').toLowerCase()
    const onBranch = await session('', ['--branch', branch], undefined, beside('from the branch'))
    use(first.project)
    const trunk = await Promise.all([1, 2, 3].map(() => tasks.trigger('hello', {})))
    for (const { id } of trunk) expect((await finished(id)).output).toBe('from the first')
    use(onBranch.project, branch)
    const there = await Promise.all([1, 2, 3].map(() => tasks.trigger('hello', {})))
    for (const { id } of there) expect((await finished(id)).output).toBe('from the branch')
    await onBranch.dev.stop()
  })

  it('of two on one environment the newest gets what is new; when it is gone, the other goes on', {
    timeout: 200_000,
  }, async () => {
    const newer = await session('', [], undefined, beside('from the newer'))
    use(first.project)
    for (let round = 0; round < 3; round++)
      expect((await finished((await tasks.trigger('hello', {})).id)).output).toBe('from the newer')
    await newer.dev.stop()
    // Triggered at this very moment it would go to the one that left, and come back after 30 s.
    await new Promise((done) => setTimeout(done, 2_500))
    const left = await tasks.trigger('hello', {})
    expect(await finished(left.id, 90_000)).toMatchObject({ status: 'COMPLETED', output: 'from the first' })
    await first.dev.stop()
  })

  it('works without its socket and its presence, more slowly', { timeout: 200_000 }, async () => {
    const proxy = await refusing(/^\/socket\.io|^\/engine\/v1\/dev\/presence/)
    const { dev, project } = await session('polled', [], `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`)
    use(project)
    const [parent, waits, works] = await Promise.all([
      tasks.trigger('parent', {}),
      tasks.trigger('waits', {}),
      tasks.trigger('works', { seconds: 60 }),
    ])
    await hasStatus(works.id, 'EXECUTING')
    await runs.cancel(works.id)
    expect((await finished(parent.id)).output).toBe(true)
    expect((await finished(waits.id)).output).toBe('waited')
    expect((await finished(works.id)).status).toBe('CANCELED')
    await dev.stop()
    proxy.close()
  })
})

/** Passes everything on but what matches, which is not found. */
async function refusing(pattern: RegExp): Promise<Server> {
  const { hostname, port } = new URL(platform.endpoints.apiUrl)
  const server = createServer((incoming, outgoing) => {
    if (pattern.test(incoming.url ?? '')) {
      outgoing.writeHead(404).end()
      return
    }
    const { url: path, method, headers } = incoming
    const onward = request({ hostname, port, path, method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode as number, answer.headers)
      answer.pipe(outgoing)
    })
    onward.once('error', () => outgoing.destroy())
    outgoing.once('close', () => onward.destroy())
    incoming.pipe(onward)
  })
  server.on('upgrade', (_, socket) => socket.end('HTTP/1.1 404 Not Found\r\n\r\n'))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return server
}
