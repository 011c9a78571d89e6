import { describe, expect, it } from 'vitest'
import { type Due, DueList, type HeldBack } from './due-list.ts'

function drain(list: DueList, now: number): string[] {
  const ids: string[] = []
  for (let due = list.pop(now); due; due = list.pop(now)) ids.push(due.id)
  return ids
}

describe('the due list', () => {
  it('gives what is due, earliest first', () => {
    const list = new DueList()
    const times = [5, 3, 9, 1, 7, 3, 8, 2]
    for (const at of times) list.add({ at, kind: 'start', id: String(at) })
    expect(list.earliest()).toBe(1)
    expect(drain(list, 7)).toEqual(['1', '2', '3', '3', '5', '7'])
    expect(list.earliest()).toBe(8)
  })

  it('holds back what failed, longer each time, also in a list built anew', () => {
    const heldBack: HeldBack = new Map()
    const bad: Due = { at: 100, kind: 'ttl', id: 'bad' }
    let list = new DueList(heldBack)
    list.add(bad)
    list.add({ ...bad, at: 101 })
    list.putOff(list.pop(200) as Due, 200)
    expect(list.earliest()).toBe(30_200)
    list = new DueList(heldBack)
    list.add(bad)
    list.add({ at: 150, kind: 'start', id: 'bad' })
    expect(drain(list, 200)).toEqual(['bad'])
    expect(drain(list, 30_199)).toEqual([])
    list.putOff(list.pop(30_200) as Due, 30_200)
    expect(list.earliest()).toBe(90_200)
    list.succeeded(bad)
    list = new DueList(heldBack)
    list.add(bad)
    expect(list.earliest()).toBe(100)
  })
})
