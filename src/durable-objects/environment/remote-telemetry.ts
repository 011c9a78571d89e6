/** What processes elsewhere tell of their runs, until it is stored with the run. In memory only, for a second or two. */
import type { SpanRecord } from '../../contracts/rpc.ts'
import { mergeSpans } from '../../core/run/spans.ts'

/** A run's telemetry is cut here, as in an isolate; the rest is dropped. */
const spansPerRun = 20_000
const spansHeld = 100_000

export class RemoteTelemetry {
  private readonly byRun = new Map<string, SpanRecord[]>()
  private held = 0

  add(runId: string, spans: SpanRecord[]): void {
    const known = this.byRun.get(runId) ?? []
    const room = Math.min(spansPerRun - known.length, spansHeld - this.held)
    if (room <= 0) return
    known.push(...spans.slice(0, room))
    this.byRun.set(runId, known)
    this.held += Math.min(room, spans.length)
  }

  peek(runId: string): SpanRecord[] {
    return this.byRun.get(runId) ?? []
  }

  take(runId: string): SpanRecord[] {
    const spans = this.peek(runId)
    this.byRun.delete(runId)
    this.held -= spans.length
    return spans
  }

  runs(): string[] {
    return [...this.byRun.keys()]
  }

  merge(stored: SpanRecord[], fresh: SpanRecord[]): SpanRecord[] {
    return mergeSpans([...stored, ...fresh])
  }
}
