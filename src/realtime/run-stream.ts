/** A run's stream as server-sent events, and the place a reader names to go on from (realtime-protocol.md §4.4). */
import type { StreamRecord } from '../contracts/streams.ts'

export function eventOf({ seq, at, data }: StreamRecord): string {
  return `id: ${at}-${seq}\ndata: ${data}\n\n`
}

export const ping = ': ping\n\n'

/** `<ms>-<seq>` or the number alone: what was read last. -1 from the beginning; nothing when it cannot be read. */
export function placeOf(lastEventId: string | undefined): number | undefined {
  if (lastEventId === undefined || lastEventId === '') return -1
  const match = /^(?:\d{1,16}-)?(-?\d{1,15})$/.exec(lastEventId)
  return match ? Math.max(-1, Number(match[1])) : undefined
}

/** Cuts text that arrives in pieces into lines; blank ones are nothing. */
export class Lines {
  #rest = ''

  push(text: string): string[] {
    const parts = (this.#rest + text).split('\n')
    this.#rest = parts.pop() as string
    return parts.filter((line) => line.trim() !== '')
  }

  /** A last line without its end. */
  end(): string[] {
    const rest = this.#rest
    this.#rest = ''
    return rest.trim() === '' ? [] : [rest]
  }

  get held(): number {
    return this.#rest.length
  }
}
