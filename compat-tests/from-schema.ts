/** Arbitraries for JSON Schemas of the OpenAPI document, with values a jobs platform reads: durations, dates, crons, zones. */
import fc from 'fast-check'

export interface Schema {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | boolean
  items?: Schema
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
}

const unit = fc.constantFrom('s', 'm', 'h', 'hr', 'd', 'w', 'y', 'ms', '')
const count = fc.oneof(fc.nat(100), fc.constantFrom('0', '-1', '1.5', '1e9', '00', '9'.repeat(20), '9'.repeat(90), ''))

/** Mostly readable ones. */
export const duration: fc.Arbitrary<string> = fc.oneof(
  fc.array(fc.tuple(count, unit), { minLength: 1, maxLength: 3 }).map((parts) => parts.flat().join('')),
  fc.constantFrom('1h', '30s', '1h30m', '1 hour', 'PT1H', ' 1h', '１h'),
)

const field = fc.oneof(
  fc.constantFrom(
    '*',
    '?',
    '*/5',
    '0',
    '1-5',
    '5-1',
    '*/0',
    '0/0',
    '60',
    '1,2,,3',
    'L',
    '5L',
    'W',
    '#',
    '1#6',
    'MON-FRI',
    'H',
    '-',
    '*-*',
  ),
  fc.integer({ min: -2, max: 99 }).map(String),
)
export const cron: fc.Arbitrary<string> = fc.oneof(
  fc.array(field, { minLength: 0, maxLength: 8 }).map((fields) => fields.join(' ')),
  fc.constantFrom(
    '@daily',
    '@never',
    '0 0 30 2 *',
    '0 0 31 11 *',
    '* * * * * *',
    '\t* * * * *',
    `${'1,'.repeat(2_000)}1 * * * *`,
  ),
)

export const zone: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...Intl.supportedValuesOf('timeZone')),
  fc.constantFrom('UTC', 'GMT+25', '+01:00', 'Mars/Olympus', 'europe/paris', 'Europe/Paris ', '', '../etc/passwd', '__proto__'),
)

export const date: fc.Arbitrary<string> = fc.oneof(
  fc.date({ noInvalidDate: true }).map((day) => day.toISOString()),
  fc.date({ min: new Date('2026-01-01'), max: new Date('2030-01-01'), noInvalidDate: true }).map((day) => day.toISOString()),
  fc.constantFrom(
    '2026-02-30',
    '2026-13-01T00:00:00Z',
    '0000-00-00',
    '+275760-09-13T00:00:00.001Z',
    'now',
    'Tue',
    '1e400',
    '-1',
    '253402300800000',
  ),
)

const strange = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 40 }),
  fc.constantFrom(
    '',
    ' ',
    '\u0000',
    '__proto__',
    'constructor',
    'toString',
    '../..',
    '%00',
    "'; DROP TABLE runs; --",
    '{{x}}',
    'é\u0301',
  ),
  fc.constantFrom(129, 513, 2_049, 70_000).map((length) => 'x'.repeat(length)),
)

export type Known = Record<string, string[]>

/** What a text named so usually holds; mostly that. */
function textFor(name: string, known: Known): fc.Arbitrary<string> {
  const usual = known[name]
  if (usual && usual.length > 0) return fc.constantFrom(...usual)
  if (/timezone/i.test(name)) return zone
  if (/cron|pattern/i.test(name)) return cron
  if (/delay|ttl|timeout|period|expiration|duration/i.test(name)) return fc.oneof({ arbitrary: duration, weight: 3 }, date)
  if (/date|\bfrom\b|\bto\b|until/i.test(name)) return fc.oneof({ arbitrary: date, weight: 3 }, duration)
  if (/isTest|excludeUtc|allow/i.test(name)) return fc.constantFrom('true', 'false')
  if (/size|page|runCount/i.test(name)) return fc.oneof(fc.nat(120).map(String), fc.constantFrom('-1', '1e3', '0x10', 'NaN', ''))
  return fc.string({ unit: fc.constantFrom(...'abc_-09'), minLength: 1, maxLength: 12 })
}

function numberFor(schema: Schema): fc.Arbitrary<number> {
  const low = Math.max(schema.minimum ?? -10, -1e15)
  const high = Math.max(low, Math.min(schema.maximum ?? low + 2_000, 1e15))
  const edges = [low, low - 1, high, high + 1, 2 ** 31 - 1, 2 ** 31, 2 ** 53, 1e300, -0, -1]
  const usual =
    schema.type === 'integer'
      ? fc.integer({ min: Math.ceil(low), max: Math.floor(Math.min(high, low + 40)) })
      : fc.double({ noNaN: true })
  return fc.oneof({ arbitrary: usual, weight: 5 }, fc.constantFrom(...edges))
}

/** Valid as far as the schema says, with rare edges. `resolve` follows references. */
export function fromSchema(schema: Schema, name: string, known: Known, resolve: (ref: string) => Schema): fc.Arbitrary<unknown> {
  const inner = (one: Schema, as = name): fc.Arbitrary<unknown> => fromSchema(one, as, known, resolve)
  if (schema.$ref) return inner(resolve(schema.$ref))
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  const union = schema.anyOf ?? schema.oneOf
  if (union) return fc.oneof(...union.map((one) => inner(one)))
  if (schema.allOf) return fc.tuple(...schema.allOf.map((one) => inner(one))).map((parts) => Object.assign({}, ...parts))
  const types = Array.isArray(schema.type) ? schema.type : schema.type ? [schema.type] : schema.properties ? ['object'] : ['any']
  return fc.oneof(...types.map((type) => ofType({ ...schema, type }, type, name, known, inner)))
}

function ofType(
  schema: Schema,
  type: string,
  name: string,
  known: Known,
  inner: (one: Schema, as?: string) => fc.Arbitrary<unknown>,
): fc.Arbitrary<unknown> {
  switch (type) {
    case 'null':
      return fc.constant(null)
    case 'boolean':
      return fc.boolean()
    case 'integer':
    case 'number':
      return numberFor(schema)
    case 'string':
      return fc.oneof({ arbitrary: textFor(name, known), weight: 6 }, strange)
    case 'array': {
      const minLength = schema.minItems ?? 0
      return fc.array(inner(schema.items ?? {}), {
        minLength,
        maxLength: Math.max(minLength, Math.min(schema.maxItems ?? 4, 12)),
      })
    }
    case 'object': {
      const properties = Object.entries(schema.properties ?? {})
      const record = fc.record(Object.fromEntries(properties.map(([key, one]) => [key, inner(one, key)])), {
        requiredKeys: schema.required ?? [],
        noNullPrototype: true,
      })
      const rest = schema.additionalProperties
      if (rest === undefined || rest === false) return record
      const more = fc.dictionary(
        strange.map((key) => key.slice(0, 30)),
        inner(rest === true ? {} : rest),
        { maxKeys: 3, noNullPrototype: true },
      )
      return fc.tuple(record, more).map(([one, other]) => ({ ...other, ...(one as object) }))
    }
    default:
      return fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom({ n: 1 }, 'text', null))
  }
}

const junk = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, 1e308, 2 ** 53, '', [], {}, [[]], [null], { length: 1e9 }, '\ud800'),
  strange,
  duration,
  cron,
  date,
)

/** One place of the value replaced, taken out, or added to. */
export function mutated(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .tuple(value, fc.nat(), fc.constantFrom('replace', 'remove', 'add', 'wrap'), junk, strange)
    .map(([original, at, how, other, key]) => {
      const copy = structuredClone(original)
      const places: { holder: Record<string, unknown>; key: string }[] = []
      const walk = (one: unknown): void => {
        if (!one || typeof one !== 'object') return
        for (const [name, entry] of Object.entries(one)) {
          places.push({ holder: one as Record<string, unknown>, key: name })
          walk(entry)
        }
      }
      walk(copy)
      const place = places[places.length === 0 ? 0 : at % places.length]
      if (!place) return other
      if (how === 'remove') {
        if (Array.isArray(place.holder)) place.holder.splice(Number(place.key), 1)
        else delete place.holder[place.key]
      } else if (how === 'add' && Array.isArray(place.holder)) place.holder.push(other)
      else if (how === 'add')
        Object.defineProperty(place.holder, key, { value: other, enumerable: true, configurable: true, writable: true })
      else place.holder[place.key] = how === 'wrap' ? [place.holder[place.key]] : other
      return copy
    })
}
