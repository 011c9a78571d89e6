/**
 * The runs of one queue and key, in order: those that need no token in one line, those that do in one line per bucket. A line
 * whose bucket is empty stands aside, so it holds up nobody else; among the others the oldest head is first.
 */
import { Heap } from '../heap.ts'
import { Line, type Waiting } from './line.ts'

export interface Lane {
  lanes: Lanes
  bucket: string
  line: Line
  /** Stands aside until its bucket has a token. */
  isAside: boolean
  /** Where it stands among its neighbours; absent while it stands aside. */
  head?: Head
}
/** A head that is no longer its lane's own is passed over. */
interface Head {
  lane: Lane
  score: number
}

export class Lanes {
  readonly queue: string
  readonly key: string
  private readonly plain = new Line()
  /** Made when the first run that needs a token comes: most queues never have one. */
  private limited?: { lanes: Map<string, Lane>; heads: Heap<Head>; length: number }

  constructor(queue: string, key: string) {
    this.queue = queue
    this.key = key
  }

  get length(): number {
    return this.plain.length + (this.limited?.length ?? 0)
  }

  *[Symbol.iterator](): Generator<Waiting> {
    yield* this.plain
    for (const { line } of this.limited?.lanes.values() ?? []) yield* line
  }

  /** The first that may start as far as tokens go. */
  first(): Waiting | undefined {
    return (this.limited && this.firstLane()?.line.first()) ?? this.plain.first()
  }

  /** The lane of the first, if it needs a token. */
  firstLane(): Lane | undefined {
    if (!this.limited) return undefined
    const { heads } = this.limited
    let head = heads.first()
    while (head && head.lane.head !== head) {
      heads.take()
      head = heads.first()
    }
    const plain = this.plain.first()
    return head && (!plain || head.score < plain.score) ? head.lane : undefined
  }

  lane(bucket: string): Lane | undefined {
    return this.limited?.lanes.get(bucket)
  }

  /** Answers whether the first may be another one now. */
  add(item: Waiting): boolean {
    if (item.bucket === undefined) return this.plain.add(item)
    this.limited ??= { lanes: new Map(), heads: new Heap((left, right) => left.score < right.score), length: 0 }
    const { lanes } = this.limited
    const lane = lanes.get(item.bucket) ?? { lanes: this, bucket: item.bucket, line: new Line(), isAside: false }
    lanes.set(item.bucket, lane)
    this.limited.length += 1
    const isFirst = lane.line.add(item)
    if (isFirst) this.settle(lane)
    return isFirst && !lane.isAside
  }

  take(): Waiting | undefined {
    const lane = this.firstLane()
    if (!lane) return this.plain.take()
    const taken = lane.line.take()
    this.shortened(lane)
    return taken
  }

  /** Undefined when it does not wait here, otherwise whether the first may be another one now. */
  remove(item: Pick<Waiting, 'id' | 'score' | 'bucket'>): boolean | undefined {
    if (item.bucket === undefined) return this.plain.remove(item)
    const lane = this.lane(item.bucket)
    const wasFirst = lane?.line.remove(item)
    if (!lane || wasFirst === undefined) return undefined
    this.shortened(lane)
    return wasFirst
  }

  stepAside(lane: Lane): void {
    lane.isAside = true
    this.settle(lane)
  }
  stepBack(lane: Lane): void {
    lane.isAside = false
    this.settle(lane)
  }

  private shortened(lane: Lane): void {
    if (!this.limited) return
    this.limited.length -= 1
    if (lane.line.length === 0) this.limited.lanes.delete(lane.bucket)
    this.settle(lane)
  }

  private settle(lane: Lane): void {
    const item = lane.isAside ? undefined : lane.line.first()
    lane.head = item && { lane, score: item.score }
    if (lane.head) this.limited?.heads.add(lane.head)
  }
}
