import { describe, expect, it } from 'vitest'
import { matches, problemOf } from './match.ts'

describe('an event matches a filter', () => {
  it.each([
    ['nothing asked', {}, { a: 1 }, true],
    ['nothing asked, no payload', {}, undefined, true],
    ['a value', { user: 'u1' }, { user: 'u1' }, true],
    ['another value', { user: 'u1' }, { user: 'u2' }, false],
    ['no such field', { user: 'u1' }, { name: 'u1' }, false],
    ['no payload', { user: 'u1' }, null, false],
    ['userId', { user: 'u1' }, { userId: 'u1' }, true],
    ['user_id', { user: 'u1' }, { user_id: 'u1' }, true],
    ['user wins over userId', { user: 'u1' }, { user: 'u2', userId: 'u1' }, false],
    ['one level below', { total: 5 }, { order: { total: 5 } }, true],
    ['two levels below', { total: 5 }, { data: { order: { total: 5 } } }, false],
    ['the top wins over one level below', { total: 5 }, { total: 4, order: { total: 5 } }, false],
    ['a path', { 'data.order.total': 5 }, { data: { order: { total: 5 } } }, true],
    ['a name with a dot in it', { 'a.b': 5 }, { 'a.b': 5 }, true],
    ['any field', { '*': 'u1' }, { actor: 'u1' }, true],
    ['no field', { '*': 'u1' }, { actor: { id: 'u1' } }, false],
    ['a string is no number', { id: 1 }, { id: '1' }, false],
    ['objects, whatever the order', { a: { x: 1, y: [2] } }, { a: { y: [2], x: 1 } }, true],
    ['more than', { total: { gt: 100 } }, { total: 101 }, true],
    ['not more than', { total: { gt: 100 } }, { total: 100 }, false],
    ['between', { total: { gte: 1, lte: 2 } }, { total: 2 }, true],
    ['not comparable', { total: { gt: 100 } }, { total: '101' }, false],
    ['anything else', { plan: { ne: 'free' } }, { plan: 'pro' }, true],
    ['what it inherits is no field', { constructor: 'x' }, {}, false],
    ['all of them', { a: 1, b: 2 }, { a: 1, b: 3 }, false],
  ])('%s', (_name, filter, payload, expected) => {
    expect(matches(filter, payload)).toBe(expected)
  })

  it('a comparison with an unknown word is named', () => {
    expect(problemOf({ total: { gt: 1, above: 2 } })).toMatch(/above of field total/)
    expect(problemOf({ total: { gt: 1 }, user: { name: 'x' } })).toBeUndefined()
  })
})
