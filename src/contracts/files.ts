/** The file tree of an environment: what tasks and their callers keep beside payloads and outputs. */
import type { RpcResult } from './rpc.ts'

export const fileLimits = {
  pathBytes: 1_024,
  /** Folders of a path, the file included. */
  pathSegments: 64,
  patternChars: 512,
  /** What `{a,b}` of a pattern unfolds to. */
  patternAlternatives: 64,
  /** Larger files go to the bucket. */
  inlineBytes: 65_536,
  fileBytes: 33_554_432,
  /** Of all files of an environment. */
  treeBytes: 5_368_709_120,
  treeFiles: 1_000_000,
  batchFiles: 1_000,
  /** Of a batch's body: its files are in base64. */
  batchBodyBytes: 8_388_608,
  page: 1_000,
  /** Rows one page of a pattern looks at: a short page with `next` comes back. */
  scannedRows: 10_000,
  removedRows: 1_000,
  /** How long an object of the bucket outlives its file, for readers that have begun. */
  garbageMs: 600_000,
  /** How long an upload may take. */
  uploadMs: 3_600_000,
} as const

export interface FileEntry {
  path: string
  size: number
  /** Epoch ms. */
  modifiedAt: number
}

export interface FolderEntry {
  path: string
  type: 'file' | 'directory'
  size?: number
  modifiedAt?: number
}

/** Small files bring their bytes, large ones the name of their object in the bucket. */
export type NewFile = { path: string; bytes: Uint8Array } | { path: string; object: string; size: number }

export interface FilePage<Entry> {
  entries: Entry[]
  /** The path the next page begins after. */
  next?: string
}

export interface FilesObject {
  /** All or nothing. */
  write(files: NewFile[]): Promise<RpcResult<FileEntry[]>>
  /** Before an upload to the bucket: the object is deleted again unless a file names it in time. */
  reserve(object: string): Promise<void>
  read(path: string): Promise<RpcResult<FileEntry & { bytes?: Uint8Array; object?: string }>>
  stat(path: string): Promise<RpcResult<FolderEntry>>
  /** What lies directly in a folder. */
  list(folder: string, after: string | undefined, limit: number): Promise<RpcResult<FilePage<FolderEntry>>>
  /** Files beneath a folder whose path from there fits the pattern. */
  glob(
    folder: string,
    pattern: string,
    options: { after?: string | undefined; limit: number; hidden: boolean },
  ): Promise<RpcResult<FilePage<FileEntry>>>
  /** A file, or with `recursive` a folder, some files at a time. */
  remove(path: string, recursive: boolean): Promise<RpcResult<{ removed: number; more: boolean }>>
}
