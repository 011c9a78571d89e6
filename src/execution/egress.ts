/**
 * The way out for task code. Every fetch, every redirect hop and every TCP connection of an isolate passes here.
 * Private addresses are refused on the *resolved* address by the local host's network service; Cloudflare's network
 * does so itself in production. What is refused here needs no resolving: the platform itself and literal addresses.
 */
export interface EgressPolicy {
  allowPrivate: boolean
  /** Ports of the platform itself on this machine (local host only): out of reach whatever the switch says. */
  platformPorts: number[]
  /** Where the platform's API answers; tasks reach it with their SDK, never by the way out. */
  platformOrigin?: string
}

/** `ALLOW_PRIVATE_EGRESS` is true, false, or the environments that may, e.g. `dev,staging`. */
export function allowsPrivate(setting: string | undefined, environmentSlug: string): boolean {
  if (setting === undefined || setting === 'false') return false
  const names = setting.split(',').map((name) => name.trim().replace(/^staging$/, 'stg'))
  return setting === 'true' || names.includes(environmentSlug)
}

export function refuseTarget(hostname: string, port: number, policy: EgressPolicy): string | undefined {
  if (policy.platformPorts.includes(port)) return `Port ${port} belongs to the platform; tasks cannot call it directly.`
  const host = canonicalHost(hostname)
  if (host === undefined) return `${hostname} is not a host name or address.`
  if (isPlatform(host, port, policy.platformOrigin))
    return `${hostname} is the platform; tasks call it with the SDK, not directly.`
  if (isMetadataAddress(host)) return `The address ${hostname} is a metadata service and is never reachable from tasks.`
  if (!policy.allowPrivate && isPrivateLiteral(host))
    return `The address ${hostname} is private; tasks reach public addresses only.`
  return undefined
}

/** As a URL has it: lower case, decimal, octal and hexadecimal IPv4 forms as dotted quads, IPv6 compressed, no final dot. */
export function canonicalHost(hostname: string): string | undefined {
  const bare = hostname.replace(/^\[|\]$/g, '')
  const text = bare.includes(':') ? `http://[${bare}]/` : `http://${bare}/`
  if (bare === '' || !URL.canParse(text)) return undefined
  const url = new URL(text)
  // Anything but a host in it would make the check look at another host than the connection.
  if (url.port !== '' || url.username !== '' || url.password !== '' || `${url.pathname}${url.search}${url.hash}` !== '/')
    return undefined
  return url.hostname.replace(/^\[|\]$|\.$/g, '')
}

function isPlatform(host: string, port: number, origin: string | undefined): boolean {
  if (!origin || !URL.canParse(origin)) return false
  const url = new URL(origin)
  return canonicalHost(url.hostname) === host && (Number(url.port) || (url.protocol === 'https:' ? 443 : 80)) === port
}

/** Link-local, and what clouds use beside it. The local host denies the same networks on the resolved address. */
export const metadataNetworks = [
  '169.254.0.0/16',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.192/32',
  'fd00:ec2::254/128',
]

function isMetadataAddress(host: string): boolean {
  if (host === 'metadata.google.internal' || host === 'metadata.goog') return true
  const groups = ipv6Groups(host)
  if (groups && groups.join(':') === 'fd00:ec2:0:0:0:0:0:254') return true
  const quad = ipv4Of(host, groups)
  if (!quad) return false
  return (quad[0] === 169 && quad[1] === 254) || metadataNetworks.includes(`${quad.join('.')}/32`)
}

export function isPrivateLiteral(hostname: string): boolean {
  const host = canonicalHost(hostname) ?? ''
  if (host === 'localhost' || host.endsWith('.localhost')) return true
  const groups = ipv6Groups(host)
  const quad = ipv4Of(host, groups)
  if (quad) return isPrivateQuad(quad[0] as number, quad[1] as number)
  if (!groups) return false
  const first = Number.parseInt(groups[0] as string, 16)
  // Unique local, link-local and site-local, multicast.
  return (first & 0xfe00) === 0xfc00 || (first & 0xff80) === 0xfe80 || first >= 0xff00
}

/** The eight groups of a canonical IPv6 address, without leading zeros. */
function ipv6Groups(host: string): string[] | undefined {
  if (!host.includes(':')) return undefined
  const [head = '', tail] = host.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = !tail ? [] : tail.split(':')
  return [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
}

/** The IPv4 address a host is, or carries inside: mapped, compatible (`::1` and `::` too), NAT64 and 6to4 forms. */
function ipv4Of(host: string, groups: string[] | undefined): number[] | undefined {
  if (!groups) return /^\d+\.\d+\.\d+\.\d+$/.test(host) ? host.split('.').map(Number) : undefined
  const prefix = groups.slice(0, 6).join(':')
  const isInside = ['0:0:0:0:0:ffff', '0:0:0:0:ffff:0', '0:0:0:0:0:0', '64:ff9b:0:0:0:0'].includes(prefix)
  const at = isInside ? 6 : groups[0] === '2002' ? 1 : undefined
  if (at === undefined) return undefined
  return groups.slice(at, at + 2).flatMap((group) => {
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 255]
  })
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
