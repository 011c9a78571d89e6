/**
 * `streams.pipe` and its kin for a task in an isolate. The SDK's own writer needs Node's HTTP client; this one sends what there is
 * every few milliseconds, each call with the number of its first line, so that one repeated is stored once.
 */
import type { StreamsManager } from './core.ts'
import { real } from './operations.ts'

const gatherMs = 30
/** A call before it would be refused for its size. */
const callChars = 400_000
const tries = 6
const firstPauseMs = 500

interface Options {
  /** A run's id, or a relative of this run. */
  target?: string
  signal?: AbortSignal
}

export interface RunOfContext {
  id: string
  parentTaskRunId?: string
  rootTaskRunId?: string
}

interface Instance {
  wait(): Promise<object>
  stream: ReadableStream<unknown>
}

export class RunStreams implements StreamsManager {
  readonly #origin: string
  readonly #run: () => RunOfContext | undefined
  readonly #active = new Set<{ done: Promise<void>; stop: AbortController }>()
  readonly #opened = new Map<string, Promise<void>>()

  constructor(origin: string, run: () => RunOfContext | undefined) {
    this.#origin = origin
    this.#run = run
  }

  pipe(key: string, source: AsyncIterable<unknown> | ReadableStream<unknown>, options: Options = {}): Instance {
    const address = this.#address(key, options.target)
    const stop = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
    const [sent, given] = streamOf(source).tee()
    const done = this.#open(address).then(() => pump(sent, address, signal))
    const entry = { done, stop }
    this.#active.add(entry)
    const leave = (): void => {
      this.#active.delete(entry)
    }
    // Whoever waits hears of a failure; nobody has to.
    done.then(leave, leave)
    return { wait: () => done.then(() => ({})), stream: given }
  }

  async append(key: string, part: unknown, options: Options = {}): Promise<void> {
    const body = typeof part === 'string' ? part : JSON.stringify(part)
    const headers = { 'content-type': 'application/json', 'x-part-id': crypto.randomUUID() }
    await send(`${this.#address(key, options.target)}/append`, { method: 'POST', headers, body })
  }

  hasActiveStreams(): boolean {
    return this.#active.size > 0
  }

  async waitForAllStreams(timeoutMs = 60_000): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const limit = new Promise<'late'>((resolve) => {
      timer = real.setTimeout(() => resolve('late'), timeoutMs)
    })
    const all = Promise.all([...this.#active].map(({ done }) => done))
    const outcome = await Promise.race([all, limit]).finally(() => real.clearTimeout(timer))
    if (outcome !== 'late') return
    const count = this.#active.size
    for (const { stop } of this.#active) stop.abort()
    throw new Error(`${count} streams did not end within ${timeoutMs} ms after the task; they were cut off.`)
  }

  reset(): void {
    this.#active.clear()
    this.#opened.clear()
  }

  #address(key: string, target = 'self'): string {
    const run = this.#run()
    const relatives: Record<string, string | undefined> = {
      self: run?.id,
      parent: run?.parentTaskRunId ?? run?.id,
      root: run?.rootTaskRunId ?? run?.id,
    }
    const id = target in relatives ? relatives[target] : target
    if (!id) throw new Error('A stream belongs to a run: name one with the option target.')
    return `${this.#origin}/realtime/v1/streams/${id}/self/${encodeURIComponent(key)}`
  }

  #open(address: string): Promise<void> {
    const known = this.#opened.get(address)
    if (known) return known
    const opening = send(address, { method: 'PUT' })
    this.#opened.set(address, opening)
    opening.catch(() => this.#opened.delete(address))
    return opening
  }
}

async function pump(source: ReadableStream<unknown>, address: string, signal: AbortSignal): Promise<void> {
  const reader = source.getReader()
  signal.addEventListener('abort', () => void reader.cancel(signal.reason).catch(() => {}))
  const client = crypto.randomUUID().slice(0, 8)
  let first = 0
  let lines: string[] = []
  let size = 0
  let next = reader.read()
  /** Since the first line that is not sent: a source that never rests is sent all the same. */
  let pause: Promise<undefined> | undefined
  for (;;) {
    const piece = await (pause ? Promise.race([next, pause]) : next)
    if (piece && !piece.done) {
      const line = JSON.stringify(piece.value) ?? 'null'
      lines.push(line)
      size += line.length
      next = reader.read()
      pause ??= new Promise<undefined>((done) => real.setTimeout(() => done(undefined), gatherMs))
      if (size < callChars) continue
    }
    pause = undefined
    if (lines.length > 0) {
      const headers = { 'content-type': 'application/json', 'x-client-id': client, 'x-resume-from-chunk': String(first) }
      await send(address, { method: 'POST', headers, body: `${lines.join('\n')}\n` })
    }
    first += lines.length
    lines = []
    size = 0
    if (piece?.done) return
  }
}

/** What may work the next time is tried again. */
async function send(address: string, init: RequestInit): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(address, init)
    const text = await answer.text()
    if (answer.ok) return
    const isTransient = answer.status === 408 || answer.status === 429 || answer.status >= 500
    if (!isTransient || attempt === tries) throw new Error(`The stream was refused: ${answer.status} ${messageOf(text)}`)
    await new Promise((done) => real.setTimeout(() => done(undefined), firstPauseMs * 2 ** (attempt - 1)))
  }
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { error: unknown }).error)
  } catch {
    return text.slice(0, 200)
  }
}

function streamOf(source: AsyncIterable<unknown> | ReadableStream<unknown>): ReadableStream<unknown> {
  if (source instanceof ReadableStream) return source
  const iterator = source[Symbol.asyncIterator]()
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel(reason) {
      await iterator.return?.(reason)
    },
  })
}
