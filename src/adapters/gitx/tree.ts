/** The file system git works on: in memory, over a listing of what is stored. Nothing is stored before `entries` are. */
import { fileLimits } from '../../contracts/files.ts'
import type { Fsx } from '../fsx/index.ts'

interface Stats {
  type: 'file' | 'dir'
  mode: number
  size: number
  ino: number
  mtimeMs: number
  ctimeMs: number
  uid: number
  gid: number
  dev: number
  isFile(): boolean
  isDirectory(): boolean
  isSymbolicLink(): boolean
}

export class Tree {
  /** Null: stored, and not read yet. */
  readonly #files = new Map<string, Uint8Array | null>()
  readonly #folders = new Set<string>(['/'])
  readonly #stored: Fsx | undefined

  private constructor(stored?: Fsx) {
    this.#stored = stored
  }

  static empty(): Tree {
    return new Tree()
  }

  /** Everything git asks about is known after one listing; contents come when they are read. */
  static async of(stored: Fsx, folder: string): Promise<Tree> {
    const tree = new Tree(stored)
    for (const path of await stored.glob(folder, '.git/**', { hidden: true })) tree.#add(path, null)
    return tree
  }

  get isEmpty(): boolean {
    return this.#files.size === 0
  }

  entries(): { path: string; content: Uint8Array }[] {
    return [...this.#files].flatMap(([path, content]) => (content ? [{ path, content }] : []))
  }

  readonly promises = {
    readFile: async (path: string, options?: string | { encoding?: string }): Promise<Uint8Array | string> => {
      const bytes = await this.#read(clean(path))
      const encoding = typeof options === 'string' ? options : options?.encoding
      return encoding ? new TextDecoder().decode(bytes) : bytes
    },
    writeFile: async (path: string, content: Uint8Array | string): Promise<void> => {
      const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : Uint8Array.from(content)
      if (bytes.length > fileLimits.fileBytes) {
        const why = path.endsWith('.pack') ? ' Clone less of the history, for example with { depth: 1 }.' : ''
        throw new RangeError(
          `${path.slice(path.lastIndexOf('/') + 1)} is ${bytes.length} bytes long; at most ${fileLimits.fileBytes} are kept.${why}`,
        )
      }
      this.#add(clean(path), bytes)
    },
    unlink: async (path: string): Promise<void> => {
      if (!this.#files.delete(clean(path))) throw failure('ENOENT', path)
    },
    readdir: async (path: string): Promise<string[]> => {
      const folder = clean(path)
      if (this.#files.has(folder)) throw failure('ENOTDIR', path)
      if (!this.#folders.has(folder)) throw failure('ENOENT', path)
      const prefix = folder === '/' ? '/' : `${folder}/`
      const names = new Set<string>()
      for (const known of [...this.#files.keys(), ...this.#folders])
        if (known.startsWith(prefix) && known !== prefix) names.add(known.slice(prefix.length).split('/')[0] as string)
      return [...names].sort()
    },
    mkdir: async (path: string): Promise<void> => {
      const folder = clean(path)
      if (this.#files.has(folder) || this.#folders.has(folder)) throw failure('EEXIST', path)
      this.#addFolder(folder)
    },
    rmdir: async (path: string): Promise<void> => {
      this.#folders.delete(clean(path))
    },
    stat: async (path: string): Promise<Stats> => this.#stat(path),
    lstat: async (path: string): Promise<Stats> => this.#stat(path),
    // A link is kept as git keeps it: its target is its content.
    readlink: async (path: string): Promise<Uint8Array> => this.#read(clean(path)),
    symlink: async (target: string, path: string): Promise<void> => this.#add(clean(path), new TextEncoder().encode(target)),
    chmod: async (): Promise<void> => {},
  }

  async #read(path: string): Promise<Uint8Array> {
    const bytes = this.#files.get(path)
    if (bytes === undefined) throw failure(this.#folders.has(path) ? 'EISDIR' : 'ENOENT', path)
    if (bytes) return bytes
    const read = await (this.#stored as Fsx).readBytes(path)
    this.#files.set(path, read)
    return read
  }

  #stat(path: string): Stats {
    const name = clean(path)
    const bytes = this.#files.get(name)
    const isFile = bytes !== undefined
    if (!isFile && !this.#folders.has(name)) throw failure('ENOENT', path)
    const type = isFile ? 'file' : 'dir'
    return {
      ...{ type, mode: isFile ? 0o100644 : 0o40755, size: bytes?.length ?? 0 },
      ...{ ino: 0, mtimeMs: 0, ctimeMs: 0, uid: 0, gid: 0, dev: 0 },
      isFile: () => isFile,
      isDirectory: () => !isFile,
      isSymbolicLink: () => false,
    }
  }

  #add(path: string, content: Uint8Array | null): void {
    this.#files.set(path, content)
    this.#addFolder(path.slice(0, path.lastIndexOf('/')) || '/')
  }

  #addFolder(path: string): void {
    for (let folder = path; !this.#folders.has(folder); folder = folder.slice(0, folder.lastIndexOf('/')) || '/')
      this.#folders.add(folder)
  }
}

function clean(path: string): string {
  return `/${path
    .split('/')
    .filter((segment) => segment !== '' && segment !== '.')
    .join('/')}`
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
