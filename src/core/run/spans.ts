/** The spans of a run as they are kept: each once, its last record, up to what one row can hold. */
import type { SpanRecord } from '../../contracts/rpc.ts'

const spanBytes = 1_048_576

export function mergeSpans(spans: SpanRecord[]): SpanRecord[] {
  // The finished record of a span replaces the one sent when it started; a late partial one replaces nothing.
  const byId = new Map<string, SpanRecord>()
  for (const span of spans) {
    const id = `${span.kind}:${span.spanId}:${span.kind === 'log' ? span.startTime + span.name : ''}`
    if (!span.isPartial || !byId.has(id)) byId.set(id, span)
  }
  let size = 0
  const kept = []
  for (const span of byId.values()) {
    size += span.name.length + 200 + (span.attributes ? JSON.stringify(span.attributes).length : 0)
    if (size > spanBytes) break
    kept.push(span)
  }
  return kept
}
