/** Requests held open until a run changes. In memory only: after a reset the caller asks again. */
export class Watchers {
  private readonly held = new Map<string, Set<() => void>>()

  has(runId: string): boolean {
    return this.held.has(runId)
  }

  wake(runId: string): void {
    const waiting = this.held.get(runId)
    this.held.delete(runId)
    for (const resolve of waiting ?? []) resolve()
  }

  /** Until the run is changed, or for this long. */
  async changed(runId: string, waitMs: number): Promise<void> {
    const waiting = this.held.get(runId) ?? new Set()
    this.held.set(runId, waiting)
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        waiting.delete(done)
        if (waiting.size === 0 && this.held.get(runId) === waiting) this.held.delete(runId)
        resolve()
      }
      const timer = setTimeout(done, waitMs)
      waiting.add(done)
    })
  }
}
