/** What is due when, earliest first. Entries are hints: whoever pops one checks that it still holds. */
export interface Due {
  at: number
  kind: 'start' | 'ttl' | 'datetime' | 'token' | 'cancel' | 'seal' | 'leases' | 'archive' | 'bulk'
  id: string
}

/** Items that failed, by kind and id: a list built anew must not try them at once, or they would keep the object busy. */
export type HeldBack = Map<string, { failures: number; until: number }>

const shortestHoldMs = 30_000
const longestHoldMs = 3_600_000

export class DueList {
  private heap: Due[] = []
  private readonly heldBack: HeldBack

  constructor(heldBack: HeldBack = new Map()) {
    this.heldBack = heldBack
  }

  /** It failed: it is due again later, longer each time. */
  putOff(due: Due, now: number): void {
    const failures = (this.heldBack.get(`${due.kind} ${due.id}`)?.failures ?? 0) + 1
    const until = now + Math.min(longestHoldMs, shortestHoldMs * 2 ** (failures - 1))
    this.heldBack.set(`${due.kind} ${due.id}`, { failures, until })
    this.heap = this.heap.filter((known) => known.kind !== due.kind || known.id !== due.id)
    this.heap.sort((a, b) => a.at - b.at)
    this.add({ ...due, at: until })
  }

  succeeded(due: Due): void {
    this.heldBack.delete(`${due.kind} ${due.id}`)
  }

  add(planned: Due): void {
    const heap = this.heap
    const until = this.heldBack.size > 0 ? this.heldBack.get(`${planned.kind} ${planned.id}`)?.until : undefined
    const due = until !== undefined && until > planned.at ? { ...planned, at: until } : planned
    heap.push(due)
    let index = heap.length - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if ((heap[parent] as Due).at <= due.at) break
      heap[index] = heap[parent] as Due
      index = parent
    }
    heap[index] = due
  }

  earliest(): number | undefined {
    return this.heap[0]?.at
  }

  /** Takes out the earliest entry that is due. */
  pop(now: number): Due | undefined {
    const heap = this.heap
    const top = heap[0]
    if (!top || top.at > now) return undefined
    const last = heap.pop() as Due
    if (heap.length > 0) {
      let index = 0
      for (;;) {
        const left = 2 * index + 1
        if (left >= heap.length) break
        const right = left + 1
        const child = right < heap.length && (heap[right] as Due).at < (heap[left] as Due).at ? right : left
        if ((heap[child] as Due).at >= last.at) break
        heap[index] = heap[child] as Due
        index = child
      }
      heap[index] = last
    }
    return top
  }
}
