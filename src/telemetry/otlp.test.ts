import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { logsOf, type OtlpSpan, type OtlpTraces, spansOf } from './otlp.ts'
import { checkMessage, readLogs, readTraces } from './otlp-protobuf.ts'

const runId = `run_${'a'.repeat(26)}`
const attribute = (key: string, value: object): { key: string; value: object } => ({ key, value })
const ofRun = attribute('$metadata.ctx.run.id', { stringValue: runId })
const traces = (span: OtlpSpan, resource: object[] = []): OtlpTraces => ({
  resourceSpans: [{ resource: { attributes: resource }, scopeSpans: [{ spans: [span] }] }],
})
const span = (more: Partial<OtlpSpan> = {}): OtlpSpan => ({
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
  parentSpanId: 'c'.repeat(16),
  name: 'work',
  startTimeUnixNano: '1700000000000000001',
  endTimeUnixNano: '1700000000000000011',
  attributes: [ofRun],
  ...more,
})

describe('spans', () => {
  it('become those of their run, without what was stamped on them', () => {
    const attributes = [
      ofRun,
      attribute('$metadata.ctx.attempt.number', { intValue: 2 }),
      attribute('list', { arrayValue: { values: [{ intValue: '1' }, { boolValue: true }] } }),
      attribute('map', { kvlistValue: { values: [{ key: 'x', value: { doubleValue: 1.5 } }] } }),
    ]
    const events = [
      { name: 'exception', timeUnixNano: '1700000000000000002', attributes: [attribute('m', { stringValue: 'no' })] },
    ]
    expect(spansOf(traces(span({ attributes, events, status: { code: 2 } })))).toEqual({
      [runId]: [
        {
          kind: 'span',
          traceId: 'a'.repeat(32),
          spanId: 'b'.repeat(16),
          parentSpanId: 'c'.repeat(16),
          name: 'work',
          startTime: '1700000000000000001',
          duration: 10,
          level: 'ERROR',
          isError: true,
          isPartial: false,
          attempt: 2,
          attributes: { list: [1, true], map: { x: 1.5 } },
          events: [{ name: 'exception', time: '1700000000000000002', attributes: { m: 'no' } }],
        },
      ],
    })
  })

  it('that are partial stand under the id they will have', () => {
    const attributes = [
      ofRun,
      attribute('$span.partial', { boolValue: true }),
      attribute('$span.span_id', { stringValue: 'd'.repeat(16) }),
    ]
    const [found] = spansOf(traces(span({ attributes })))[runId] ?? []
    expect(found).toMatchObject({ spanId: 'd'.repeat(16), isPartial: true })
    expect(found?.duration).toBeUndefined()
  })

  it('may be named by their resource; those without a run or an id are passed over', () => {
    expect(Object.keys(spansOf(traces(span({ attributes: [] }), [ofRun])))).toEqual([runId])
    for (const bad of [
      span({ attributes: [] }),
      span({ traceId: 'x' }),
      span({ spanId: '0'.repeat(16) }),
      span({ startTimeUnixNano: 'soon' }),
      {},
    ])
      expect(spansOf(traces(bad))).toEqual({})
  })
})

it('a line has one id, however often it is sent, and lines that differ have others', () => {
  const log = (text: string, time = '1700000000000000001'): object => ({
    resourceLogs: [
      {
        scopeLogs: [
          {
            logRecords: [
              {
                traceId: 'a'.repeat(32),
                spanId: 'b'.repeat(16),
                timeUnixNano: time,
                severityText: 'Log',
                body: { stringValue: text },
                attributes: [ofRun],
              },
            ],
          },
        ],
      },
    ],
  })
  const id = (text: string, time?: string): string | undefined => logsOf(log(text, time))[runId]?.[0]?.spanId
  expect(logsOf(log('one'))[runId]).toMatchObject([{ kind: 'log', name: 'one', level: 'LOG', parentSpanId: 'b'.repeat(16) }])
  expect(id('one')).toBe(id('one'))
  expect(new Set([id('one'), id('two'), id('one', '1700000000000000002')]).size).toBe(3)
})

describe('the binary form', () => {
  it('says the same as the exporter put in', () => {
    const exported = {
      name: 'work',
      kind: 0,
      spanContext: () => ({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }),
      parentSpanContext: { traceId: 'a'.repeat(32), spanId: 'c'.repeat(16) },
      startTime: [1_700_000_000, 1],
      endTime: [1_700_000_000, 11],
      attributes: { '$metadata.ctx.run.id': runId, n: -3, ratio: 0.5, on: true, list: ['a', 2] },
      links: [],
      events: [{ name: 'e', time: [1_700_000_000, 2], attributes: { x: 'y' } }],
      status: { code: 2, message: 'no' },
      resource: { attributes: {} },
      instrumentationScope: { name: 't' },
    }
    const bytes = ProtobufTraceSerializer.serializeRequest([exported as never]) as Uint8Array
    expect(spansOf(readTraces(bytes))[runId]).toMatchObject([
      {
        spanId: 'b'.repeat(16),
        parentSpanId: 'c'.repeat(16),
        startTime: '1700000000000000001',
        duration: 10,
        isError: true,
        attributes: { n: -3, ratio: 0.5, on: true, list: ['a', 2] },
        events: [{ name: 'e', attributes: { x: 'y' } }],
      },
    ])
  })

  it('ends with a message or an error, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const read of [readTraces, readLogs, checkMessage])
          try {
            read(bytes)
          } catch (error) {
            expect(error).toBeInstanceOf(Error)
          }
      }),
    )
    const nested = (depth: number): Uint8Array => {
      let inner = new Uint8Array()
      for (let at = 0; at < depth; at++)
        inner = new Uint8Array([0x2a, inner.length, 0x0a, inner.length, ...inner]).subarray(0, 120)
      return new Uint8Array([0x0a, inner.length, ...inner])
    }
    expect(() => readTraces(nested(30))).not.toThrow(RangeError)
  })
})
