/** Trace, events and spans of a run (api-surface.md §9.8). */
import { OperationError } from '../contracts/errors.ts'
import type { Caller, RunDetail, SpanRecord } from '../contracts/rpc.ts'
import { getDescendants, getTrace, type RunTrace } from '../operations/runs.ts'
import { defined } from './present-run.ts'
import * as queries from './queries.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'
import { readableRun } from './runs.ts'

const tag = 'traces'

export function traceRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: '/api/v1/runs/:runId/trace',
      operationId: 'getRunTrace',
      query: queries.tracePage,
      summary: 'Trace of a run',
      tag,
    },
    async (c) => {
      const { run, spans, caller, isWhole } = await traceOf(c)
      if (c.req.query('page[size]')) return c.json(flatPage(c, run, spans))
      const descendants = isWhole ? await getDescendants(c.env, caller, run) : []
      return c.json({ trace: { traceId: run.traceId, rootSpan: tree({ run, spans }, descendants) } })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/runs/:runId/events',
      operationId: 'listRunEvents',
      summary: 'Events of a run',
      response: responses.runEvents,
      tag,
    },
    async (c) => {
      const { run, spans } = await traceOf(c)
      const events = spans.map((span) => ({
        spanId: span.spanId,
        parentId: span.parentSpanId ?? null,
        runId: run.id,
        message: span.name,
        startTime: span.startTime,
        duration: span.duration ?? 0,
        isError: span.isError,
        isPartial: span.isPartial,
        isCancelled: cancelled(run, span),
        level: span.level,
        kind: span.kind === 'log' ? 'LOG' : 'INTERNAL',
        attemptNumber: span.attempt,
        taskSlug: run.task,
        events: span.events ?? [],
        style: {},
        properties: span.attributes ?? {},
      }))
      return c.json({ events })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/runs/:runId/spans/:spanId',
      operationId: 'getRunSpan',
      summary: 'One span',
      response: responses.span,
      tag,
    },
    async (c) => {
      const { run, spans } = await traceOf(c)
      const span = spans.find((one) => one.spanId === c.req.param('spanId'))
      if (!span) throw new OperationError('NOT_FOUND', 'Span not found')
      return c.json({
        spanId: span.spanId,
        parentId: span.parentSpanId ?? null,
        runId: run.id,
        message: span.name,
        isError: span.isError,
        isPartial: span.isPartial,
        isCancelled: cancelled(run, span),
        level: span.level,
        startTime: isoOfNanoseconds(span.startTime),
        durationMs: (span.duration ?? 0) / 1e6,
        ...(span.attributes ? { properties: span.attributes } : {}),
        ...(span.events ? { events: span.events } : {}),
      })
    },
  )
}

/** `isWhole`: a public token for a run sees that run, not what its children did. */
async function traceOf(c: Ctx): Promise<RunTrace & { caller: Caller; isWhole: boolean }> {
  const { run, caller, principal } = await readableRun(c)
  return { ...(await getTrace(c.env, caller, run.id)), caller, isWhole: principal.scopes === undefined }
}

/** A child run hangs under the span that triggered it, or under its parent. */
function tree(trace: RunTrace, descendants: RunTrace[]): Record<string, unknown> {
  const byRun = new Map<string, RunTrace[]>()
  for (const each of descendants) {
    const parent = each.run.parentRunId ?? ''
    byRun.set(parent, [...(byRun.get(parent) ?? []), each])
  }
  return runTree(trace, byRun)
}

function runTree({ run, spans }: RunTrace, byRun: Map<string, RunTrace[]>, under?: string): Record<string, unknown> {
  const children = new Map<string, SpanRecord[]>()
  const ids = new Set(spans.map((span) => span.spanId))
  for (const span of spans) {
    if (span.spanId === run.spanId) continue
    // A span whose parent is elsewhere hangs under the run.
    const parent =
      span.parentSpanId && ids.has(span.parentSpanId) && span.parentSpanId !== span.spanId ? span.parentSpanId : run.spanId
    children.set(parent, [...(children.get(parent) ?? []), span])
  }
  const started = new Map<string, RunTrace[]>()
  for (const child of byRun.get(run.id) ?? []) {
    const { parentSpanId } = child.run
    const at = parentSpanId && ids.has(parentSpanId) ? parentSpanId : run.spanId
    started.set(at, [...(started.get(at) ?? []), child])
  }
  const seen = new Set<string>()
  const node = (span: SpanRecord, parentId?: string): Record<string, unknown> => {
    seen.add(span.spanId)
    return defined({
      id: span.spanId,
      parentId,
      runId: run.id,
      data: defined({
        message: span.name,
        taskSlug: run.task,
        events: span.events ?? [],
        startTime: isoOfNanoseconds(span.startTime),
        duration: span.duration ?? 0,
        isError: span.isError,
        isPartial: span.isPartial,
        isCancelled: cancelled(run, span),
        level: span.level,
        workerVersion: run.version,
        queueName: run.queue,
        machinePreset: run.machine,
        properties: span.attributes,
      }),
      children: [
        ...(children.get(span.spanId) ?? []).filter((child) => !seen.has(child.spanId)).map((child) => node(child, span.spanId)),
        ...(started.get(span.spanId) ?? []).map((child) => runTree(child, byRun, span.spanId)),
      ],
    })
  }
  return node(spans.find((span) => span.spanId === run.spanId) ?? runSpan(run), under)
}

/** The run itself as a span, when none was recorded for it yet. */
function runSpan(run: RunDetail): SpanRecord {
  const start = run.startedAt ?? run.createdAt
  return {
    kind: 'span',
    traceId: run.traceId,
    spanId: run.spanId,
    name: run.task,
    startTime: `${start}000000`,
    ...(run.completedAt ? { duration: (run.completedAt - start) * 1e6 } : {}),
    level: 'TRACE',
    isError: run.error !== undefined,
    isPartial: run.completedAt === undefined,
    attempt: run.attemptNumber,
  }
}

function flatPage(c: Ctx, run: RunDetail, spans: SpanRecord[]): Record<string, unknown> {
  const size = Math.min(10_000, Math.max(1, Number(c.req.query('page[size]')) || 1_000))
  const from = Number(c.req.query('page[after]') ?? 0) || 0
  const page = spans.slice(from, from + size)
  return {
    data: page.map((span) =>
      defined({
        id: span.spanId,
        parentId: span.parentSpanId,
        runId: run.id,
        message: span.name,
        startTime: isoOfNanoseconds(span.startTime),
        duration: span.duration ?? 0,
        isError: span.isError,
        isPartial: span.isPartial,
        isCancelled: cancelled(run, span),
        level: span.level,
        attemptNumber: span.attempt,
      }),
    ),
    attemptFailures: [],
    pagination: from + size < spans.length ? { next: String(from + size) } : {},
  }
}

function cancelled(run: RunDetail, span: SpanRecord): boolean {
  return run.status === 'CANCELED' && span.isPartial
}

function isoOfNanoseconds(time: string): string {
  return new Date(Number(BigInt(time) / 1_000_000n)).toISOString()
}
