/**
 * The file tree of one environment. Small files lie in its rows, large ones in the bucket.
 * What must stay true: a file is there whole or not at all; a path is a file or a folder, never both; an object of the bucket
 * that no file names is deleted in the end, and never while somebody may still be reading it.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import {
  type FileEntry,
  type FilePage,
  type FilesObject,
  type FolderEntry,
  fileLimits,
  type NewFile,
} from '../contracts/files.ts'
import type { RpcResult } from '../contracts/rpc.ts'
import { compileGlob } from '../core/files/glob.ts'
import { foldersOf, rangeOf } from '../core/files/path.ts'
import {
  addToTotal,
  deleteFile,
  deleteGarbage,
  dueGarbage,
  type FileRow,
  filesExist,
  migrateFiles,
  nextGarbageAt,
  putFile,
  putGarbage,
  readContents,
  readFile,
  readTotal,
  walkFiles,
} from '../storage/file-table.ts'

const objectsPerAlarm = 500

export class FilesDO extends DurableObject<Env> implements FilesObject {
  async write(files: NewFile[]): Promise<RpcResult<FileEntry[]>> {
    const now = Date.now()
    this.#open()
    const written = this.#attempt((change) => files.map((file) => this.#put(file, now, change)))
    await this.#plan()
    return written
  }

  async reserve(object: string): Promise<void> {
    this.#open()
    putGarbage(this.#sql, object, Date.now() + fileLimits.uploadMs)
    await this.#plan()
  }

  async read(path: string): Promise<RpcResult<FileEntry & { bytes?: Uint8Array; object?: string }>> {
    const row = this.#isEmpty() ? undefined : readFile(this.#sql, path)
    if (!row) return missing(path, 'file')
    const { object, ...entry } = row
    return value(
      object === undefined ? { ...entry, bytes: readContents(this.#sql, path) ?? new Uint8Array() } : { ...entry, object },
    )
  }

  async stat(path: string): Promise<RpcResult<FolderEntry>> {
    if (path === '/') return value({ path, type: 'directory' })
    if (this.#isEmpty()) return missing(path)
    const file = readFile(this.#sql, path)
    if (file) return value({ path, type: 'file', size: file.size, modifiedAt: file.modifiedAt })
    return this.#isFolder(path) ? value({ path, type: 'directory' }) : missing(path)
  }

  async list(folder: string, after: string | undefined, limit: number): Promise<RpcResult<FilePage<FolderEntry>>> {
    if (this.#isEmpty()) return folder === '/' ? value({ entries: [] }) : missing(folder, 'folder')
    const { from: prefix, to } = rangeOf(folder)
    const entries: FolderEntry[] = []
    // One row for each child: what lies deeper is jumped over.
    let from = after === undefined ? prefix : afterChild(this.#sql, after)
    for (;;) {
      const [row] = walkFiles(this.#sql, from, to, 1)
      if (!row) break
      const last = entries.at(-1)
      if (entries.length === limit && last) return value({ entries, next: last.path })
      const slash = row.path.indexOf('/', prefix.length)
      const path = slash < 0 ? row.path : row.path.slice(0, slash)
      entries.push(slash < 0 ? { path, type: 'file', size: row.size, modifiedAt: row.modifiedAt } : { path, type: 'directory' })
      from = slash < 0 ? `${path}\u0000` : rangeOf(path).to
    }
    const isThere = entries.length > 0 || after !== undefined || folder === '/'
    return isThere ? value({ entries }) : missing(folder, 'folder')
  }

  async glob(
    folder: string,
    pattern: string,
    { after, limit, hidden }: { after?: string | undefined; limit: number; hidden: boolean },
  ): Promise<RpcResult<FilePage<FileEntry>>> {
    const glob = compileGlob(pattern, hidden)
    if ('refusal' in glob) return refused('INVALID_REQUEST', 400, glob.refusal)
    if (this.#isEmpty()) return value({ entries: [] })
    const { from, to } = rangeOf(folder)
    const entries: FileEntry[] = []
    let scanned = 0
    let last: string | undefined
    for (const { object: _, ...entry } of walkFiles(
      this.#sql,
      after ?? from,
      to,
      fileLimits.scannedRows + 1,
      after !== undefined,
    )) {
      if (entries.length === limit || scanned === fileLimits.scannedRows)
        return value({ entries, ...(last ? { next: last } : {}) })
      scanned++
      last = entry.path
      if (glob.match(entry.path.slice(from.length))) entries.push(entry)
    }
    return value({ entries })
  }

  async remove(path: string, recursive: boolean): Promise<RpcResult<{ removed: number; more: boolean }>> {
    if (this.#isEmpty()) return missing(path)
    const now = Date.now()
    const result = this.#attempt((change) => {
      const file = readFile(this.#sql, path)
      if (file) {
        this.#delete(file, now, change)
        return { removed: 1, more: false }
      }
      if (!this.#isFolder(path) && path !== '/') return undefined
      if (!recursive) throw new Refused('CONFLICT', 409, `${path} is a folder: it is removed with recursive.`)
      const { from, to } = rangeOf(path)
      const files = [...walkFiles(this.#sql, from, to, fileLimits.removedRows)]
      for (const row of files) this.#delete(row, now, change)
      return { removed: files.length, more: files.length === fileLimits.removedRows }
    })
    await this.#plan()
    if (!result.ok) return result
    return result.value ? value(result.value) : missing(path)
  }

  /** Deletes objects of the bucket that no file names any more. A failure leaves them for the next time. */
  override async alarm(): Promise<void> {
    const due = dueGarbage(this.#sql, Date.now(), objectsPerAlarm)
    if (due.length > 0) {
      await this.env.BUCKET.delete(due)
      this.ctx.storage.transactionSync(() => deleteGarbage(this.#sql, due))
    }
    await this.#plan()
  }

  get #sql(): SqlStorage {
    return this.ctx.storage.sql
  }

  /** Not in the constructor: an environment without files costs nothing. */
  #open(): void {
    migrateFiles(this.#sql)
  }

  #isEmpty(): boolean {
    return !filesExist(this.#sql)
  }

  #isFolder(path: string): boolean {
    const { from, to } = rangeOf(path)
    return [...walkFiles(this.#sql, from, to, 1)].length > 0
  }

  #put(file: NewFile, now: number, change: Change): FileEntry {
    const { path } = file
    if (path === '/') throw new Refused('CONFLICT', 409, '/ is a folder: a file cannot take its place.')
    if (this.#isFolder(path)) throw new Refused('CONFLICT', 409, `${path} is a folder: a file cannot take its place.`)
    for (const folder of foldersOf(path))
      if (readFile(this.#sql, folder)) throw new Refused('CONFLICT', 409, `${folder} is a file: nothing can lie in it.`)
    const isStored = 'object' in file
    const before = readFile(this.#sql, path)
    // The answer to the first call was lost.
    if (before && isStored && before.object === file.object) return { path, size: before.size, modifiedAt: before.modifiedAt }
    // The upload took longer than its reservation: its object may be gone by now.
    if (isStored && deleteGarbage(this.#sql, [file.object]) === 0)
      throw new Refused('CONFLICT', 409, `The upload of ${path} took too long; send it again.`)
    if (before) this.#delete(before, now, change)
    const size = isStored ? file.size : file.bytes.byteLength
    change.bytes += size
    change.files += 1
    putFile(
      this.#sql,
      { path, size, modifiedAt: now, object: isStored ? file.object : undefined },
      isStored ? undefined : file.bytes,
    )
    return { path, size, modifiedAt: now }
  }

  #delete({ path, size, object }: FileRow, now: number, change: Change): void {
    deleteFile(this.#sql, path)
    change.bytes -= size
    change.files -= 1
    if (object !== undefined) putGarbage(this.#sql, object, now + fileLimits.garbageMs)
  }

  #checkTotals(): void {
    const { treeBytes, treeFiles } = fileLimits
    if (readTotal(this.#sql, 'files') > treeFiles)
      throw new Refused('UNPROCESSABLE', 422, `An environment keeps at most ${treeFiles} files; remove some first.`)
    if (readTotal(this.#sql, 'bytes') > treeBytes)
      throw new Refused('UNPROCESSABLE', 422, `An environment keeps at most ${treeBytes} bytes of files; remove some first.`)
  }

  /** In one transaction, with the totals once for all files of it; a refusal undoes it. */
  #attempt<T>(action: (change: Change) => T): RpcResult<T> {
    try {
      return value(
        this.ctx.storage.transactionSync(() => {
          const change: Change = { bytes: 0, files: 0 }
          const result = action(change)
          addToTotal(this.#sql, 'bytes', change.bytes)
          addToTotal(this.#sql, 'files', change.files)
          if (change.bytes > 0 || change.files > 0) this.#checkTotals()
          return result
        }),
      )
    } catch (error) {
      if (error instanceof Refused) return refused(error.code, error.status, error.message)
      throw error
    }
  }

  /** Should the alarm be lost, the next change sets it again: until then some objects lie longer, nothing else. */
  async #plan(): Promise<void> {
    const due = nextGarbageAt(this.#sql)
    if (due === undefined) return
    const alarm = await this.ctx.storage.getAlarm()
    if (alarm === null || alarm > due) await this.ctx.storage.setAlarm(Math.max(due, Date.now() + 1))
  }
}

/** What a transaction adds to the totals. */
interface Change {
  bytes: number
  files: number
}

class Refused extends Error {
  readonly code: string
  readonly status: number
  constructor(code: string, status: number, message: string) {
    super(message)
    this.code = code
    this.status = status
  }
}

/** Where the children after this one begin: it was a file, or a folder whose contents are jumped over. */
function afterChild(sql: SqlStorage, child: string): string {
  return readFile(sql, child) ? `${child}\u0000` : rangeOf(child).to
}

function value<T>(result: T): RpcResult<T> {
  return { ok: true, value: result }
}

function refused(
  code: string,
  status: number,
  message: string,
): { ok: false; error: { code: string; message: string; status: number } } {
  return { ok: false, error: { code, message, status } }
}

function missing(path: string, what = 'file or folder'): ReturnType<typeof refused> {
  return refused('NOT_FOUND', 404, `There is no ${what} ${path}.`)
}
