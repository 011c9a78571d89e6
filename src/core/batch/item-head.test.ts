import { describe, expect, it } from 'vitest'
import { readItemHead } from './item-head.ts'

describe('the head of an oversized item', () => {
  it('gives index and task in either order, with or without space', () => {
    expect(readItemHead('{"index":3,"task":"a\\"b","payload":"xxxx')).toEqual({ index: 3, task: 'a"b' })
    expect(readItemHead(' { "task" : "t" , "index" : 0 , "payload" : [1,{"x')).toEqual({ index: 0, task: 't' })
    expect(readItemHead('{"payload":{"index":9,"task":"no"},"index":1,"task":"yes","options":{')).toEqual({
      index: 1,
      task: 'yes',
    })
  })

  it('gives nothing when they are not whole', () => {
    expect(readItemHead('{"payload":"xxxxxxxx')).toBeUndefined()
    expect(readItemHead('{"task":"t","index":12')).toBeUndefined()
    expect(readItemHead('{"index":-1,"task":"t",')).toBeUndefined()
    expect(readItemHead('nonsense')).toBeUndefined()
  })
})
