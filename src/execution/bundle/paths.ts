/** Paths inside a bundle: no leading slash, `/` between parts. */

/** Where the bundle seems to live for code that asks (`import.meta.url`, `__filename`). */
export const bundleRoot = '/bundle'

export function resolvePath(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return parts.join('/')
}

export function isRelative(specifier: string): boolean {
  return specifier.startsWith('./') || specifier.startsWith('../')
}

/** A specifier that leads from one module of the bundle to another. */
export function relativePath(from: string, to: string): string {
  const start = from.split('/').slice(0, -1)
  const end = to.split('/')
  while (start.length > 0 && start[0] === end[0] && end.length > 1) {
    start.shift()
    end.shift()
  }
  return start.length === 0 ? `./${end.join('/')}` : `${'../'.repeat(start.length)}${end.join('/')}`
}
