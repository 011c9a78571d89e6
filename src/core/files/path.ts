/** Paths of the file tree: absolute, with single slashes, without `.` and `..`. */
import { fileLimits } from '../../contracts/files.ts'

/** The path in its one form, or why it is none. The root is `/`. */
export function readPath(text: string): { path: string } | { refusal: string } {
  const segments = text.split('/').filter((segment) => segment !== '' && segment !== '.')
  if (segments.includes('..')) return { refusal: 'path must not contain ..' }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(text)) return { refusal: 'path must not contain control characters' }
  if (!text.isWellFormed()) return { refusal: 'path is not valid Unicode' }
  if (segments.length > fileLimits.pathSegments)
    return { refusal: `path has ${segments.length} segments; at most ${fileLimits.pathSegments} are taken` }
  const path = `/${segments.join('/')}`
  const bytes = new TextEncoder().encode(path).length
  if (bytes > fileLimits.pathBytes) return { refusal: `path is ${bytes} bytes long; at most ${fileLimits.pathBytes} are taken` }
  return { path }
}

/** The folders a path lies in, without the root. */
export function foldersOf(path: string): string[] {
  const segments = path.split('/').slice(1, -1)
  return segments.map((_, index) => `/${segments.slice(0, index + 1).join('/')}`)
}

/** What every path beneath a folder begins with, and the first text after all of them. */
export function rangeOf(folder: string): { from: string; to: string } {
  const prefix = folder === '/' ? '/' : `${folder}/`
  // `0` follows `/` in the order of bytes.
  return { from: prefix, to: `${prefix.slice(0, -1)}0` }
}
