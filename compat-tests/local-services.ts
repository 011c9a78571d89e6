/** What a task must not reach, or may: services on this machine that keep a record of who came. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'

export interface LocalServices {
  /** Ports: HTTP (with redirects, events and WebSocket), plain TCP, HTTPS, and TCP that turns to TLS on request. */
  http: number
  tcp: number
  https: number
  startTls: number
  /** File of the authority that signed the certificate of `localhost`. */
  authority: string
  /** One line per request or connection. */
  seen: string[]
  close(): Promise<void>
}

export async function startLocalServices(): Promise<LocalServices> {
  const folder = mkdtempSync(join(tmpdir(), 'trigger-do-services-'))
  const certificate = makeCertificate(folder)
  const seen: string[] = []
  const http = createHttpServer((request, response) => {
    // The CLI loads the task files too, on this machine, before it uploads them.
    const isNode = request.headers['user-agent'] === 'node'
    seen.push(`${isNode ? 'from Node: ' : ''}${request.method} ${request.url}`)
    const url = new URL(request.url ?? '/', 'http://local')
    const to = url.searchParams.get('to')
    if (to) response.writeHead(302, { location: to }).end('moved')
    else if (url.pathname === '/events')
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: an event\n\n')
    else response.end(`local ${url.pathname}`)
  })
  http.on('upgrade', (request, socket) => {
    seen.push(`upgrade ${request.url}`)
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64')
    const head = [
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${accept}`,
    ]
    socket.on('error', () => {})
    socket.write(`${head.join('\r\n')}\r\n\r\n`)
    socket.write(Buffer.from([0x81, 2, ...Buffer.from('hi')]))
  })
  const https = createHttpsServer(certificate, (request, response) => {
    seen.push(`secure ${request.method} ${request.url}`)
    response.end('secure local')
  })
  const tcp = createServer((socket) => {
    seen.push('connection')
    socket.on('error', () => {})
    socket.on('data', (chunk) => socket.end(`got ${chunk.length} bytes`))
  })
  const startTls = createServer((socket) => {
    seen.push('connection')
    socket.on('error', () => {})
    socket.write('hello\n')
    socket.once('data', (chunk) => {
      if (String(chunk) !== 'STARTTLS') return socket.end()
      socket.write('go\n')
      const secure = new TLSSocket(socket, { isServer: true, ...certificate })
      secure.on('error', () => {})
      secure.on('data', (data) => secure.end(`secure ${data.length} bytes`))
    })
  })
  const servers: Server[] = [http, https, tcp, startTls]
  const sockets = new Set<Socket>()
  for (const server of servers) {
    server.on('connection', (socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
  }
  const ports = await Promise.all(servers.map(listen))
  return {
    http: ports[0] as number,
    https: ports[1] as number,
    tcp: ports[2] as number,
    startTls: ports[3] as number,
    authority: join(folder, 'authority.pem'),
    seen,
    async close() {
      for (const socket of sockets) socket.destroy()
      await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((done, fail) => {
    server.once('error', fail).listen(0, '127.0.0.1', () => done((server.address() as AddressInfo).port))
  })
}

function makeCertificate(folder: string): { key: string; cert: string } {
  const path = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { stdio: 'pipe' })
  }
  const newKey = ['-newkey', 'rsa:2048', '-nodes']
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    path('authority.key'),
    '-out',
    path('authority.pem'),
    '-days',
    '2',
    '-subj',
    '/CN=authority',
  )
  openssl('req', ...newKey, '-keyout', path('key.pem'), '-out', path('request.pem'), '-subj', '/CN=localhost')
  writeFileSync(path('extensions'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n')
  const authority = ['-CA', path('authority.pem'), '-CAkey', path('authority.key'), '-CAcreateserial']
  const extensions = ['-days', '2', '-extfile', path('extensions')]
  openssl('x509', '-req', '-in', path('request.pem'), ...authority, ...extensions, '-out', path('cert.pem'))
  return { key: readFileSync(path('key.pem'), 'utf8'), cert: readFileSync(path('cert.pem'), 'utf8') }
}
