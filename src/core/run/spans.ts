/** The spans and lines of a run as they are kept: each once, its last record, up to what one row can hold. */
import type { SpanRecord } from '../../contracts/rpc.ts'

const spanBytes = 1_048_576
/** Of the line that says that others are missing; no span has this id. */
const leftOutId = 'f'.repeat(16)

export function mergeSpans(spans: SpanRecord[]): SpanRecord[] {
  // The finished record of a span replaces the one sent when it started; a late partial one replaces nothing.
  const byId = new Map<string, SpanRecord>()
  for (const span of spans) {
    const id = `${span.kind}:${span.spanId}:${span.kind === 'log' ? span.startTime + span.name : ''}`
    if (!span.isPartial || !byId.has(id)) byId.set(id, span)
  }
  const all = [...byId.values()]
  const wasCut = all.find(({ spanId }) => spanId === leftOutId)
  const told = wasCut ? all.filter((span) => span !== wasCut) : all
  // Lines are many and spans hold the tree together, so it is lines that go.
  const kept = new Set<SpanRecord>()
  let size = 0
  for (const kind of ['span', 'log'] as const)
    for (const span of told) {
      if (span.kind !== kind) continue
      size += span.name.length + 200 + (span.attributes ? JSON.stringify(span.attributes).length : 0)
      if (size > spanBytes) break
      kept.add(span)
    }
  const result = told.filter((span) => kept.has(span))
  const last = result.at(-1)
  return last && (wasCut || result.length < told.length) ? [...result, leftOut(last)] : result
}

function leftOut({ traceId, startTime, attempt, ...last }: SpanRecord): SpanRecord {
  const parentSpanId = last.kind === 'span' ? last.spanId : last.parentSpanId
  return {
    kind: 'log',
    traceId,
    spanId: leftOutId,
    ...(parentSpanId ? { parentSpanId } : {}),
    name: 'More lines and spans were not kept: of one run, 1 MiB of them is.',
    startTime,
    level: 'WARN',
    isError: false,
    isPartial: false,
    attempt,
  }
}
