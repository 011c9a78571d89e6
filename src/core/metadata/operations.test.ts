import { describe, expect, it } from 'vitest'
import type { MetadataOperation } from '../../contracts/objects.ts'
import { applyMetadataOperations } from './operations.ts'

type Case = [name: string, before: Record<string, unknown>, operations: MetadataOperation[], after: Record<string, unknown>]

const cases: Case[] = [
  ['set', { a: 1 }, [{ type: 'set', key: 'b', value: 2 }], { a: 1, b: 2 }],
  ['set with a path', { a: { b: 1 } }, [{ type: 'set', key: '$.a.c', value: 2 }], { a: { b: 1, c: 2 } }],
  ['set through an escape', { a: {} }, [{ type: 'set', key: '$.a.b\\.c', value: 1 }], { a: { 'b.c': 1 } }],
  ['set everywhere', { a: [{ x: 1 }, { x: 2 }] }, [{ type: 'set', key: '$.a.*.x', value: 9 }], { a: [{ x: 9 }, { x: 9 }] }],
  ['set in an array', { a: [1, 2] }, [{ type: 'set', key: '$.a.1', value: 9 }], { a: [1, 9] }],
  ['brackets are part of a name', { a: [1] }, [{ type: 'set', key: '$.a[0]', value: 9 }], { a: [1], 'a[0]': 9 }],
  ['delete', { a: 1, b: 2 }, [{ type: 'delete', key: 'a' }], { b: 2 }],
  ['delete is literal', { a: { b: 1 }, '$.a.b': 2 }, [{ type: 'delete', key: '$.a.b' }], { a: { b: 1 } }],
  ['append to nothing', {}, [{ type: 'append', key: 'a', value: 1 }], { a: [1] }],
  ['append to an array', { a: [1] }, [{ type: 'append', key: 'a', value: 2 }], { a: [1, 2] }],
  ['append to a scalar', { a: 1 }, [{ type: 'append', key: 'a', value: 2 }], { a: [1, 2] }],
  ['append with a path', { a: { b: [1] } }, [{ type: 'append', key: '$.a.b', value: 2 }], { a: { b: [1, 2] } }],
  [
    'remove deep-equal elements',
    { a: [{ x: [1] }, 2, { x: [1] }] },
    [{ type: 'remove', key: 'a', value: { x: [1] } }],
    { a: [2] },
  ],
  ['remove with a path', { a: { b: [1, 2] } }, [{ type: 'remove', key: '$.a.b', value: 1 }], { a: { b: [2] } }],
  ['increment', { a: 1 }, [{ type: 'increment', key: 'a', value: -3 }], { a: -2 }],
  ['increment nothing', {}, [{ type: 'increment', key: 'a', value: 2 }], { a: 2 }],
  ['increment a word', { a: 'x' }, [{ type: 'increment', key: 'a', value: 2 }], { a: 2 }],
  ['increment with a path', { a: { b: 1 } }, [{ type: 'increment', key: '$.a.b', value: 1 }], { a: { b: 2 } }],
  ['update replaces', { a: 1 }, [{ type: 'update', value: { b: 2 } }], { b: 2 }],
  [
    'in order',
    {},
    [
      { type: 'set', key: 'a', value: 1 },
      { type: 'increment', key: 'a', value: 1 },
      { type: 'append', key: 'a', value: 'x' },
    ],
    { a: [2, 'x'] },
  ],
  ['names of Object.prototype are plain keys', {}, [{ type: 'append', key: 'toString', value: 1 }], { toString: [1] }],
]

describe('applyMetadataOperations', () => {
  it.each(cases)('%s', (_name, before, operations, after) => {
    const copy = structuredClone(before)
    expect(applyMetadataOperations(before, operations)).toEqual({ metadata: after, refused: [] })
    expect(before).toEqual(copy)
  })

  it.each(['__proto__', 'constructor', 'prototype', '$.__proto__.x', '$.a.constructor.prototype.x', '$.a["__proto__"].x'])(
    'refuses %s and applies the rest',
    (key) => {
      for (const type of ['set', 'append', 'increment'] as const) {
        const operation: MetadataOperation = { type, key, value: 1 }
        const { metadata, refused } = applyMetadataOperations({}, [operation, { type: 'set', key: 'ok', value: true }])
        expect(metadata).toEqual({ ok: true })
        expect(refused).toEqual([`${type} ${key}: not a key`])
      }
      expect(({} as Record<string, unknown>).x).toBeUndefined()
    },
  )

  it('refuses a prototype key in an update and keeps the rest', () => {
    const value = JSON.parse('{"__proto__":{"x":1},"a":1}')
    const { metadata, refused } = applyMetadataOperations({}, [{ type: 'update', value }])
    expect(metadata).toEqual({ a: 1 })
    expect(Object.hasOwn(metadata, '__proto__')).toBe(false)
    // structuredClone may already have dropped the key; either way it is gone.
    expect(refused.length).toBeLessThanOrEqual(1)
  })

  it.each<[MetadataOperation, string]>([
    [{ type: 'remove', key: 'a', value: 1 }, 'not an array'],
    [{ type: 'set', key: '$.a.b', value: 1 }, 'its parent is not there'],
    [{ type: 'set', key: '$.none.b', value: 1 }, 'its parent is not there'],
    [{ type: 'set', key: '$.list.x', value: 1 }, 'not an index'],
    [{ type: 'set', key: '$.list.999999999', value: 1 }, 'not an index'],
    [{ type: 'set', key: '$.', value: 1 }, 'not a path we know'],
  ])('ignores %o', (operation, reason) => {
    const before = { a: 1, list: [] }
    const { metadata, refused } = applyMetadataOperations(before, [operation])
    expect(metadata).toEqual(before)
    expect(refused).toEqual([expect.stringContaining(reason)])
  })
})
