/** A real browser, by its debugging protocol: what of it a scenario needs, and no more. Debian's package `chromium` brings it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', process.env.CHROMIUM ?? '']

/** Undefined on a machine without it that does not let us install it. */
export function findChromium(): string | undefined {
  const known = places.find((path) => path !== '' && existsSync(path))
  if (known) return known
  try {
    execFileSync('apt-get', ['update', '-qq'], { stdio: 'ignore', timeout: 120_000 })
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], {
      stdio: 'ignore',
      timeout: 300_000,
    })
  } catch {
    return undefined
  }
  return places.find((path) => path !== '' && existsSync(path))
}

export interface Page {
  goto(url: string): Promise<void>
  /** Of an expression in the page; a promise is awaited. */
  evaluate<T>(expression: string): Promise<T>
  /** Until the expression is true. */
  until(expression: string, timeoutMs?: number): Promise<void>
  /** Types as a person does, into the element with the focus. */
  type(text: string): Promise<void>
  press(key: 'Enter'): Promise<void>
  url(): Promise<string>
}

export interface Browser {
  page: Page
  close(): Promise<void>
}

export async function openBrowser(executable: string): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'trigger-do-chromium-'))
  const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run']
  const child = spawn(executable, [...flags, '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const close = async (): Promise<void> => {
    const ended = new Promise((done) => child.once('exit', done))
    if (child.exitCode === null) child.kill('SIGKILL')
    await Promise.race([ended, sleep(5_000)])
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    const connection = await connect(await addressOf(child))
    const { targetId } = await connection.send('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await connection.send('Target.attachToTarget', { targetId, flatten: true })
    return { page: pageOf((method, params) => connection.send(method, params, sessionId as string)), close }
  } catch (error) {
    await close()
    throw error
  }
}

// biome-ignore lint/suspicious/noExplicitAny: answers of the protocol
type Send = (method: string, params?: object) => Promise<any>

function pageOf(send: Send): Page {
  const page: Page = {
    async goto(url) {
      await send('Page.navigate', { url })
      await page.until('document.readyState === "complete"')
    },
    async evaluate(expression) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
      return result.value
    },
    async until(expression, timeoutMs = 20_000) {
      const deadline = Date.now() + timeoutMs
      for (;;) {
        // Between two pages there is nothing to ask.
        const isTrue = await page.evaluate<boolean>(expression).catch(() => false)
        if (isTrue) return
        if (Date.now() > deadline) {
          const text = await page.evaluate<string>('document.documentElement.innerText').catch(() => '')
          throw new Error(`${expression} did not become true; the page says:\n${text}`)
        }
        await sleep(50)
      }
    },
    async type(text) {
      await send('Input.insertText', { text })
    },
    async press(key) {
      const event = { key, code: key, windowsVirtualKeyCode: 13, text: '\r' }
      await send('Input.dispatchKeyEvent', { type: 'keyDown', ...event })
      await send('Input.dispatchKeyEvent', { type: 'keyUp', ...event })
    },
    url: () => page.evaluate<string>('location.href'),
  }
  return page
}

async function addressOf(child: ChildProcess): Promise<string> {
  let text = ''
  child.stderr?.on('data', (chunk) => {
    text += chunk
  })
  for (const deadline = Date.now() + 30_000; ; await sleep(50)) {
    const found = /DevTools listening on (ws:\S+)/.exec(text)?.[1]
    if (found) return found
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`Chromium did not start:\n${text}`)
  }
}

// biome-ignore lint/suspicious/noExplicitAny: answers of the protocol
async function connect(address: string): Promise<{ send(method: string, params?: object, sessionId?: string): Promise<any> }> {
  const socket = new WebSocket(address)
  await new Promise((done, fail) => {
    socket.addEventListener('open', done)
    socket.addEventListener('error', () => fail(new Error('No connection to Chromium.')))
  })
  const waiting = new Map<number, { done(value: unknown): void; fail(error: Error): void }>()
  let last = 0
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error } = JSON.parse(String(data)) as { id?: number; result?: unknown; error?: { message: string } }
    const call = id === undefined ? undefined : waiting.get(id)
    if (!call || id === undefined) return
    waiting.delete(id)
    if (error) call.fail(new Error(error.message))
    else call.done(result)
  })
  return {
    send: (method, params = {}, sessionId) =>
      new Promise((done, fail) => {
        last += 1
        waiting.set(last, { done, fail })
        socket.send(JSON.stringify({ id: last, method, params, ...(sessionId ? { sessionId } : {}) }))
      }),
  }
}
