/**
 * `trigger.do/fsx`: files that outlive a run. Each environment has one tree; its tasks and whoever has its key share it, until they
 * remove what they do not need any more. Paths begin at `/`; folders come and go with what lies in them.
 */
import { ApiError } from '../../client/errors.ts'
import { request, requestBytes } from '../../client/http.ts'
import { type Connection, checkSettings, connect, type Settings } from '../../client/settings.ts'
import { fileLimits } from '../../contracts/files.ts'

export { ApiError } from '../../client/errors.ts'
export type { Settings } from '../../client/settings.ts'

/** A file, or a folder, which has no size and no time. */
export interface Entry {
  path: string
  type: 'file' | 'directory'
  /** In bytes. */
  size?: number
  modifiedAt?: Date
}

export interface Fsx {
  /** Stores text or bytes (up to 32 MiB) as a file; one that is there is replaced. */
  write(path: string, content: string | Uint8Array): Promise<Entry>
  /** Stores many files; small ones travel together. */
  writeMany(files: { path: string; content: string | Uint8Array }[]): Promise<void>
  /** A file's text. Rejects with an {@link ApiError} of status 404 when there is none. */
  read(path: string): Promise<string>
  readBytes(path: string): Promise<Uint8Array>
  /** Undefined when nothing is there. */
  stat(path: string): Promise<Entry | undefined>
  /** What lies directly in a folder, in the order of names. */
  list(folder?: string): Promise<Entry[]>
  /**
   * The paths of all files beneath a folder that fit a pattern: `*`, `?`, `[a-z]`, `{ts,tsx}`, and `**` for any number of folders.
   * What begins with a dot is left out unless the pattern says so or `hidden` is set.
   */
  glob(root: string, pattern: string, options?: { hidden?: boolean }): Promise<string[]>
  /** Removes a file, or with `recursive` a folder. Answers how many files went; 0 when there were none. */
  remove(path: string, options?: { recursive?: boolean }): Promise<number>
}

interface Row {
  path: string
  type: 'file' | 'directory'
  size?: number
  modifiedAt?: string
}
interface Page {
  data: Row[]
  next?: string
}

/** Of one request: a third goes for base64. */
const batchBytes = fileLimits.batchBodyBytes / 2

/**
 * The tree of another API or key.
 *
 * @example
 * const staging = createFsx({ accessToken: stagingKey })
 */
export function createFsx(settings: Settings = {}): Fsx {
  const own = { ...checkSettings(settings) }
  const at = (): Connection => connect(own)

  async function pages(query: Record<string, string>): Promise<Row[]> {
    const rows: Row[] = []
    for (let after: string | undefined; ; ) {
      const page: Page = await request<Page>(at(), 'GET', address('', after === undefined ? query : { ...query, after }))
      rows.push(...page.data)
      if (page.next === undefined) return rows
      after = page.next
    }
  }

  const write: Fsx['write'] = async (path, content) =>
    entryOf(await request<Row>(at(), 'PUT', address('/content', { path }), { bytes: bytesOf(path, content) }))

  const readBytes: Fsx['readBytes'] = (path) => requestBytes(at(), 'GET', address('/content', { path }))

  return {
    write,
    readBytes,
    read: async (path) => new TextDecoder().decode(await readBytes(path)),
    async writeMany(files) {
      let group: { path: string; content: string }[] = []
      let size = 0
      const flush = async (): Promise<void> => {
        if (group.length > 0) await request(at(), 'POST', address('/batch'), { body: { files: group } })
        group = []
        size = 0
      }
      for (const { path, content } of files) {
        const bytes = bytesOf(path, content)
        if (bytes.length > batchBytes / 4) {
          await write(path, bytes)
          continue
        }
        if (size + bytes.length > batchBytes || group.length === fileLimits.batchFiles) await flush()
        group.push({ path, content: toBase64(bytes) })
        size += bytes.length + path.length
      }
      await flush()
    },
    stat: async (path) => {
      const row = await request<Row>(at(), 'GET', address('/entry', { path })).catch(noneIfMissing)
      return row && entryOf(row)
    },
    list: async (folder = '/') => (await pages({ path: folder })).map(entryOf),
    glob: async (root, pattern, { hidden = false } = {}) =>
      (await pages({ path: root, pattern, ...(hidden ? { hidden: 'true' } : {}) })).map(({ path }) => path),
    remove: async (path, { recursive = false } = {}) => {
      const query = { path, ...(recursive ? { recursive: 'true' } : {}) }
      const gone = await request<{ removed: number }>(at(), 'DELETE', address('', query)).catch(noneIfMissing)
      return gone?.removed ?? 0
    },
  }
}

/**
 * The files of the environment the code runs in, or whose key is configured.
 *
 * @example
 * await fsx.write('/reports/2026.json', JSON.stringify(report))
 * for (const path of await fsx.glob('/reports', '*.json')) console.log(await fsx.read(path))
 */
export const fsx: Fsx = /* @__PURE__ */ createFsx()

function address(route: string, query: Record<string, string> = {}): string {
  const search = new URLSearchParams(query).toString()
  return `/api/v1/files${route}${search ? `?${search}` : ''}`
}

function noneIfMissing(error: unknown): undefined {
  if (error instanceof ApiError && error.status === 404) return undefined
  throw error
}

function entryOf({ modifiedAt, ...row }: Row): Entry {
  return modifiedAt === undefined ? row : { ...row, modifiedAt: new Date(modifiedAt) }
}

function bytesOf(path: string, content: string | Uint8Array): Uint8Array {
  if (typeof content !== 'string' && !(content instanceof Uint8Array))
    throw new TypeError(`The content of ${path} must be a string or a Uint8Array.`)
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  if (bytes.length > fileLimits.fileBytes)
    throw new RangeError(`${path} is ${bytes.length} bytes long; at most ${fileLimits.fileBytes} are stored.`)
  return bytes
}

function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 32_768) text += String.fromCharCode(...bytes.subarray(at, at + 32_768))
  return btoa(text)
}
