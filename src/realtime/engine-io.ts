/**
 * The few frames of Engine.IO 4 and Socket.IO that the CLI's socket speaks (cli-engine-protocol.md §5): text over a WebSocket,
 * one namespace, events without acknowledgement.
 */

/** No pings, so an idle socket wakes nobody: the client gives the link up after this long without a frame, and opens a new one. */
const pingIntervalMs = 3_600_000
const pingTimeoutMs = 60_000
const largestFrame = 1_000_000

export type ClientFrame =
  | { kind: 'connect'; namespace: string }
  | { kind: 'disconnect'; namespace: string }
  | { kind: 'event'; namespace: string; name: string; data: unknown }
  | { kind: 'ping' }
  | { kind: 'pong' }
  | { kind: 'unknown' }

export function openFrame(sid: string): string {
  const open = { sid, upgrades: [], pingInterval: pingIntervalMs, pingTimeout: pingTimeoutMs, maxPayload: largestFrame }
  return `0${JSON.stringify(open)}`
}

export const pongFrame = '3'

export function connectedFrame(namespace: string, sid: string): string {
  return `40${namespace},${JSON.stringify({ sid })}`
}

export function refusedFrame(namespace: string, message: string): string {
  return `44${namespace},${JSON.stringify({ message })}`
}

export function eventFrame(namespace: string, name: string, data: unknown): string {
  return `42${namespace},${JSON.stringify([name, data])}`
}

/** Never throws: what it cannot read is unknown. */
export function readFrame(text: string): ClientFrame {
  if (text === '2') return { kind: 'ping' }
  if (text === '3') return { kind: 'pong' }
  const match = /^4([012])(?:(\/[^,]*),)?([\s\S]*)$/.exec(text)
  if (!match || text.length > largestFrame) return { kind: 'unknown' }
  const namespace = match[2] ?? '/'
  if (match[1] === '0') return { kind: 'connect', namespace }
  if (match[1] === '1') return { kind: 'disconnect', namespace }
  try {
    const [name, data] = JSON.parse((match[3] as string).replace(/^\d+/, '')) as [unknown, unknown]
    return typeof name === 'string' ? { kind: 'event', namespace, name, data } : { kind: 'unknown' }
  } catch {
    return { kind: 'unknown' }
  }
}
