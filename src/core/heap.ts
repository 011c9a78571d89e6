/** The first of many, whatever order they came in. */
export class Heap<T> {
  private items: T[] = []
  private readonly isBefore: (left: T, right: T) => boolean

  constructor(isBefore: (left: T, right: T) => boolean) {
    this.isBefore = isBefore
  }

  first(): T | undefined {
    return this.items[0]
  }

  add(item: T): void {
    const { items } = this
    items.push(item)
    let index = items.length - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!this.isBefore(item, items[parent] as T)) break
      items[index] = items[parent] as T
      index = parent
    }
    items[index] = item
  }

  take(): T | undefined {
    const { items } = this
    const top = items[0]
    const last = items.pop()
    if (items.length === 0 || last === undefined) return top
    let index = 0
    for (;;) {
      const left = 2 * index + 1
      if (left >= items.length) break
      const right = left + 1
      const child = right < items.length && this.isBefore(items[right] as T, items[left] as T) ? right : left
      if (!this.isBefore(items[child] as T, last)) break
      items[index] = items[child] as T
      index = child
    }
    items[index] = last
    return top
  }

  remove(matches: (item: T) => boolean): void {
    const kept = this.items.filter((item) => !matches(item))
    this.items = []
    for (const item of kept) this.add(item)
  }
}
