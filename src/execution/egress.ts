/**
 * The way out for task code. Every fetch, every redirect hop and every TCP connection of an isolate passes here.
 * Private addresses are refused on the *resolved* address by the local host's network service; Cloudflare's network
 * does so itself in production. What is refused here needs no resolving: the platform's own port and literal addresses.
 */
export interface EgressPolicy {
  allowPrivate: boolean
  /** Ports of the platform itself on this machine (local host only): out of reach whatever the switch says. */
  platformPorts: number[]
}

export function refuseTarget(hostname: string, port: number, policy: EgressPolicy): string | undefined {
  if (policy.platformPorts.includes(port)) return `Port ${port} belongs to the platform; tasks cannot call it directly.`
  if (isMetadataAddress(hostname)) return `The address ${hostname} is a metadata service and is never reachable from tasks.`
  if (!policy.allowPrivate && isPrivateLiteral(hostname))
    return `The address ${hostname} is private; tasks reach public addresses only.`
  return undefined
}

function isMetadataAddress(hostname: string): boolean {
  return hostname.startsWith('169.254.') || hostname === 'metadata.google.internal' || /^\[?f[ed]00:ec2::254\]?$/i.test(hostname)
}

/** URL parsing has already turned decimal, octal and hexadecimal IPv4 forms into dotted quads. */
export function isPrivateLiteral(hostname: string): boolean {
  const host = hostname.toLowerCase().replace(/^\[|\]$/g, '')
  if (host === 'localhost' || host.endsWith('.localhost')) return true
  const quad = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host)
  if (quad) return isPrivateQuad(Number(quad[1]), Number(quad[2]))
  if (!host.includes(':')) return false
  if (host === '::' || host === '::1') return true
  if (/^f[cd]/.test(host) || /^fe[89ab]/.test(host)) return true
  const mapped = /^(?:::ffff:|64:ff9b::)([0-9a-f]{1,4}):[0-9a-f]{1,4}$/.exec(host)
  if (mapped?.[1]) {
    const high = Number.parseInt(mapped[1], 16)
    return isPrivateQuad(high >> 8, high & 255)
  }
  return false
}

function isPrivateQuad(a: number, b: number): boolean {
  return (
    a === 0 ||
    a === 10 ||
    a === 127 ||
    a >= 224 ||
    (a === 100 && b >= 64 && b <= 127) ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b <= 31) ||
    (a === 192 && b === 168) ||
    (a === 198 && (b === 18 || b === 19))
  )
}

export function splitAddress(address: string): { hostname: string; port: number } {
  const at = address.lastIndexOf(':')
  return { hostname: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) }
}
