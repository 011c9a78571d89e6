/** Values on their way into JSON: what JSON would lose or bend is refused, with its place. Dates become ISO strings. */

/** The server takes no deeper data. */
const deepest = 100

export interface Conversion {
  /** Stands in for a value, for recorded chains; undefined = convert as usual. */
  replace?: (value: unknown, place: string) => { with: unknown } | undefined
  /** Sees each plain object after its conversion. */
  object?: (value: Record<string, unknown>, place: string) => unknown
  /** A property that is undefined: refused in sentences, where it is a typo, and left out of payloads, as JSON does. */
  undefinedProperty: 'refuse' | 'omit'
}

export function toJson(value: unknown, place: string, conversion: Conversion): unknown {
  return convert(value, place, conversion, [])
}

function convert(value: unknown, place: string, conversion: Conversion, parents: object[]): unknown {
  const replaced = conversion.replace?.(value, place)
  if (replaced) return replaced.with
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw refusal(place, `${value}, which JSON does not have`)
    return value
  }
  if (value === undefined) throw refusal(place, 'undefined')
  if (typeof value === 'bigint') throw refusal(place, 'a bigint, which JSON does not have; send a string or a number')
  if (typeof value !== 'object') throw refusal(place, `a ${typeof value}`)
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw refusal(place, 'an invalid date')
    return value.toISOString()
  }
  if (parents.includes(value)) throw refusal(place, 'cyclic: it contains itself')
  if (parents.length >= deepest) throw refusal(place, `nested more than ${deepest} levels deep`)
  const inside = [...parents, value]
  if (Array.isArray(value)) return Array.from(value, (each, index) => convert(each, `${place}[${index}]`, conversion, inside))
  if (typeof (value as { then?: unknown }).then === 'function')
    throw refusal(place, 'a promise or a job: await it first, or chain with .map')
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function')
    return convert((value as { toJSON(): unknown }).toJSON(), place, conversion, inside)
  const prototype = Object.getPrototypeOf(value)
  if (value instanceof Map || value instanceof Set || ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    throw refusal(place, `a ${prototype.constructor.name}, which JSON does not have`)
  const plain: Record<string, unknown> = {}
  for (const [key, each] of Object.entries(value)) {
    if (each === undefined && conversion.undefinedProperty === 'omit') continue
    const result = convert(each, `${place}.${key}`, conversion, inside)
    // An assignment to __proto__ would set the prototype.
    Object.defineProperty(plain, key, { value: result, enumerable: true, configurable: true, writable: true })
  }
  return conversion.object ? conversion.object(plain, place) : plain
}

export class ValueError extends TypeError {
  override name = 'ValueError'
}

function refusal(place: string, what: string): ValueError {
  return new ValueError(`${place[0]?.toUpperCase()}${place.slice(1)} is ${what}.`)
}
