/** What is due when, earliest first. Entries are hints: whoever pops one checks that it still holds. */
export interface Due {
  at: number
  kind: 'start' | 'ttl' | 'datetime' | 'token' | 'cancel' | 'seal' | 'leases' | 'archive'
  id: string
  /** How often it failed; put off longer each time. */
  failures?: number
}

export class DueList {
  private heap: Due[] = []

  add(due: Due): void {
    const heap = this.heap
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
