import { describe, expect, it } from 'vitest'
import {
  type Dial,
  type Dialled,
  encodeFrame,
  FrameReader,
  frameTypes,
  serveTunnel,
  type Target,
  unreachable,
  writeData,
} from './tunnel.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)

/** Both ends of a connection in one process. */
function pair(): [Dialled, Dialled & { startedTls: string[] }] {
  const there = new TransformStream<Uint8Array, Uint8Array>()
  const back = new TransformStream<Uint8Array, Uint8Array>()
  const startedTls: string[] = []
  const end = (readable: ReadableStream, writable: WritableStream): Dialled & { startedTls: string[] } => {
    const socket = {
      readable,
      writable,
      opened: Promise.resolve({}),
      closed: new Promise<void>(() => {}),
      close: async () => {},
      startedTls,
      startTls(options?: { expectedServerHostname?: string }) {
        if (readable.locked || writable.locked) throw new TypeError('locked')
        startedTls.push(options?.expectedServerHostname ?? '')
        return socket
      },
    }
    return socket as unknown as Dialled & { startedTls: string[] }
  }
  return [end(back.readable, there.writable), end(there.readable, back.writable)]
}

/** A task's side of a tunnel that leads to `upstream`. */
function open(target: Partial<Target>, dial: Dial) {
  const [task, egress] = pair()
  const writer = task.writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>
  const reader = new FrameReader(task.readable as ReadableStream<Uint8Array>)
  const served = serveTunnel(egress, dial)
  const send = (type: number, payload: string | Uint8Array = ''): Promise<void> => writer.write(encodeFrame(type, payload))
  const next = async (): Promise<[number, string] | undefined> => {
    const frame = await reader.next()
    return frame && [frame.type, text(frame.payload)]
  }
  void send(frameTypes.open, JSON.stringify({ hostname: 'db.example', port: 5432, secureTransport: 'off', ...target }))
  return { send, next, end: () => writer.close(), served }
}

describe('frames', () => {
  it('are read whatever the chunks they come in', async () => {
    const whole = [encodeFrame(frameTypes.data, 'one'), encodeFrame(frameTypes.end), encodeFrame(frameTypes.data, 'two')].flatMap(
      (frame) => [...frame],
    )
    for (const size of [1, 3, 7, 100]) {
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0; at < whole.length; at += size) controller.enqueue(Uint8Array.from(whole.slice(at, at + size)))
          controller.close()
        },
      })
      const reader = new FrameReader(stream)
      const found = [await reader.next(), await reader.next(), await reader.next()].map(
        (frame) => frame && [frame.type, text(frame.payload)],
      )
      expect(found).toEqual([
        [frameTypes.data, 'one'],
        [frameTypes.end, ''],
        [frameTypes.data, 'two'],
      ])
      expect(await reader.next()).toBeUndefined()
    }
  })

  it('hold large data in parts', async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const data = new Uint8Array(2_500_000).fill(7)
    const written = writeData(writable.getWriter(), data)
    const reader = new FrameReader(readable)
    let length = 0
    while (length < data.byteLength) length += (await reader.next())?.payload.byteLength ?? Number.POSITIVE_INFINITY
    await written
    expect(length).toBe(data.byteLength)
  })
})

describe('a tunnel', () => {
  it('carries bytes both ways, and the ends', async () => {
    const [upstream, server] = pair()
    const tunnel = open({}, () => upstream)
    expect(await tunnel.next()).toEqual([frameTypes.opened, ''])
    const serverReader = server.readable.getReader()
    const serverWriter = server.writable.getWriter()
    void tunnel.send(frameTypes.data, 'question')
    expect(text((await serverReader.read()).value)).toBe('question')
    void serverWriter.write(bytes('answer'))
    expect(await tunnel.next()).toEqual([frameTypes.data, 'answer'])
    void tunnel.send(frameTypes.end)
    expect((await serverReader.read()).done).toBe(true)
    void serverWriter.close()
    expect(await tunnel.next()).toEqual([frameTypes.end, ''])
    void tunnel.end()
    await tunnel.served
  })

  it('answers a refusal with its sentence', async () => {
    const tunnel = open({ hostname: '10.0.0.1' }, ({ hostname }) => {
      throw new Error(`The address ${hostname} is private.`)
    })
    expect(await tunnel.next()).toEqual([frameTypes.failed, 'The address 10.0.0.1 is private.'])
    expect(await tunnel.next()).toBeUndefined()
  })

  it('answers a failed connection with the host', async () => {
    const [upstream] = pair()
    const failing = { ...upstream, opened: Promise.reject(new Error('proxy request failed, cannot connect')) }
    const tunnel = open({}, () => failing as unknown as Dialled)
    expect(await tunnel.next()).toEqual([
      frameTypes.failed,
      expect.stringMatching(/^db\.example:5432 is not reachable from tasks here/),
    ])
  })

  it('reads only what is asked for while TLS may start, then everything', async () => {
    const [upstream, server] = pair()
    const tunnel = open({ secureTransport: 'starttls' }, () => upstream)
    expect(await tunnel.next()).toEqual([frameTypes.opened, ''])
    const serverWriter = server.writable.getWriter()
    void serverWriter.write(bytes('go'))
    void tunnel.send(frameTypes.more)
    expect(await tunnel.next()).toEqual([frameTypes.data, 'go'])
    void tunnel.send(frameTypes.startTls, 'other.example')
    expect(await tunnel.next()).toEqual([frameTypes.opened, ''])
    expect(server.startedTls.concat((upstream as typeof server).startedTls)).toContain('other.example')
    void serverWriter.write(bytes('secret'))
    expect(await tunnel.next()).toEqual([frameTypes.data, 'secret'])
    void serverWriter.write(bytes('more'))
    expect(await tunnel.next()).toEqual([frameTypes.data, 'more'])
  })

  it('says so when TLS starts too late', async () => {
    const [upstream] = pair()
    const tunnel = open({ secureTransport: 'starttls' }, () => upstream)
    expect(await tunnel.next()).toEqual([frameTypes.opened, ''])
    void tunnel.send(frameTypes.more)
    void tunnel.send(frameTypes.startTls)
    expect(await tunnel.next()).toEqual([frameTypes.failed, expect.stringContaining('TLS cannot start')])
  })

  it('keeps the message of an error that says something', () => {
    const target = { hostname: 'a', port: 1 }
    expect(unreachable(target, new Error('no route'))).toBe('a:1 is not reachable from tasks here (no route)')
    expect(unreachable(target, new Error('internal error; reference = x'))).not.toContain('reference')
  })
})
