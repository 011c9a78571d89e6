/** Where stored packets live in R2 and how they are named (api-surface.md §5). */
import type { EnvironmentIdentity } from './rpc.ts'

/** Environments of one slug exist several times (dev per user, branches), so the object key has the environment's id. */
export function packetKey(identity: Pick<EnvironmentIdentity, 'projectRef' | 'id'>, path: string): string {
  return `packets/${identity.projectRef}/${identity.id}/${path}`
}

export function packetExtension(dataType: string): string {
  return dataType === 'application/json' || dataType === 'application/super+json' ? 'json' : 'txt'
}

/** The relative path a client may name, or undefined. */
export function cleanPacketPath(raw: string): string | undefined {
  const path = raw.replace(/^[a-z0-9]+:\/\//, '')
  if (!path || path.includes('\\') || path.startsWith('/') || path.length > 1_024) return undefined
  for (const segment of path.split('/')) {
    let decoded: string
    try {
      decoded = decodeURIComponent(segment)
    } catch {
      return undefined
    }
    if (decoded === '' || decoded === '.' || decoded === '..' || /[/\\]/.test(decoded)) return undefined
  }
  return path
}
