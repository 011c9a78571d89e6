/** The socket of a dev session (cli-engine-protocol.md §5). Outside the app: an answer that carries a socket cannot be copied. */
import type { Env } from '../contracts/bindings.ts'
import { objectNames } from '../contracts/objects.ts'
import { authenticate } from '../operations/authenticate.ts'

export const devSocketPath = '/socket.io/'

/** A key that is not one of a development environment is told before the socket opens: one that closes at once looks like a lost line. */
export async function openDevSocket(request: Request, env: Env): Promise<Response> {
  if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket')
    return Response.json({ error: 'Only the websocket transport is served here.' }, { status: 400 })
  if (!env.ROOT_SECRET) return Response.json({ error: 'The platform is not set up.', code: 'not_initialised' }, { status: 503 })
  const token = /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '')?.[1]?.trim()
  const principal = token && !token.startsWith('ey') ? await authenticate(env, token, undefined) : undefined
  const identity = principal?.kind === 'environment' ? principal.access.identity : undefined
  if (identity?.type !== 'DEVELOPMENT') return Response.json({ error: 'Invalid API key' }, { status: 401 })
  const id = env.ENVIRONMENT.idFromName(objectNames.environment(identity.locator))
  return env.ENVIRONMENT.get(id).fetch(request)
}
