/** Runs that wait for the same queue and key: lowest score first, then first come. Long lines are served from the front for nothing. */
export interface Waiting {
  id: string
  queue: string
  key: string
  /** Lower first: time of queueing less the priority. */
  score: number
  /** It takes a token from this bucket when it starts. */
  bucket?: string
}

/** Room in front that is given back once it is more than half. */
const leastRoom = 1_024

export class Line {
  private items: (Waiting | undefined)[] = []
  private front = 0

  get length(): number {
    return this.items.length - this.front
  }

  *[Symbol.iterator](): Generator<Waiting> {
    for (let at = this.front; at < this.items.length; at++) yield this.items[at] as Waiting
  }

  first(): Waiting | undefined {
    return this.items[this.front]
  }

  /** Answers whether it is the first now. */
  add(item: Waiting): boolean {
    const at = this.search((score) => score <= item.score)
    if (at === this.items.length) this.items.push(item)
    else this.items.splice(at, 0, item)
    return at === this.front
  }

  take(): Waiting | undefined {
    const item = this.first()
    if (item) this.dropFirst()
    return item
  }

  /** Undefined when it is not in the line, otherwise whether it was the first. */
  remove({ id, score }: Pick<Waiting, 'id' | 'score'>): boolean | undefined {
    let at = this.search((other) => other < score)
    while (at < this.items.length && (this.items[at] as Waiting).score === score && this.items[at]?.id !== id) at += 1
    // The score may have been changed since.
    if (this.items[at]?.id !== id) at = this.items.findIndex((item) => item?.id === id)
    if (at < 0) return undefined
    if (at !== this.front) {
      this.items.splice(at, 1)
      return false
    }
    this.dropFirst()
    return true
  }

  private dropFirst(): void {
    this.items[this.front] = undefined
    this.front += 1
    if (this.front < leastRoom || this.front * 2 < this.items.length) return
    this.items = this.items.slice(this.front)
    this.front = 0
  }

  /** The first place whose score does not come before. */
  private search(comesBefore: (score: number) => boolean): number {
    let low = this.front
    let high = this.items.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (comesBefore((this.items[middle] as Waiting).score)) low = middle + 1
      else high = middle
    }
    return low
  }
}
