/**
 * The SDK keeps `metadata.parent` and `metadata.root` in module variables, read once while it loads. In a shared module that
 * is before any run, so what it is given there looks the run up at each call.
 */
import { currentRun } from './active-run.ts'

type Updater = Record<string | symbol, (...args: unknown[]) => unknown>

function lateUpdater(side: 'parent' | 'root'): Updater {
  const updater: Updater = new Proxy({} as Updater, {
    get: (_target, method) => {
      return (...args: unknown[]): unknown => {
        const manager = currentRun()?.api['run-metadata'] as Record<typeof side, Updater> | undefined
        return manager ? manager[side][method]?.(...args) : updater
      }
    },
  })
  return updater
}

/** A metadata manager for code that runs outside of a run: changes nothing, knows nothing. */
export const lateMetadata: object = new Proxy(
  { parent: lateUpdater('parent'), root: lateUpdater('root') },
  { get: (target, name) => (name in target ? Reflect.get(target, name) : () => undefined) },
)
