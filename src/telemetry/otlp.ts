/**
 * OpenTelemetry's export format, as processes that execute runs send it (cli-engine-protocol.md §7), into the spans and log lines
 * of runs. A record names its run in an attribute; one that names none, or is broken, is passed over.
 */
import type { SpanRecord } from '../contracts/rpc.ts'

export interface OtlpValue {
  stringValue?: string
  boolValue?: boolean
  intValue?: string | number
  doubleValue?: number
  bytesValue?: string
  arrayValue?: { values?: OtlpValue[] }
  kvlistValue?: { values?: OtlpAttribute[] }
}
export interface OtlpAttribute {
  key?: string
  value?: OtlpValue
}
interface OtlpResource {
  attributes?: OtlpAttribute[]
}
export interface OtlpSpan {
  traceId?: string
  spanId?: string
  parentSpanId?: string
  name?: string
  startTimeUnixNano?: string | number
  endTimeUnixNano?: string | number
  attributes?: OtlpAttribute[]
  events?: { timeUnixNano?: string | number; name?: string; attributes?: OtlpAttribute[] }[]
  status?: { code?: number | string; message?: string }
}
export interface OtlpLog {
  timeUnixNano?: string | number
  observedTimeUnixNano?: string | number
  severityText?: string
  severityNumber?: number
  body?: OtlpValue
  attributes?: OtlpAttribute[]
  traceId?: string
  spanId?: string
}
export interface OtlpTraces {
  resourceSpans?: { resource?: OtlpResource; scopeSpans?: { spans?: OtlpSpan[] }[] }[]
}
export interface OtlpLogs {
  resourceLogs?: { resource?: OtlpResource; scopeLogs?: { logRecords?: OtlpLog[] }[] }[]
}

export type SpansByRun = Record<string, SpanRecord[]>

const runKey = '$metadata.ctx.run.id'
const attemptKey = '$metadata.ctx.attempt.number'
/** What the exporting process stamps on every record; the run knows it already. */
const stamped = /^(\$metadata\.|\$span\.|ctx\.)/
const levels = ['TRACE', 'DEBUG', 'LOG', 'INFO', 'WARN', 'ERROR'] as const
const errorStatus = 2

export function spansOf(traces: OtlpTraces): SpansByRun {
  const found: SpansByRun = {}
  for (const { resource, scopeSpans } of list(traces.resourceSpans)) {
    const common = attributesOf(resource?.attributes)
    for (const scope of list(scopeSpans)) {
      for (const span of list(scope.spans)) {
        const attributes = { ...common, ...attributesOf(span.attributes) }
        const record = spanRecord(span, attributes)
        if (record) put(found, attributes[runKey], record)
      }
    }
  }
  return found
}

export function logsOf(logs: OtlpLogs): SpansByRun {
  const found: SpansByRun = {}
  for (const { resource, scopeLogs } of list(logs.resourceLogs)) {
    const common = attributesOf(resource?.attributes)
    for (const scope of list(scopeLogs)) {
      for (const log of list(scope.logRecords)) {
        const own = attributesOf(log.attributes)
        const attributes = { ...common, ...own }
        const record = logRecord(log, attributes, own)
        if (record) put(found, attributes[runKey], record)
      }
    }
  }
  return found
}

function put(found: SpansByRun, runId: unknown, record: SpanRecord): void {
  if (typeof runId !== 'string' || !runId.startsWith('run_')) return
  const known = found[runId]
  if (known) known.push(record)
  else found[runId] = [record]
}

function spanRecord(span: OtlpSpan, attributes: Record<string, unknown>): SpanRecord | undefined {
  const isPartial = attributes['$span.partial'] === true
  // A partial record comes under an id of its own and names the one the finished span will have.
  const spanId = isPartial ? attributes['$span.span_id'] : span.spanId
  const start = nanoseconds(span.startTimeUnixNano)
  if (!isHex(span.traceId, 32) || !isHex(spanId, 16) || start === undefined) return undefined
  const end = nanoseconds(span.endTimeUnixNano)
  const isError = span.status?.code === errorStatus || span.status?.code === 'STATUS_CODE_ERROR'
  const parent = isPartial ? (attributes['$span.parent_id'] ?? span.parentSpanId) : span.parentSpanId
  const events = list(span.events).map((event) => ({
    name: String(event.name ?? ''),
    time: nanoseconds(event.timeUnixNano) ?? start,
    attributes: attributesOf(event.attributes),
  }))
  return {
    kind: 'span',
    traceId: span.traceId as string,
    spanId: spanId as string,
    ...(isHex(parent, 16) ? { parentSpanId: parent as string } : {}),
    name: String(span.name ?? ''),
    startTime: start,
    ...(isPartial || end === undefined ? {} : { duration: Math.max(0, Number(BigInt(end) - BigInt(start))) }),
    level: isError ? 'ERROR' : 'TRACE',
    isError,
    isPartial,
    attempt: Number(attributes[attemptKey]) || 1,
    attributes: shown(attributes, list(span.attributes)),
    ...(events.length > 0 ? { events } : {}),
  }
}

function logRecord(log: OtlpLog, attributes: Record<string, unknown>, own: Record<string, unknown>): SpanRecord | undefined {
  const time = nanoseconds(log.timeUnixNano) ?? nanoseconds(log.observedTimeUnixNano)
  if (!isHex(log.traceId, 32) || !isHex(log.spanId, 16) || time === undefined) return undefined
  const body = plain(log.body)
  const text = String(log.severityText ?? 'LOG').toUpperCase()
  const level = levels.find((known) => known === text) ?? 'LOG'
  const name = typeof body === 'string' ? body : JSON.stringify(body ?? '')
  return {
    kind: 'log',
    traceId: log.traceId as string,
    // Its own, so that the same record sent twice is one line.
    spanId: digest(`${log.spanId}\n${time}\n${name}\n${JSON.stringify(own)}`),
    parentSpanId: log.spanId as string,
    name,
    startTime: time,
    duration: 0,
    level,
    isError: level === 'ERROR',
    isPartial: false,
    attempt: Number(attributes[attemptKey]) || 1,
    attributes: shown(attributes, list(log.attributes)),
  }
}

/** The record's own, without what was stamped on it. */
function shown(attributes: Record<string, unknown>, own: OtlpAttribute[]): Record<string, unknown> {
  return Object.fromEntries(
    own.flatMap(({ key }) => (typeof key === 'string' && !stamped.test(key) ? [[key, attributes[key]]] : [])),
  )
}

function attributesOf(attributes: OtlpAttribute[] | undefined): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  for (const { key, value } of list(attributes)) if (typeof key === 'string') found[key] = plain(value)
  return found
}

function plain(value: OtlpValue | undefined, depth = 0): unknown {
  if (!value || typeof value !== 'object' || depth > 20) return undefined
  if (value.stringValue !== undefined) return String(value.stringValue)
  if (value.boolValue !== undefined) return value.boolValue === true
  if (value.intValue !== undefined) return Number(value.intValue)
  if (value.doubleValue !== undefined) return Number(value.doubleValue)
  if (value.bytesValue !== undefined) return String(value.bytesValue)
  if (value.arrayValue !== undefined) return list(value.arrayValue?.values).map((each) => plain(each, depth + 1))
  if (value.kvlistValue === undefined) return undefined
  return Object.fromEntries(list(value.kvlistValue?.values).map(({ key, value }) => [String(key), plain(value, depth + 1)]))
}

function nanoseconds(time: unknown): string | undefined {
  const text = typeof time === 'number' && Number.isFinite(time) ? BigInt(Math.trunc(time)).toString() : time
  return typeof text === 'string' && /^[1-9]\d{0,18}$/.test(text) ? text : undefined
}

function isHex(text: unknown, length: number): boolean {
  return typeof text === 'string' && text.length === length && /^[\da-f]+$/i.test(text) && !/^0+$/.test(text)
}

function list<T>(items: T[] | undefined): T[] {
  return Array.isArray(items) ? items.filter((item) => item !== null && typeof item === 'object') : []
}

/** FNV-1a in two halves: an id, not a secret. */
function digest(text: string): string {
  let low = 0x811c9dc5
  let high = 0x01000193
  for (let at = 0; at < text.length; at++) {
    low = Math.imul(low ^ text.charCodeAt(at), 0x01000193)
    high = Math.imul(high ^ (text.charCodeAt(at) + at), 0x85ebca6b)
  }
  return [high, low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('')
}
