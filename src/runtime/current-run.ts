/** Which run this code is part of: what the SDK knows, else what a host set. */
import { environment } from '../client/settings.ts'

/** Where the SDK keeps its state; `ctx` is undefined outside of a task. */
const sdkState = Symbol.for('dev.trigger.ts.api')

export function currentRunId(what: string): string {
  const state = (globalThis as Record<symbol, unknown>)[sdkState] as
    | { 'task-context'?: { ctx?: { run?: { id?: string } } } }
    | undefined
  const id = state?.['task-context']?.ctx?.run?.id ?? environment('TRIGGER_RUN_ID')
  if (!id) throw new Error(`${what} belongs into the code of a task: there is no run here.`)
  return id
}
