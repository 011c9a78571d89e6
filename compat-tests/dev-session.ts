/** `trigger.dev dev` as a real child process, its output read as a person would. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll } from 'vitest'
import type { Endpoints } from './cli.ts'

const cli = resolve(import.meta.dirname, '../node_modules/trigger.dev/dist/esm/index.js')
const readyMs = 90_000

/** The CLI asks a host on the internet for a list it also carries; without internet it would ask in vain for eight seconds. */
const noList = `const ask = globalThis.fetch; globalThis.fetch = (input, init) =>
  String(input?.url ?? input).startsWith('https://jsonhero.io/') ? Promise.resolve(new Response('{}', { status: 404 })) : ask(input, init)`

export interface DevSession {
  readonly output: string
  /** The text matched; the whole output in the error when it does not come in time. */
  until(pattern: RegExp, timeoutMs?: number): Promise<string>
  /** As Ctrl-C does; resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

const running = new Set<ChildProcess>()
const homes: string[] = []
afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
  for (const home of homes) rmSync(home, { recursive: true, force: true })
})

export async function startDev(
  endpoints: Endpoints,
  folder: string,
  args: string[] = [],
  extra: Record<string, string> = {},
  entry = cli,
): Promise<DevSession> {
  const home = mkdtempSync(join(tmpdir(), 'trigger-do-home-'))
  homes.push(home)
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: home,
    XDG_CONFIG_HOME: join(home, '.config'),
    TRIGGER_API_URL: endpoints.apiUrl,
    TRIGGER_ACCESS_TOKEN: endpoints.accessToken,
    NO_COLOR: '1',
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(noList)}`,
    ...extra,
  }
  for (const name of ['TRIGGER_SECRET_KEY', 'VITEST', 'NODE_ENV', 'TEST', 'CI']) delete env[name]
  const options = ['--api-url', endpoints.apiUrl, '--skip-update-check', '--skip-telemetry', ...args]
  const child = spawn(process.execPath, [entry, 'dev', ...options], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let text = ''
  const take = (chunk: Buffer): void => {
    text += chunk
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  // Not `close`: a run's process may hold the output a little longer.
  const ended = new Promise<number | null>((done) =>
    child.once('exit', (code) => {
      running.delete(child)
      done(code)
    }),
  )
  const session: DevSession = {
    get output() {
      return stripVTControlCharacters(text)
    },
    async until(pattern, timeoutMs = 30_000) {
      const deadline = Date.now() + timeoutMs
      for (;;) {
        const found = pattern.exec(session.output)
        if (found) return found[0]
        if (child.exitCode !== null || Date.now() > deadline)
          throw new Error(`${pattern} did not come (exit code ${child.exitCode}):\n${session.output}`)
        await new Promise((done) => setTimeout(done, 50))
      }
    },
    async stop(signal = 'SIGINT') {
      if (child.exitCode === null) child.kill(signal)
      return ended
    },
  }
  await session.until(/Local worker ready/, readyMs)
  return session
}
