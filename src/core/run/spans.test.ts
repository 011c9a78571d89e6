import { expect, it } from 'vitest'
import type { SpanRecord } from '../../contracts/rpc.ts'
import { mergeSpans } from './spans.ts'

const span = (spanId: string, more: Partial<SpanRecord> = {}): SpanRecord => ({
  kind: 'span',
  traceId: 't',
  spanId,
  name: spanId,
  startTime: '1',
  level: 'TRACE',
  isError: false,
  isPartial: false,
  attempt: 1,
  ...more,
})

it('keeps the finished record of a span, whichever comes first', () => {
  const [partial, finished] = [span('a', { isPartial: true }), span('a', { duration: 5 })]
  expect(mergeSpans([partial, finished])).toEqual([finished])
  expect(mergeSpans([finished, partial])).toEqual([finished])
})

it('keeps lines apart by time and text, and drops what does not fit into a row', () => {
  const line = (name: string, startTime = '1'): SpanRecord => span('parent', { kind: 'log', name, startTime })
  expect(mergeSpans([line('one'), line('two'), line('one'), line('one', '2')])).toHaveLength(3)
  const many = Array.from({ length: 20_000 }, (_, at) => line(`line ${at}`))
  const kept = mergeSpans([...many, span('the root, which ends last')])
  expect(kept.length).toBeGreaterThan(3_000)
  expect(JSON.stringify(kept).length).toBeLessThan(2_000_000)
  expect(kept.at(-2)?.name, 'spans before lines').toBe('the root, which ends last')
  const told = 'More lines and spans were not kept: of one run, 1 MiB of them is.'
  expect(kept.at(-1)).toMatchObject({ kind: 'log', level: 'WARN', name: told })
  const again = mergeSpans([...kept, line('late'), span('late span')])
  expect(again.filter(({ name }) => name === told)).toHaveLength(1)
  expect(again.map(({ name }) => name)).toContain('late span')
})
