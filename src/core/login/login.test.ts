import { describe, expect, it } from 'vitest'
import { judgeProof, type Login, loginMs, stateOf, wrongAtMost } from './login.ts'

const login = (more: Partial<Login> = {}): Login => ({
  challenge: 'c',
  createdAt: 1_000,
  client: { name: 'cli' },
  wrong: 0,
  ...more,
})
const approved = { userId: 'u', codeHash: 'h' }
const proof = { challenge: 'c', codeHash: 'h' }

it.each<[Partial<Login> | undefined, number, string]>([
  [undefined, 1_000, 'expired'],
  [{}, 1_000, 'open'],
  [{}, 1_000 + loginMs - 1, 'open'],
  [{}, 1_000 + loginMs, 'expired'],
  [{ approved }, 1_000, 'approved'],
  [{ approved, usedAt: 1_001 }, 1_002, 'used'],
  [{ wrong: wrongAtMost - 1 }, 1_000, 'open'],
  [{ wrong: wrongAtMost, approved }, 1_000, 'locked'],
])('a login with %o is at %i %s, whatever else', (more, now, state) => {
  expect(stateOf(more && login(more), now)).toBe(state)
})

describe('a proof', () => {
  it('gets the token when both halves fit', () => {
    expect(judgeProof(login({ approved }), proof, 1_000)).toBe('token')
  })
  it('is wrong when one half does not, or nobody has approved', () => {
    expect(judgeProof(login({ approved }), { ...proof, challenge: 'x' }, 1_000)).toBe('wrong')
    expect(judgeProof(login({ approved }), { ...proof, codeHash: 'x' }, 1_000)).toBe('wrong')
    expect(judgeProof(login(), proof, 1_000)).toBe('wrong')
  })
  it('that is not there yet waits, and comes too late for a login that is over', () => {
    expect([judgeProof(login(), undefined, 1_000), judgeProof(login({ approved }), undefined, 1_000)]).toEqual(['wait', 'wait'])
    for (const more of [
      { approved, usedAt: 1 },
      { approved, wrong: wrongAtMost },
      { approved, createdAt: -loginMs },
    ])
      expect(judgeProof(login(more), proof, 1_000)).toBe('over')
    expect(judgeProof(undefined, proof, 1_000)).toBe('over')
  })
})
