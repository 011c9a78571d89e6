/** What is due when, earliest first. Entries are hints: whoever pops one checks that it still holds. */
import { Heap } from '../heap.ts'

export interface Due {
  at: number
  kind: 'start' | 'ttl' | 'datetime' | 'token' | 'cancel' | 'seal' | 'leases' | 'archive' | 'bulk' | 'rate' | 'remote' | 'asked'
  id: string
}

/** Items that failed, by kind and id: a list built anew must not try them at once, or they would keep the object busy. */
export type HeldBack = Map<string, { failures: number; until: number }>

const shortestHoldMs = 30_000
const longestHoldMs = 3_600_000

export class DueList {
  private readonly heap = new Heap<Due>((left, right) => left.at < right.at)
  private readonly heldBack: HeldBack

  constructor(heldBack: HeldBack = new Map()) {
    this.heldBack = heldBack
  }

  /** It failed: it is due again later, longer each time. */
  putOff(due: Due, now: number): void {
    const failures = (this.heldBack.get(`${due.kind} ${due.id}`)?.failures ?? 0) + 1
    const until = now + Math.min(longestHoldMs, shortestHoldMs * 2 ** (failures - 1))
    this.heldBack.set(`${due.kind} ${due.id}`, { failures, until })
    this.heap.remove((known) => known.kind === due.kind && known.id === due.id)
    this.add({ ...due, at: until })
  }

  succeeded(due: Due): void {
    this.heldBack.delete(`${due.kind} ${due.id}`)
  }

  add(planned: Due): void {
    const until = this.heldBack.size > 0 ? this.heldBack.get(`${planned.kind} ${planned.id}`)?.until : undefined
    this.heap.add(until !== undefined && until > planned.at ? { ...planned, at: until } : planned)
  }

  earliest(): number | undefined {
    return this.heap.first()?.at
  }

  /** Takes out the earliest entry that is due. */
  pop(now: number): Due | undefined {
    const first = this.heap.first()
    return first && first.at <= now ? this.heap.take() : undefined
  }
}
