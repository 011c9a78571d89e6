/**
 * On one machine a task that never yields stops the whole process; the local host replaces it after a silence, and every run
 * that was executing is a suspect. Each gets a turn in which it is the only one: who freezes the process then, did it, and the
 * others go on at once.
 */
export interface Suspect {
  id: string
  /** Leases grow with time: the run that started last is the first to suspect. */
  lease: number
  /** Freezes it was part of in a row. */
  freezes: number
}

export type AfterFreeze = { id: string; kind: 'again'; at: number } | { id: string; kind: 'blamed' }

/** Longer than the silence that gives a freeze away. */
export const aloneMs = 45_000

export function afterFreeze(suspects: Suspect[], now: number): AfterFreeze[] {
  const [first, ...others] = [...suspects].sort((a, b) => b.lease - a.lease)
  if (!first) return []
  if (others.length === 0 && first.freezes > 0) return [{ id: first.id, kind: 'blamed' }]
  return [
    { id: first.id, kind: 'again', at: now },
    ...others.map(({ id }) => ({ id, kind: 'again' as const, at: now + aloneMs })),
  ]
}
