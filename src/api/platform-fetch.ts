/** The same app for calls from inside task isolates: already authenticated as the run's environment, by RPC. */
import type { Env } from '../contracts/bindings.ts'
import { createApp } from './app.ts'
import { markFromRun, type PlatformCaller } from './request.ts'
import type { App } from './route.ts'

export type { PlatformCaller }

let app: App | undefined

export async function platformFetch(request: Request, env: Env, caller: PlatformCaller): Promise<Response> {
  app ??= createApp()
  markFromRun(request, caller)
  return app.fetch(request, env)
}
