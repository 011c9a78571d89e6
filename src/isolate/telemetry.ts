/**
 * A small tracer and log sink of our own instead of the OpenTelemetry SDK: spans and logs become SpanRecords, kept per
 * run and handed over in batches. Registered once on OpenTelemetry's global API, where it looks up the run.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { SpanRecord } from '../contracts/rpc.ts'
import { currentRun } from './active-run.ts'

type HrTime = [seconds: number, nanoseconds: number]
type TimeInput = HrTime | number | Date | undefined
type Attributes = Record<string, unknown>

interface SpanContext {
  traceId: string
  spanId: string
  traceFlags: number
  isRemote?: boolean
}

/** The part of OpenTelemetry's Context that its API relies on. */
class OtelContext {
  readonly #values: Map<symbol, unknown>
  constructor(values: Map<symbol, unknown> = new Map()) {
    this.#values = values
  }
  getValue(key: symbol): unknown {
    return this.#values.get(key)
  }
  setValue(key: symbol, value: unknown): OtelContext {
    return new OtelContext(new Map(this.#values).set(key, value))
  }
  deleteValue(key: symbol): OtelContext {
    const values = new Map(this.#values)
    values.delete(key)
    return new OtelContext(values)
  }
}

const spanKey = Symbol.for('OpenTelemetry Context Key SPAN')
const rootContext = new OtelContext()
const contexts = new AsyncLocalStorage<OtelContext>()

function activeContext(): OtelContext {
  return contexts.getStore() ?? rootContext
}

interface SpanOptions {
  attributes?: Attributes
  startTime?: TimeInput
  root?: boolean
}

class Span {
  readonly record: SpanRecord
  readonly #telemetry: RunTelemetry
  readonly #context: SpanContext
  #ended = false

  constructor(telemetry: RunTelemetry, name: string, options: SpanOptions, parent: SpanContext) {
    this.#telemetry = telemetry
    this.#context = { traceId: parent.traceId, spanId: telemetry.newSpanId(), traceFlags: 1 }
    this.record = {
      kind: 'span',
      traceId: parent.traceId,
      spanId: this.#context.spanId,
      parentSpanId: parent.spanId,
      name,
      startTime: nanoseconds(options.startTime, telemetry),
      level: 'TRACE',
      isError: false,
      isPartial: true,
      attempt: telemetry.attempt,
      attributes: { ...options.attributes },
    }
  }
  spanContext(): SpanContext {
    return this.#context
  }
  isRecording(): boolean {
    return !this.#ended
  }
  setAttribute(key: string, value: unknown): this {
    if (!this.#ended && this.record.attributes) this.record.attributes[key] = value
    return this
  }
  setAttributes(attributes: Attributes): this {
    if (!this.#ended) Object.assign(this.record.attributes ?? {}, attributes)
    return this
  }
  addEvent(name: string, attributesOrTime?: Attributes | TimeInput, time?: TimeInput): this {
    if (this.#ended) return this
    const isTime = isTimeInput(attributesOrTime)
    const at = isTime ? (attributesOrTime as TimeInput) : time
    const attributes = isTime ? undefined : (attributesOrTime as Attributes | undefined)
    this.record.events ??= []
    this.record.events.push({ name, time: nanoseconds(at, this.#telemetry), attributes })
    return this
  }
  addLink(): this {
    return this
  }
  addLinks(): this {
    return this
  }
  setStatus(status: { code: number; message?: string }): this {
    if (this.#ended) return this
    // 2 is ERROR in OpenTelemetry's SpanStatusCode.
    this.record.isError = status.code === 2
    if (status.code === 2) this.record.level = 'ERROR'
    return this
  }
  updateName(name: string): this {
    this.record.name = name
    return this
  }
  recordException(exception: unknown, time?: TimeInput): void {
    const error = exception as { name?: string; message?: string; stack?: string }
    const attributes: Attributes =
      typeof exception === 'string'
        ? { 'exception.message': exception }
        : {
            'exception.type': error?.name,
            'exception.message': error?.message,
            'exception.stacktrace': error?.stack,
          }
    this.addEvent('exception', attributes, time)
  }
  end(time?: TimeInput): void {
    if (this.#ended) return
    this.#ended = true
    const duration = BigInt(nanoseconds(time, this.#telemetry)) - BigInt(this.record.startTime)
    this.record.duration = Math.max(0, Number(duration))
    this.record.isPartial = false
    this.#telemetry.ended(this)
  }
}

export class RunTelemetry {
  readonly attempt: number
  /** The run's own span: parent of everything without another one. */
  readonly root: SpanContext
  readonly #closed: SpanRecord[] = []
  /** Open spans; true once told as a partial one. */
  readonly #open = new Map<Span, boolean>()
  #lastMs = 0
  #tick = 0
  /** Called when something waits to be handed over. */
  onRecord: () => void = () => {}

  constructor(traceparent: string | undefined, attempt: number) {
    this.attempt = attempt
    this.root = parseTraceparent(traceparent) ?? { traceId: randomHex(16), spanId: randomHex(8), traceFlags: 1 }
  }

  /** Wall clock in which no two readings are equal, so that records of one millisecond keep their order. */
  now(): HrTime {
    const ms = Date.now()
    if (ms > this.#lastMs) {
      this.#lastMs = ms
      this.#tick = 0
    } else if (this.#tick < 999) this.#tick++
    return [Math.floor(this.#lastMs / 1000), (this.#lastMs % 1000) * 1_000_000 + this.#tick * 1000]
  }

  newSpanId(): string {
    return randomHex(8)
  }

  start(name: string, options: SpanOptions = {}, context: OtelContext = activeContext()): Span {
    const parent = options.root ? undefined : (context.getValue(spanKey) as { spanContext(): SpanContext } | undefined)
    const span = new Span(this, name, options, parent?.spanContext() ?? this.root)
    this.#open.set(span, false)
    this.onRecord()
    return span
  }

  ended(span: Span): void {
    this.#open.delete(span)
    this.#closed.push(span.record)
    this.onRecord()
  }

  log(level: SpanRecord['level'], message: string, attributes?: Attributes, time?: TimeInput): void {
    const parent = activeContext().getValue(spanKey) as { spanContext(): SpanContext } | undefined
    const context = parent?.spanContext() ?? this.root
    this.#closed.push({
      kind: 'log',
      traceId: context.traceId,
      spanId: this.newSpanId(),
      parentSpanId: context.spanId,
      name: message,
      startTime: nanoseconds(time, this),
      duration: 0,
      level,
      isError: level === 'ERROR',
      isPartial: false,
      attempt: this.attempt,
      attributes,
    })
    this.onRecord()
  }

  /** Takes what is finished and, once, what is still open. */
  take(): SpanRecord[] {
    const records = this.#closed.splice(0)
    for (const [span, isTold] of this.#open) {
      if (isTold) continue
      this.#open.set(span, true)
      records.push({ ...span.record, attributes: { ...span.record.attributes } })
    }
    return records.map(cloneable)
  }

  /** Ends what a dead attempt left open. */
  endAll(message: string): void {
    for (const span of [...this.#open.keys()]) {
      span.recordException({ name: 'Error', message })
      span.setStatus({ code: 2, message })
      span.end()
    }
  }

  readonly tracer = {
    startSpan: (name: string, options?: SpanOptions, context?: OtelContext): Span => this.start(name, options, context),
    startActiveSpan: (name: string, ...rest: unknown[]): unknown => {
      const fn = rest.at(-1) as (span: Span) => unknown
      const options = rest.length > 1 ? (rest[0] as SpanOptions) : {}
      const parent = rest.length > 2 ? (rest[1] as OtelContext) : activeContext()
      const span = this.start(name, options, parent)
      return contexts.run(parent.setValue(spanKey, span), () => fn(span))
    },
  }

  /** What the SDK's task logger writes to. */
  readonly logger = {
    emit: (entry: { severityText?: string; body?: unknown; attributes?: Attributes; timestamp?: TimeInput }): void => {
      const body = typeof entry.body === 'string' ? entry.body : JSON.stringify(entry.body)
      this.log(logLevel(entry.severityText), body ?? '', entry.attributes, entry.timestamp)
    },
    enabled: (): boolean => true,
  }
}

function logLevel(text = 'LOG'): SpanRecord['level'] {
  const level = text.toUpperCase()
  return (['TRACE', 'DEBUG', 'LOG', 'INFO', 'WARN', 'ERROR'] as const).find((known) => known === level) ?? 'LOG'
}

/** Attributes may hold anything; RPC refuses functions and symbols. */
function cloneable(record: SpanRecord): SpanRecord {
  if (!record.attributes && !record.events) return record
  return {
    ...record,
    attributes: record.attributes && plain(record.attributes),
    events: record.events?.map((event) => ({ ...event, attributes: event.attributes && plain(event.attributes) })),
  }
}

function plain(attributes: Attributes): Attributes {
  const result: Attributes = {}
  for (const [key, value] of Object.entries(attributes)) {
    const kind = typeof value
    if (value === null || kind === 'string' || kind === 'number' || kind === 'boolean') result[key] = value
    else if (Array.isArray(value)) result[key] = value.map((item) => (typeof item === 'object' ? String(item) : item))
    else if (value !== undefined) result[key] = String(value)
  }
  return result
}

function isTimeInput(value: unknown): boolean {
  return typeof value === 'number' || value instanceof Date || (Array.isArray(value) && typeof value[0] === 'number')
}

/** Epoch nanoseconds as decimal text. */
function nanoseconds(time: TimeInput, telemetry: RunTelemetry): string {
  if (typeof time === 'number') return `${Math.round(time)}000000`
  if (time instanceof Date) return `${time.getTime()}000000`
  const [seconds, nanos] = time ?? telemetry.now()
  return `${seconds}${String(Math.round(nanos)).padStart(9, '0')}`
}

function randomHex(bytes: number): string {
  let text = ''
  while (text.length < bytes * 2)
    text += Math.floor((1 + Math.random()) * 0x1000000)
      .toString(16)
      .slice(1)
  return text.slice(0, bytes * 2)
}

export function parseTraceparent(value: unknown): SpanContext | undefined {
  const match = typeof value === 'string' ? /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}/.exec(value) : null
  return match ? { traceId: match[1] ?? '', spanId: match[2] ?? '', traceFlags: 1, isRemote: true } : undefined
}

const idleSpan = {
  spanContext: (): SpanContext => ({ traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 }),
  isRecording: (): boolean => false,
  setAttribute: (): unknown => idleSpan,
  setAttributes: (): unknown => idleSpan,
  addEvent: (): unknown => idleSpan,
  addLink: (): unknown => idleSpan,
  addLinks: (): unknown => idleSpan,
  setStatus: (): unknown => idleSpan,
  updateName: (): unknown => idleSpan,
  recordException: (): void => {},
  end: (): void => {},
}

const globalTracer = {
  startSpan: (name: string, options?: SpanOptions, context?: OtelContext): unknown =>
    currentRun()?.telemetry?.start(name, options, context) ?? idleSpan,
  startActiveSpan: (name: string, ...rest: unknown[]): unknown => {
    const telemetry = currentRun()?.telemetry
    if (telemetry) return telemetry.tracer.startActiveSpan(name, ...rest)
    return (rest.at(-1) as (span: unknown) => unknown)(idleSpan)
  },
}

const contextManager = {
  active: activeContext,
  with: (context: OtelContext, fn: (...args: unknown[]) => unknown, thisArg?: unknown, ...args: unknown[]): unknown =>
    contexts.run(context, () => fn.apply(thisArg, args)),
  bind: (context: OtelContext, target: unknown): unknown =>
    typeof target === 'function' ? (...args: unknown[]) => contexts.run(context, () => target(...args)) : target,
  enable: (): unknown => contextManager,
  disable: (): unknown => contextManager,
}

interface Carrier {
  get(carrier: unknown, key: string): string | string[] | undefined
  set(carrier: unknown, key: string, value: string): void
}

const propagator = {
  inject: (context: OtelContext, carrier: unknown, setter: Carrier): void => {
    const span = context.getValue(spanKey) as { spanContext(): SpanContext } | undefined
    const from = span?.spanContext() ?? currentRun()?.telemetry?.root
    if (from) setter.set(carrier, 'traceparent', `00-${from.traceId}-${from.spanId}-01`)
  },
  extract: (context: OtelContext, carrier: unknown, getter: Carrier): OtelContext => {
    const value = getter.get(carrier, 'traceparent')
    const remote = parseTraceparent(Array.isArray(value) ? value[0] : value)
    return remote ? context.setValue(spanKey, { ...idleSpan, spanContext: () => remote }) : context
  },
  fields: (): string[] => ['traceparent'],
}

/** Puts our tracer, contexts and propagation where every copy of OpenTelemetry's API in the isolate looks. */
export function installOpenTelemetry(): void {
  const shared = globalThis as unknown as Record<symbol, unknown>
  // A minor version no copy can exceed: the API only accepts a global at least as new as itself.
  shared[Symbol.for('opentelemetry.js.api.1')] = {
    version: '1.999.0',
    trace: { getTracer: () => globalTracer, getDelegateTracer: () => globalTracer },
    context: contextManager,
    propagation: propagator,
  }
  const logger = {
    emit: (entry: never): void => currentRun()?.telemetry?.logger.emit(entry),
    enabled: (): boolean => true,
  }
  shared[Symbol.for('io.opentelemetry.js.api.logs')] = () => ({ getLogger: () => logger })
}
