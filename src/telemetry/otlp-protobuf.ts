/**
 * The same export in its binary form. Only the fields the JSON reader uses are read; everything else is passed over, so a newer
 * sender does no harm. Throws on bytes that are no such message.
 */
import type { OtlpLogs, OtlpTraces } from './otlp.ts'

type Kind = 'string' | 'hex' | 'fixed64' | 'int' | 'int64' | 'bool' | 'double' | 'base64' | Fields
interface Field {
  name: string
  kind: Kind | (() => Fields)
  many?: true
}
interface Fields {
  [number: number]: Field
}

const many = true as const
const anyValue: Fields = {
  1: { name: 'stringValue', kind: 'string' },
  2: { name: 'boolValue', kind: 'bool' },
  3: { name: 'intValue', kind: 'int64' },
  4: { name: 'doubleValue', kind: 'double' },
  5: { name: 'arrayValue', kind: () => ({ 1: { name: 'values', kind: () => anyValue, many } }) },
  6: { name: 'kvlistValue', kind: () => ({ 1: { name: 'values', kind: () => keyValue, many } }) },
  7: { name: 'bytesValue', kind: 'base64' },
}
const keyValue: Fields = { 1: { name: 'key', kind: 'string' }, 2: { name: 'value', kind: () => anyValue } }
const attributes: Field = { name: 'attributes', kind: keyValue, many }
const resource: Field = { name: 'resource', kind: { 1: attributes } }
const span: Fields = {
  1: { name: 'traceId', kind: 'hex' },
  2: { name: 'spanId', kind: 'hex' },
  4: { name: 'parentSpanId', kind: 'hex' },
  5: { name: 'name', kind: 'string' },
  7: { name: 'startTimeUnixNano', kind: 'fixed64' },
  8: { name: 'endTimeUnixNano', kind: 'fixed64' },
  9: attributes,
  11: {
    name: 'events',
    kind: { 1: { name: 'timeUnixNano', kind: 'fixed64' }, 2: { name: 'name', kind: 'string' }, 3: attributes },
    many,
  },
  15: { name: 'status', kind: { 2: { name: 'message', kind: 'string' }, 3: { name: 'code', kind: 'int' } } },
}
const logRecord: Fields = {
  1: { name: 'timeUnixNano', kind: 'fixed64' },
  2: { name: 'severityNumber', kind: 'int' },
  3: { name: 'severityText', kind: 'string' },
  5: { name: 'body', kind: anyValue },
  6: attributes,
  9: { name: 'traceId', kind: 'hex' },
  10: { name: 'spanId', kind: 'hex' },
  11: { name: 'observedTimeUnixNano', kind: 'fixed64' },
}
const traces: Fields = {
  1: {
    name: 'resourceSpans',
    kind: { 1: resource, 2: { name: 'scopeSpans', kind: { 2: { name: 'spans', kind: span, many } }, many } },
    many,
  },
}
const logs: Fields = {
  1: {
    name: 'resourceLogs',
    kind: { 1: resource, 2: { name: 'scopeLogs', kind: { 2: { name: 'logRecords', kind: logRecord, many } }, many } },
    many,
  },
}

export function readTraces(bytes: Uint8Array): OtlpTraces {
  return new Reader(bytes).message(traces)
}
export function readLogs(bytes: Uint8Array): OtlpLogs {
  return new Reader(bytes).message(logs)
}
/** Throws when the bytes are no message at all. */
export function checkMessage(bytes: Uint8Array): void {
  new Reader(bytes).message({})
}

const deepest = 40

class Reader {
  private at = 0
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly depth: number

  constructor(bytes: Uint8Array, depth = 0) {
    if (depth > deepest) throw new Error('The message is nested too deeply.')
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.depth = depth
  }

  message(fields: Fields): Record<string, unknown> {
    const found: Record<string, unknown> = {}
    while (this.at < this.bytes.length) {
      const tag = Number(this.varint())
      const [number, wire] = [tag >>> 3, tag & 7]
      if (number === 0) throw new Error('A field without a number.')
      const field = fields[number]
      const value = this.value(wire, field)
      if (!field || value === undefined) continue
      if (field.many) {
        const known = found[field.name] as unknown[] | undefined
        if (known) known.push(value)
        else found[field.name] = [value]
      } else found[field.name] = value
    }
    return found
  }

  private value(wire: number, field: Field | undefined): unknown {
    const kind = typeof field?.kind === 'function' ? field.kind() : field?.kind
    switch (wire) {
      case 0: {
        const number = this.varint()
        if (kind === 'bool') return number !== 0n
        if (kind === 'int64') return BigInt.asIntN(64, number).toString()
        return kind === 'int' ? Number(number) : undefined
      }
      case 1: {
        const start = this.take(8)
        if (kind === 'fixed64') return this.view.getBigUint64(start, true).toString()
        return kind === 'double' ? this.view.getFloat64(start, true) : undefined
      }
      case 2: {
        const length = Number(this.varint())
        const start = this.take(length)
        const part = this.bytes.subarray(start, start + length)
        if (kind === 'string') return new TextDecoder().decode(part)
        if (kind === 'hex') return [...part].map((byte) => byte.toString(16).padStart(2, '0')).join('')
        if (kind === 'base64') return btoa(String.fromCharCode(...part.subarray(0, 1_024)))
        return typeof kind === 'object' ? new Reader(part, this.depth + 1).message(kind) : undefined
      }
      case 5:
        this.take(4)
        return undefined
      default:
        throw new Error(`A field of unknown kind ${wire}.`)
    }
  }

  private take(length: number): number {
    const start = this.at
    if (!(length >= 0) || start + length > this.bytes.length) throw new Error('The message ends in the middle of a field.')
    this.at = start + length
    return start
  }

  private varint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.take(1)] as number
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new Error('A number without an end.')
  }
}
