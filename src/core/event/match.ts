/** Does an event hold what a subscription asks for? Values are compared as JSON; a field is found by its name, wherever near the top. */
export type Filter = Record<string, unknown>

const comparisons = {
  gt: (value: unknown, than: unknown): boolean => bothComparable(value, than) && (value as number) > (than as number),
  gte: (value: unknown, than: unknown): boolean => bothComparable(value, than) && (value as number) >= (than as number),
  lt: (value: unknown, than: unknown): boolean => bothComparable(value, than) && (value as number) < (than as number),
  lte: (value: unknown, than: unknown): boolean => bothComparable(value, than) && (value as number) <= (than as number),
  ne: (value: unknown, than: unknown): boolean => !isEqual(value, than),
} as const
type Comparison = keyof typeof comparisons

/** Every entry of the filter must hold; an empty filter always does. */
export function matches(filter: Filter, payload: unknown): boolean {
  return Object.entries(filter).every(([field, wanted]) => candidates(field, payload).some((value) => holds(value, wanted)))
}

/** The first thing in a filter that is not one, in words. */
export function problemOf(filter: Filter): string | undefined {
  for (const [field, wanted] of Object.entries(filter)) {
    if (field === '') return 'a field of the filter has no name'
    const words = comparisonsOf(wanted)
    const unknown = words?.find(([word]) => !(word in comparisons))
    if (unknown && words?.some(([word]) => word in comparisons))
      return `${unknown[0]} of field ${field} is no comparison (${Object.keys(comparisons).join(', ')})`
  }
  return undefined
}

function holds(value: unknown, wanted: unknown): boolean {
  const words = comparisonsOf(wanted)
  const isComparison = words !== undefined && words.length > 0 && words.every(([word]) => word in comparisons)
  return isComparison ? words.every(([word, than]) => comparisons[word as Comparison](value, than)) : isEqual(value, wanted)
}

function comparisonsOf(wanted: unknown): [string, unknown][] | undefined {
  return isObject(wanted) ? Object.entries(wanted) : undefined
}

/** `user` is also userId and user_id; `order.total` is a path; `*` is every field. Top level first, then one level below. */
function candidates(field: string, payload: unknown): unknown[] {
  if (!isObject(payload)) return []
  const inner = Object.values(payload).filter(isObject)
  if (field === '*') return Object.values(payload)
  const [first, ...rest] = field.split('.') as [string, ...string[]]
  if (rest.length > 0 && !Object.hasOwn(payload, field))
    return named(first, payload).flatMap((value) => candidates(rest.join('.'), value))
  const top = named(field, payload)
  return top.length > 0 ? top : inner.flatMap((value) => named(field, value))
}

function named(field: string, object: Record<string, unknown>): unknown[] {
  const wanted = plain(field)
  const exact = Object.entries(object).filter(([name]) => plain(name) === wanted)
  const found = exact.length > 0 ? exact : Object.entries(object).filter(([name]) => plain(name) === `${wanted}id`)
  return found.map(([, value]) => value)
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '')
}

function bothComparable(a: unknown, b: unknown): boolean {
  return (typeof a === 'number' && typeof b === 'number') || (typeof a === 'string' && typeof b === 'string')
}

function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, index) => isEqual(each, b[index]))
  if (!isObject(a) || !isObject(b)) return false
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && isEqual(a[name], b[name]))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
