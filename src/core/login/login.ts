/**
 * A login of the CLI: it asks for one, a browser approves it, and only who holds both the CLI's secret (the verifier behind the
 * challenge) and the code the approving browser was given gets the token. Whoever sends somebody else the address of a login of
 * their own gains nothing by the approval.
 */
import type { LoginRecord as Login, LoginState } from '../../contracts/objects.ts'

export type { Login, LoginState }

export const loginMs = 600_000
export const wrongAtMost = 5

export function stateOf(login: Login | undefined, now: number): LoginState {
  if (!login || login.createdAt + loginMs <= now) return 'expired'
  if (login.usedAt !== undefined) return 'used'
  if (login.wrong >= wrongAtMost) return 'locked'
  return login.approved ? 'approved' : 'open'
}

export interface Proof {
  challenge: string
  codeHash: string
}

/** What the CLI's proof is worth: a wrong one counts, one that comes too early does not. */
export function judgeProof(login: Login | undefined, proof: Proof | undefined, now: number): 'token' | 'wait' | 'wrong' | 'over' {
  const state = stateOf(login, now)
  if (state === 'open' && !proof) return 'wait'
  if (!login || (state !== 'open' && state !== 'approved')) return 'over'
  if (!proof) return 'wait'
  const { approved } = login
  return approved && proof.challenge === login.challenge && proof.codeHash === approved.codeHash ? 'token' : 'wrong'
}
