import { describe, expect, it } from 'vitest'
import { eventOf, Lines, placeOf } from './run-stream.ts'

describe('a stream of a run', () => {
  it('is read as events', () => {
    expect(eventOf({ seq: 3, at: 1_795_347_895_432, data: '{"i":0}' })).toBe('id: 1795347895432-3\ndata: {"i":0}\n\n')
  })

  it.each([
    [undefined, -1],
    ['', -1],
    ['1795347895432-3', 3],
    ['7', 7],
    ['-1', -1],
    ['x', undefined],
    ['1-2-3', undefined],
  ])('%s is the place %s', (text, place) => expect(placeOf(text)).toBe(place))

  it('comes in pieces that are no lines', () => {
    const lines = new Lines()
    expect(lines.push('{"a":1}\n{"b"')).toEqual(['{"a":1}'])
    expect(lines.push(':2}\n\n\r\n"c')).toEqual(['{"b":2}'])
    expect(lines.end()).toEqual(['"c'])
    expect(lines.end()).toEqual([])
  })
})
