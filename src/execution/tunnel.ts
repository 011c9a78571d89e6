/**
 * TCP of a task. The loader's own way out (`connect()` through `globalOutbound`) carries neither TLS nor the reason of a
 * refusal, so an isolate opens one connection to Egress and speaks frames on it: Egress dials, and answers with the
 * sentence of a failure. TLS ends in Egress, in the same process.
 */
import { splitAddress } from './egress.ts'

/**
 * A connection that may still start TLS has no read pending in Egress unless the isolate asks for one (`more`): workerd's
 * streams cannot take a read back, and the bytes after the server's go-ahead belong to TLS. `more` with a payload asks for
 * all there is from then on.
 */

/** What an isolate connects to; no host has this name. */
export const tunnelAddress = 'tunnel.invalid:1'

export const frameTypes = { data: 0, end: 1, open: 2, startTls: 3, opened: 4, failed: 5, more: 6 } as const
export interface Frame {
  type: number
  payload: Uint8Array
}
export type SecureTransport = 'on' | 'off' | 'starttls'
export interface Target {
  hostname: string
  port: number
  secureTransport: SecureTransport
}
/** As `connect()` returns it. */
export type Dialled = Pick<Socket, 'readable' | 'writable' | 'opened' | 'closed' | 'close' | 'startTls'>
export type Dial = (target: Target) => Dialled

/** Type (1 byte), length (4 bytes), payload. */
const headBytes = 5
/** Larger payloads are sent as several frames. */
const maxPayload = 64 * 1024

export function encodeFrame(type: number, payload: Uint8Array | string = ''): Uint8Array {
  const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload
  const frame = new Uint8Array(headBytes + bytes.byteLength)
  frame[0] = type
  new DataView(frame.buffer).setUint32(1, bytes.byteLength)
  frame.set(bytes, headBytes)
  return frame
}

export async function writeData(writer: WritableStreamDefaultWriter<Uint8Array>, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength; at += maxPayload)
    await writer.write(encodeFrame(frameTypes.data, bytes.subarray(at, at + maxPayload)))
}

interface ChunkReader {
  read(): Promise<{ value?: Uint8Array; done: boolean }>
  releaseLock(): void
}

/** workerd's sockets hand out 4 KiB at a time unless they are given more room. */
function chunkReader(readable: ReadableStream<Uint8Array>): ChunkReader {
  try {
    const reader = readable.getReader({ mode: 'byob' })
    return { read: () => reader.read(new Uint8Array(maxPayload)), releaseLock: () => reader.releaseLock() }
  } catch {
    return readable.getReader()
  }
}

export class FrameReader {
  readonly #reader: ChunkReader
  #buffer: Uint8Array = new Uint8Array(0)

  constructor(readable: ReadableStream<Uint8Array>) {
    this.#reader = chunkReader(readable)
  }

  /** Undefined at the end of the connection, also in the middle of a frame. */
  async next(): Promise<Frame | undefined> {
    if (!(await this.#fill(headBytes))) return undefined
    const length = new DataView(this.#buffer.buffer, this.#buffer.byteOffset).getUint32(1)
    if (length > maxPayload) throw new Error('A frame of the tunnel is too long.')
    if (!(await this.#fill(headBytes + length))) return undefined
    const type = this.#buffer[0] as number
    const payload = this.#buffer.slice(headBytes, headBytes + length)
    this.#buffer = this.#buffer.subarray(headBytes + length)
    return { type, payload }
  }

  /** Makes the buffer hold so much; the chunks of a long frame are joined once. */
  async #fill(length: number): Promise<boolean> {
    if (this.#buffer.byteLength >= length) return true
    const chunks = [this.#buffer]
    let size = this.#buffer.byteLength
    while (size < length) {
      const { value, done } = await this.#reader.read()
      if (done || !value) return false
      chunks.push(value)
      size += value.byteLength
    }
    const joined = new Uint8Array(size)
    let at = 0
    for (const chunk of chunks) {
      joined.set(chunk, at)
      at += chunk.byteLength
    }
    this.#buffer = joined
    return true
  }
}

/** Egress's side of one tunnel, until both sides have ended. */
export async function serveTunnel(socket: Pick<Socket, 'readable' | 'writable'>, dial: Dial): Promise<void> {
  const frames = new FrameReader(socket.readable as ReadableStream<Uint8Array>)
  const answers = socket.writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>
  const first = await frames.next()
  if (first?.type !== frameTypes.open) return
  const connection = new Connection(answers)
  try {
    await connection.open(dial, JSON.parse(new TextDecoder().decode(first.payload)) as Target)
    for (let frame = await frames.next(); frame; frame = await frames.next()) {
      if (frame.type === frameTypes.data) await connection.write(frame.payload)
      else if (frame.type === frameTypes.more) connection.more(frame.payload.byteLength > 0)
      else if (frame.type === frameTypes.end) await connection.end()
      else if (frame.type === frameTypes.startTls) await connection.startTls(new TextDecoder().decode(frame.payload))
    }
  } catch (error) {
    await answers.write(encodeFrame(frameTypes.failed, describe(error))).catch(() => {})
  } finally {
    connection.close()
    await answers.close().catch(() => {})
  }
}

/** What Egress dialled for one tunnel. */
class Connection {
  readonly #answers: WritableStreamDefaultWriter<Uint8Array>
  #target: Target | undefined
  #upstream: Dialled | undefined
  #reader: ChunkReader | undefined
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined
  #isReading = false

  constructor(answers: WritableStreamDefaultWriter<Uint8Array>) {
    this.#answers = answers
  }

  async open(dial: Dial, target: Target): Promise<void> {
    this.#target = target
    await this.#use(dial(target), false)
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#writer?.write(bytes)
  }

  async end(): Promise<void> {
    await this.#writer?.close()
  }

  async startTls(servername: string): Promise<void> {
    const upstream = this.#upstream
    if (!upstream) return
    if (this.#isReading) throw new Error('TLS cannot start: the task already waits for plain data on this connection.')
    this.#upstream = undefined
    this.#reader?.releaseLock()
    this.#writer?.releaseLock()
    // The name that was dialled is expected anyway.
    const isOther = servername !== '' && servername !== this.#target?.hostname
    await this.#use(upstream.startTls(isOther ? { expectedServerHostname: servername } : undefined), true)
  }

  close(): void {
    this.#upstream?.close().catch(() => {})
  }

  async #use(upstream: Dialled, isSecure: boolean): Promise<void> {
    upstream.closed.catch(() => {})
    try {
      await upstream.opened
    } catch (error) {
      throw new Error(unreachable(this.#target as Target, error))
    }
    this.#upstream = upstream
    this.#writer = upstream.writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>
    this.#reader = chunkReader(upstream.readable as ReadableStream<Uint8Array>)
    await this.#answers.write(encodeFrame(frameTypes.opened))
    if (isSecure || this.#target?.secureTransport !== 'starttls') this.more(true)
  }

  /** Reads one chunk, or all. */
  more(all: boolean): void {
    if (this.#reader && !this.#isReading) void this.#pump(this.#reader, all)
  }

  async #pump(reader: ChunkReader, all: boolean): Promise<void> {
    this.#isReading = true
    try {
      do {
        const { value, done } = await reader.read()
        if (!all) this.#isReading = false
        if (done || !value) return await this.#answers.write(encodeFrame(frameTypes.end))
        await writeData(this.#answers, value)
      } while (all)
    } catch (error) {
      await this.#answers.write(encodeFrame(frameTypes.failed, describe(error))).catch(() => {})
    }
  }
}

/** A connection that speaks no frames: what an isolate opens without the harness. */
export async function forward(socket: Pick<Socket, 'readable' | 'writable'>, address: string, dial: Dial): Promise<void> {
  const upstream = dial({ ...splitAddress(address), secureTransport: 'off' })
  await Promise.all([socket.readable.pipeTo(upstream.writable), upstream.readable.pipeTo(socket.writable)])
}

/** What workerd says about it is an internal reference; the cause it has in its log is one of these. */
export function unreachable({ hostname, port }: Pick<Target, 'hostname' | 'port'>, error: unknown): string {
  const text = describe(error)
  const isOpaque = /^internal error|^proxy request failed|^Network connection lost/.test(text)
  const reason = isOpaque ? 'unknown host, no answer, failed TLS handshake, or an address that is not allowed' : text
  return `${hostname}:${port} is not reachable from tasks here (${reason})`
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
