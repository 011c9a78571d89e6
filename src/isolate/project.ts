/** The project's own code in one instance: config, `init` and task files, evaluated by need. */

import type { IsolateBundle } from '../contracts/isolate.ts'
import type { Core, LifecycleHooks } from './core.ts'

export interface ProjectConfig {
  retries?: { default?: Record<string, unknown>; enabledInDev?: boolean }
  machine?: string
  maxDuration?: number
  ttl?: string | number
  logLevel?: string
  enableConsoleLogging?: boolean
  disableConsoleInterceptor?: boolean
  [hook: string]: unknown
}

/** One instance of the bundle's fresh code. */
export interface Instance {
  import(path: string): Promise<Record<string, unknown>>
}

/** Reads the config and registers the hooks it names. */
export async function loadConfig(core: Core, instance: Instance, bundle: IsolateBundle): Promise<ProjectConfig> {
  const module = await instance.import(bundle.configPath)
  const config = (module.default ?? module.config ?? {}) as ProjectConfig
  const hooks: LifecycleHooks = core.get('lifecycleHooks')
  const register = (name: string, fn: unknown): void => {
    if (typeof fn === 'function') hooks[`registerGlobal${name}Hook`]?.({ id: 'config', fn })
  }
  register('Init', config.init)
  register('Start', config.onStart)
  register('Success', config.onSuccess)
  register('Failure', config.onFailure)
  register('CatchError', module.handleError)
  return config
}
