/**
 * TCP as tasks see it: `connect()` of cloudflare:sockets and the sockets of node:net and node:tls, over a tunnel to
 * Egress (execution/tunnel.ts), which alone decides where they lead.
 */
import { connect as nativeConnect } from 'cloudflare:sockets'
import { splitAddress } from '../execution/egress.ts'
import {
  encodeFrame,
  FrameReader,
  frameTypes,
  type SecureTransport,
  type Target,
  tunnelAddress,
  writeData,
} from '../execution/tunnel.ts'
import { currentRun } from './active-run.ts'
import { real } from './operations.ts'

/** So many chunks are asked for one by one while TLS may still start: no protocol talks longer before it. */
const chunksBeforeTls = 8
/** A busy task needs a moment until it starts TLS after its last plain chunk. */
const beforeAskingMs = 5

interface ConnectOptions {
  secureTransport?: SecureTransport
  allowHalfOpen?: boolean
}

/** `connect()` of cloudflare:sockets. */
export function connect(address: string | SocketAddress, options: ConnectOptions = {}): TunnelSocket {
  const { hostname, port } = typeof address === 'string' ? splitAddress(address) : { ...address, port: Number(address.port) }
  if (!hostname || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw new TypeError('The address of connect() must be "host:port", or an object with hostname and port.')
  const secureTransport = options.secureTransport ?? 'off'
  const tunnel = new Tunnel({ hostname, port, secureTransport })
  return tunnel.open(options.allowHalfOpen ?? false)
}

/** One connection to Egress; its socket is replaced by another one when TLS starts. */
class Tunnel {
  readonly target: Target
  readonly #native = nativeConnect(tunnelAddress, { allowHalfOpen: true })
  readonly #writer = this.#native.writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>
  #current: TunnelSocket | undefined

  constructor(target: Target) {
    this.target = target
    this.#native.closed.catch(() => {})
    currentRun()?.operations.signal.addEventListener('abort', () => void this.close())
  }

  open(allowHalfOpen: boolean): TunnelSocket {
    const { target } = this
    this.#current = new TunnelSocket(this, target.secureTransport, allowHalfOpen)
    this.#send(encodeFrame(frameTypes.open, JSON.stringify(target)))
    void this.#read()
    return this.#current
  }

  startTls(servername: string, allowHalfOpen: boolean): TunnelSocket {
    this.#current = new TunnelSocket(this, 'on', allowHalfOpen)
    this.#send(encodeFrame(frameTypes.startTls, servername))
    return this.#current
  }

  more(all: boolean): void {
    this.#send(encodeFrame(frameTypes.more, all ? 'all' : ''))
  }

  async write(bytes: Uint8Array): Promise<void> {
    await writeData(this.#writer, bytes)
  }

  async end(): Promise<void> {
    await this.#writer.write(encodeFrame(frameTypes.end))
  }

  async close(): Promise<void> {
    await this.#native.close().catch(() => {})
  }

  /** What cannot be sent shows on the reading side. */
  #send(frame: Uint8Array): void {
    this.#writer.write(frame).catch(() => {})
  }

  async #read(): Promise<void> {
    const frames = new FrameReader(this.#native.readable as ReadableStream<Uint8Array>)
    try {
      for (let frame = await frames.next(); frame; frame = await frames.next()) {
        const socket = this.#current as TunnelSocket
        if (frame.type === frameTypes.data) await socket.receive(frame.payload)
        else if (frame.type === frameTypes.opened) socket.isOpen()
        else if (frame.type === frameTypes.end) socket.ended()
        else if (frame.type === frameTypes.failed) socket.fail(new Error(new TextDecoder().decode(frame.payload)))
      }
      this.#current?.ended()
    } catch (error) {
      this.#current?.fail(error)
    }
  }
}

/** Shaped as workerd's own socket, so that node:net and node:tls accept it as theirs. */
class TunnelSocket {
  readonly secureTransport: SecureTransport
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
  readonly opened: Promise<{ remoteAddress: string; localAddress: undefined }>
  readonly closed: Promise<void>
  upgraded = false
  /** What took its place when TLS started. */
  secure: TunnelSocket | undefined
  readonly #tunnel: Tunnel
  readonly #allowHalfOpen: boolean
  readonly #opening = Promise.withResolvers<{ remoteAddress: string; localAddress: undefined }>()
  readonly #closing = Promise.withResolvers<void>()
  #controller!: ReadableByteStreamController
  #isFinished = false
  #isReadable = true
  #asked = 0
  /** Resolved when the reader wants more. */
  #demand = Promise.withResolvers<void>()

  constructor(tunnel: Tunnel, secureTransport: SecureTransport, allowHalfOpen: boolean) {
    this.#tunnel = tunnel
    this.#allowHalfOpen = allowHalfOpen
    this.secureTransport = secureTransport
    this.opened = this.#opening.promise
    this.closed = this.#closing.promise
    for (const promise of [this.opened, this.closed]) promise.catch(() => {})
    this.readable = new ReadableStream({
      type: 'bytes',
      start: (controller) => {
        this.#controller = controller
      },
      pull: () => {
        this.#demand.resolve()
        this.#ask()
      },
      cancel: () => this.#demand.resolve(),
    })
    this.writable = new WritableStream<Uint8Array>({
      write: async (chunk) => {
        await this.opened
        await tunnel.write(asBytes(chunk))
      },
      close: async () => {
        await this.opened
        await tunnel.end()
        if (!this.#isReadable) this.#finish()
      },
      abort: () => this.close(),
    })
  }

  startTls(options?: { expectedServerHostname?: string }): TunnelSocket {
    if (this.secureTransport !== 'starttls')
      throw new TypeError("The `secureTransport` socket option must be set to 'starttls' for startTls to be used.")
    if (this.upgraded) throw new TypeError('startTls has already been called on this socket.')
    this.upgraded = true
    this.#demand.resolve()
    this.#closing.resolve()
    this.secure = this.#tunnel.startTls(options?.expectedServerHostname ?? '', this.#allowHalfOpen)
    return this.secure
  }

  async close(): Promise<void> {
    if (this.#isFinished) return
    this.ended()
    this.#finish()
    await this.#tunnel.close()
  }

  /** Later than what the task does with the last chunk, which may be to start TLS. */
  #ask(): void {
    if (this.secureTransport !== 'starttls' || this.#asked > chunksBeforeTls) return
    const all = this.#asked++ === chunksBeforeTls
    this.opened.then(
      () => real.setTimeout(() => !this.upgraded && !this.#isFinished && this.#tunnel.more(all), beforeAskingMs),
      () => {},
    )
  }

  isOpen(): void {
    const { hostname, port } = this.#tunnel.target
    this.#opening.resolve({ remoteAddress: `${hostname}:${port}`, localAddress: undefined })
  }

  async receive(bytes: Uint8Array): Promise<void> {
    if (!this.#isReadable) return
    this.#controller.enqueue(bytes)
    if ((this.#controller.desiredSize ?? 1) > 0) return
    this.#demand = Promise.withResolvers()
    await this.#demand.promise
  }

  /** The other side sends nothing more. */
  ended(): void {
    if (!this.#isReadable) return
    this.#isReadable = false
    this.#opening.reject(new Error('The connection was closed before it was open.'))
    try {
      this.#controller.close()
      this.#controller.byobRequest?.respond(0)
    } catch {
      // The reader has cancelled.
    }
    this.#demand.resolve()
    if (!this.#allowHalfOpen) void this.close()
  }

  fail(error: unknown): void {
    this.#opening.reject(error)
    this.#closing.reject(error)
    if (this.#isReadable) {
      this.#isReadable = false
      try {
        this.#controller.error(error)
      } catch {}
    }
    this.#isFinished = true
    this.#demand.resolve()
    void this.#tunnel.close()
  }

  #finish(): void {
    this.#isFinished = true
    this.#closing.resolve()
  }
}

function asBytes(chunk: ArrayBuffer | ArrayBufferView): Uint8Array {
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk)
  throw new TypeError('A socket takes bytes: an ArrayBuffer, a typed array or a Buffer.')
}
