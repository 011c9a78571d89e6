import type { Understanding } from '../../contracts/sentence.ts'
export function understand(..._: unknown[]): Understanding {
  return { understood: false, code: 'NO_MATCH', message: 'stub', candidates: [] }
}
