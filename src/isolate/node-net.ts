/** Sockets of node:net and node:tls, database drivers among them, connect through the tunnel too. */
import http from 'node:http'
import net from 'node:net'
import { connect } from './sockets.ts'

type Listener = (...args: unknown[]) => void

/** What workerd's own `connect` of a socket sets and needs; its fields are the same since node:net exists there. */
interface NodeSocket {
  connecting: boolean
  destroyed: boolean
  encrypted?: boolean
  _handle: unknown
  _host: string
  _undestroy(): void
  _unrefTimer(): void
  isPaused(): boolean
  once(event: string, listener: Listener): void
  emit(event: string, ...args: unknown[]): void
  destroy(error?: unknown): void
  push(chunk: null): void
  read(size: number): void
}

interface ConnectOptions {
  host?: string
  port?: number | string
  path?: string
  lookup?: (host: string, options: object, done: (error: unknown, address: string, family: number) => void) => void
  family?: number
  hints?: number
}

const normalizeArgs = (net as unknown as { _normalizeArgs(args: unknown[]): [ConnectOptions, Listener | null] })._normalizeArgs
const prototype = net.Socket.prototype as unknown as { connect(this: NodeSocket, ...args: unknown[]): NodeSocket }

export function installNodeSockets(): void {
  const native = prototype.connect
  prototype.connect = function (this: NodeSocket, ...args) {
    const [options, listener] = (Array.isArray(args[0]) ? args[0] : normalizeArgs(args)) as [ConnectOptions, Listener | null]
    const port = Number(options.port)
    // Mistakes, and what does not exist here (sockets of the file system), get the errors of node:net itself.
    if (this.connecting || this._handle || options.path != null || !Number.isInteger(port) || port < 1 || port > 65_535)
      return native.apply(this, args)
    if (listener) this.once('connect', listener)
    this._unrefTimer()
    this.connecting = true
    const host = options.host ?? 'localhost'
    if (typeof options.lookup !== 'function' || net.isIP(host) !== 0) {
      open(this, host, port)
      return this
    }
    options.lookup(host, { family: options.family ?? 0, hints: options.hints }, (error, address, family) => {
      this.emit('lookup', error, address, family, host)
      if (error) this.destroy(error)
      else open(this, address, port)
    })
    return this
  }
  // A port stays taken in the isolate after the run, and nothing could reach it.
  const listen = (): never => {
    throw new Error('A task cannot listen on a port: nothing could reach it.')
  }
  for (const { prototype } of [net.Server, http.Server]) Object.assign(prototype, { listen })
}

function open(socket: NodeSocket, host: string, port: number): void {
  const addressType = net.isIP(host)
  const connection = connect(
    { hostname: host, port },
    { allowHalfOpen: true, secureTransport: socket.encrypted ? 'on' : 'starttls' },
  )
  const handle = {
    socket: connection,
    writer: connection.writable.getWriter(),
    reader: connection.readable.getReader({ mode: 'byob' }),
    bytesRead: 0,
    bytesWritten: 0,
    reading: false,
    readLoopActive: false,
    options: { host, port, addressType },
  }
  socket._host = host
  socket._handle = handle
  setPeer(socket, { address: host, port, family: addressType === 4 ? 'IPv4' : addressType === 6 ? 'IPv6' : undefined })
  socket._undestroy()
  connection.opened.then(
    () => {
      if (socket.destroyed) return
      socket.connecting = false
      socket._unrefTimer()
      socket.emit('connect')
      socket.emit('ready')
      if (!socket.isPaused()) socket.read(0)
    },
    (error) => socket.destroy(error),
  )
  connection.closed.then(
    () => {
      if (socket.destroyed || socket._handle !== handle) return
      if (connection.secure) {
        // As in Node, the plain socket closes with the one on top of it; pg waits for that.
        const close = (): void => socket.destroy()
        connection.secure.closed.then(close, close)
      } else if (!handle.readLoopActive) {
        // Nobody reads, so no read sees the end.
        socket.push(null)
        socket.read(0)
      }
    },
    (error) => socket.destroy(error),
  )
}

/** The field `remoteAddress` and `remotePort` are read from. */
function setPeer(socket: object, remoteAddress: object): void {
  const field = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'kSocketInfo')
  if (field) (socket as Record<symbol, unknown>)[field] = { remoteAddress }
}
