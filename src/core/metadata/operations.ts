/**
 * What metadata operations make of a run's metadata (engine-behaviour.md §7). The given object is never changed, and no
 * operation can reach a prototype: such an operation is refused, the others still apply.
 */
import type { MetadataOperation } from '../../contracts/objects.ts'

type Container = Record<string, unknown> | unknown[]

const prototypeKeys = new Set(['__proto__', 'constructor', 'prototype'])
/** An index beyond this would let one small operation make a huge sparse array. */
const MAX_INDEX = 10_000

/** `refused` says in words which operations did not apply, in order. */
export function applyMetadataOperations(
  current: Record<string, unknown>,
  operations: MetadataOperation[],
): { metadata: Record<string, unknown>; refused: string[] } {
  let metadata = structuredClone(current)
  const refused: string[] = []
  for (const operation of operations) {
    if (operation.type === 'update') {
      metadata = structuredClone(operation.value)
      for (const key of Object.keys(metadata)) {
        if (!prototypeKeys.has(key)) continue
        delete metadata[key]
        refused.push(`update ${key}: not a key`)
      }
      continue
    }
    const problem = applyToKey(metadata, operation)
    if (problem) refused.push(`${operation.type} ${operation.key}: ${problem}`)
  }
  return { metadata, refused }
}

function applyToKey(
  metadata: Record<string, unknown>,
  operation: Exclude<MetadataOperation, { type: 'update' }>,
): string | undefined {
  const isPath = operation.key.startsWith('$.') && operation.type !== 'delete'
  const path = isPath ? parsePath(operation.key) : [operation.key]
  if (!path) return 'not a path we know'
  if (operation.key.split(isPath ? /[.[\]'"\\]+/ : /$/).some((key) => prototypeKeys.has(key))) return 'not a key'
  const old = read(metadata, path, isPath)
  switch (operation.type) {
    case 'set':
      return write(metadata, path, isPath, operation.value)
    case 'delete':
      delete metadata[operation.key]
      return undefined
    case 'append': {
      const { value } = operation
      if (old === undefined) return write(metadata, path, isPath, [value])
      return write(metadata, path, isPath, Array.isArray(old) ? [...old, value] : [old, value])
    }
    case 'remove':
      if (!Array.isArray(old)) return 'not an array'
      return write(
        metadata,
        path,
        isPath,
        old.filter((item) => !isDeepEqual(item, operation.value)),
      )
    case 'increment':
      if (!Number.isFinite(operation.value)) return 'not a number'
      return write(metadata, path, isPath, (typeof old === 'number' ? old : 0) + operation.value)
    default:
      return 'not an operation we know'
  }
}

/** `$.a.b\\.c.0` → `['a', 'b.c', '0']`: dots and escapes only, as upstream's own parser has it; `[0]` is part of a name. */
function parsePath(text: string): string[] | undefined {
  const steps = text.match(/(?:[^.\\]|\\.)+/g)?.slice(1) ?? []
  return steps.length > 0 ? steps.map((step) => step.replace(/\\(.)/g, '$1')) : undefined
}

/** The containers a path ends in: one, or with `*` steps several; none when a parent is missing, which upstream does not make. */
function parentsOf(metadata: Record<string, unknown>, path: string[]): Container[] {
  let parents: Container[] = [metadata]
  for (const key of path.slice(0, -1)) {
    parents = parents.flatMap((parent) => valuesAt(parent, key)).filter(isContainer)
  }
  return parents
}

function valuesAt(parent: Container, key: string): unknown[] {
  if (key === '*') return Object.values(parent)
  return Object.hasOwn(parent, key) ? [(parent as Record<string, unknown>)[key]] : []
}

function read(metadata: Record<string, unknown>, path: string[], isPath: boolean): unknown {
  if (!isPath) return Object.hasOwn(metadata, path[0] as string) ? metadata[path[0] as string] : undefined
  return parentsOf(metadata, path).flatMap((parent) => valuesAt(parent, path[path.length - 1] as string))[0]
}

function write(metadata: Record<string, unknown>, path: string[], isPath: boolean, value: unknown): string | undefined {
  const last = path[path.length - 1] as string
  const parents = parentsOf(metadata, path)
  if (parents.length === 0) return 'its parent is not there'
  for (const parent of parents) {
    const keys = isPath && last === '*' ? Object.keys(parent) : [last]
    for (const key of keys) {
      if (Array.isArray(parent) && !(/^\d+$/.test(key) && Number(key) <= MAX_INDEX))
        return 'not an index'
        // A copy each: places reached by `*` must not share one object.
      ;(parent as Record<string, unknown>)[key] = structuredClone(value)
    }
  }
  return undefined
}

function isContainer(value: unknown): value is Container {
  return typeof value === 'object' && value !== null
}

/** JSON values only. */
function isDeepEqual(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (!isContainer(one) || !isContainer(other) || Array.isArray(one) !== Array.isArray(other)) return false
  const keys = Object.keys(one)
  if (keys.length !== Object.keys(other).length) return false
  return keys.every(
    (key) =>
      Object.hasOwn(other, key) && isDeepEqual((one as Record<string, unknown>)[key], (other as Record<string, unknown>)[key]),
  )
}
