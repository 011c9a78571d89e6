import { describe, expect, it } from 'vitest'
import { type AfterFreeze, afterFreeze, aloneMs, type Suspect } from './freeze.ts'

/** Plays the process: runs start when they are due; a spinning one freezes it at once and everybody who runs is lost. */
function play(spinning: string[], calm: string[]): { blamed: string[]; freezes: number } {
  const all = new Map<string, { suspect: Suspect; at: number; isRunning: boolean }>()
  let lease = 0
  let now = 0
  for (const id of [...spinning, ...calm]) all.set(id, { suspect: { id, lease: 0, freezes: 0 }, at: 0, isRunning: false })
  const blamed: string[] = []
  for (let freezes = 0; freezes < 20; freezes++) {
    const due = [...all.values()].filter((run) => !run.isRunning).sort((a, b) => a.at - b.at)
    let frozen = false
    for (const run of due) {
      now = Math.max(now, run.at)
      run.isRunning = true
      run.suspect.lease = ++lease
      if (spinning.includes(run.suspect.id)) {
        frozen = true
        break
      }
    }
    if (!frozen) return { blamed, freezes }
    now += 10_000
    const suspects = [...all.values()].filter((run) => run.isRunning)
    for (const decision of afterFreeze(
      suspects.map((run) => run.suspect),
      now,
    ) as AfterFreeze[]) {
      const run = all.get(decision.id)
      if (!run) continue
      run.isRunning = false
      run.suspect.freezes += 1
      if (decision.kind === 'blamed') {
        blamed.push(decision.id)
        all.delete(decision.id)
        for (const waiting of all.values()) waiting.at = Math.min(waiting.at, now)
      } else run.at = decision.at
    }
  }
  return { blamed, freezes: 20 }
}

describe('a process that froze', () => {
  it('gives a single suspect a second chance, then blames it', () => {
    expect(afterFreeze([{ id: 'a', lease: 1, freezes: 0 }], 5)).toEqual([{ id: 'a', kind: 'again', at: 5 }])
    expect(afterFreeze([{ id: 'a', lease: 2, freezes: 1 }], 5)).toEqual([{ id: 'a', kind: 'blamed' }])
    expect(afterFreeze([], 5)).toEqual([])
  })

  it('lets the last started run alone first', () => {
    const suspects = [1, 3, 2].map((lease) => ({ id: `r${lease}`, lease, freezes: 1 }))
    expect(afterFreeze(suspects, 0).map((decision) => [decision.id, 'at' in decision && decision.at])).toEqual([
      ['r3', 0],
      ['r2', aloneMs],
      ['r1', aloneMs],
    ])
  })

  it.each([
    [['s'], []],
    [['s'], ['a']],
    [['s'], ['a', 'b', 'c', 'd']],
    [
      ['s', 't'],
      ['a', 'b'],
    ],
  ])('blames %j and none of %j', (spinning, calm) => {
    const { blamed, freezes } = play(spinning, calm)
    expect(blamed.sort()).toEqual([...spinning].sort())
    expect(freezes).toBeLessThanOrEqual(spinning.length * 4)
  })
})
