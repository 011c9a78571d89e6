/**
 * Reads an uploaded tar.gz as a stream. At most one file is held while it is read, and only files the linker needs are kept.
 * Must stay true: nothing of an archive is trusted; sizes and counts are checked before memory is taken.
 */
import { BundleError, mebibytes } from './bundle-error.ts'

export interface UnpackLimits {
  /** Bytes after unpacking, whole archive. */
  totalBytes: number
  fileBytes: number
  files: number
  /** Bytes of the files that are kept (modules, maps, JSON): they must fit the 128 MB of the Worker. */
  keptBytes: number
}

export const defaultUnpackLimits: UnpackLimits = {
  totalBytes: 200 * 1_048_576,
  fileBytes: 60 * 1_048_576,
  files: 5_000,
  keptBytes: 80 * 1_048_576,
}

export type BundleFiles = Map<string, string | Uint8Array>

const block = 512
/** Long names and pax records are short; a bigger one is an attack on memory. */
const metadataBytes = 1_048_576
const textFile = /\.(?:mjs|cjs|js|json|map)$/
/** Kept as an empty marker: classify.ts wants to know they exist. */
const nativeFile = /\.(?:node|wasm)$/

export async function unpackBundle(
  stream: ReadableStream<Uint8Array>,
  limits: UnpackLimits = defaultUnpackLimits,
): Promise<BundleFiles> {
  const gunzip = new DecompressionStream('gzip') as unknown as ReadableWritablePair<Uint8Array, Uint8Array>
  const source = new ByteReader(stream.pipeThrough(gunzip).getReader(), limits.totalBytes)
  try {
    return await readArchive(source, limits)
  } finally {
    source.cancel()
  }
}

async function readArchive(source: ByteReader, limits: UnpackLimits): Promise<BundleFiles> {
  const files: BundleFiles = new Map()
  let count = 0
  let kept = 0
  let longName: string | undefined
  let pax: Record<string, string> = {}
  for (;;) {
    const header = await source.take(block, 'header')
    if (header.every((byte) => byte === 0)) break
    checkSum(header)
    const type = String.fromCharCode(header[156] ?? 0)
    let size = octal(header.subarray(124, 136))
    if (type === 'x' || type === 'g' || type === 'L' || type === 'K') {
      if (size > metadataBytes) throw new BundleError('BAD_ARCHIVE', `A name in the archive is ${size} bytes long.`)
      const body = await source.take(size, 'name')
      await source.skip(padding(size))
      if (type === 'x') pax = { ...pax, ...paxRecords(body) }
      if (type === 'L') longName = text(body)
      continue
    }
    if (pax.size !== undefined) size = Number(pax.size)
    if (!Number.isSafeInteger(size) || size < 0)
      throw new BundleError('BAD_ARCHIVE', 'A file of the archive has an unreadable size.')
    const raw = pax.path ?? longName ?? headerName(header)
    pax = {}
    longName = undefined
    const path = safePath(raw)
    if (type === '5') {
      await source.skip(size + padding(size))
      continue
    }
    if (type !== '0' && type !== '\0' && type !== '7') {
      throw new BundleError(
        'UNSUPPORTED_ENTRY',
        `The archive holds "${raw}", which is ${entryKind(type)}; only plain files are allowed.`,
      )
    }
    count += 1
    if (count > limits.files) throw new BundleError('TOO_MANY_FILES', `The archive holds more than ${limits.files} files.`)
    if (size > limits.fileBytes) {
      throw new BundleError(
        'FILE_TOO_LARGE',
        `"${path}" is ${mebibytes(size)}; a file may be at most ${mebibytes(limits.fileBytes)}.`,
      )
    }
    if (textFile.test(path)) {
      kept += size
      if (kept > limits.keptBytes) {
        throw new BundleError('BUNDLE_TOO_LARGE', `The bundle's code and maps are more than ${mebibytes(limits.keptBytes)}.`)
      }
      files.set(path, text(await source.take(size, path)))
    } else {
      await source.skip(size)
      if (nativeFile.test(path)) files.set(path, new Uint8Array(0))
    }
    await source.skip(padding(size))
  }
  return files
}

/** Hands out exact numbers of bytes of a stream, holding no more than one chunk beyond what was asked. */
class ByteReader {
  #reader: ReadableStreamDefaultReader<Uint8Array>
  #chunk: Uint8Array = new Uint8Array(0)
  #read = 0
  #limit: number

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>, limit: number) {
    this.#reader = reader
    this.#limit = limit
  }

  async take(size: number, what: string): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    let missing = size
    while (missing > 0) {
      const part = await this.#next(missing, what)
      parts.push(part)
      missing -= part.byteLength
    }
    const [only] = parts
    if (parts.length === 1 && only) return only
    const whole = new Uint8Array(size)
    let at = 0
    for (const part of parts) {
      whole.set(part, at)
      at += part.byteLength
    }
    return whole
  }

  async skip(size: number): Promise<void> {
    let missing = size
    while (missing > 0) missing -= (await this.#next(missing, 'file')).byteLength
  }

  async #next(most: number, what: string): Promise<Uint8Array> {
    while (this.#chunk.byteLength === 0) {
      const { done, value } = await this.#pull()
      if (done)
        throw new BundleError('TRUNCATED_ARCHIVE', `The archive ends after ${this.#read} bytes, in the middle of a ${what}.`)
      this.#chunk = value
      this.#read += value.byteLength
      if (this.#read > this.#limit) {
        throw new BundleError('ARCHIVE_TOO_LARGE', `The archive unpacks to more than ${mebibytes(this.#limit)}.`)
      }
    }
    const part = this.#chunk.subarray(0, most)
    this.#chunk = this.#chunk.subarray(part.byteLength)
    return part
  }

  async #pull(): Promise<{ done: false; value: Uint8Array } | { done: true; value?: undefined }> {
    try {
      return (await this.#reader.read()) as { done: false; value: Uint8Array }
    } catch (error) {
      if (this.#read > 0)
        throw new BundleError('TRUNCATED_ARCHIVE', `The archive is cut off or damaged after ${this.#read} unpacked bytes.`)
      throw new BundleError('NOT_GZIP', `The upload is not a gzip archive (${error instanceof Error ? error.message : error}).`)
    }
  }

  /** Not awaited: a decompression that failed never answers. */
  cancel(): void {
    this.#reader.cancel().catch(() => {})
  }
}

function checkSum(header: Uint8Array): void {
  let sum = 0
  for (let at = 0; at < block; at++) sum += at >= 148 && at < 156 ? 32 : (header[at] ?? 0)
  if (sum !== octal(header.subarray(148, 156))) {
    throw new BundleError('BAD_ARCHIVE', 'The upload is not a tar archive: the checksum of a header is wrong.')
  }
}

function headerName(header: Uint8Array): string {
  const name = text(header.subarray(0, 100))
  const prefix = text(header.subarray(257, 262)) === 'ustar' ? text(header.subarray(345, 500)) : ''
  return prefix ? `${prefix}/${name}` : name
}

/** Numbers are octal text; GNU writes big ones in base 256 with the top bit set. */
function octal(field: Uint8Array): number {
  const first = field[0] ?? 0
  if (first & 0x80) {
    let value = first & 0x7f
    for (const byte of field.subarray(1)) value = value * 256 + byte
    return value
  }
  const digits = text(field).trim()
  return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN
}

function paxRecords(body: Uint8Array): Record<string, string> {
  const records: Record<string, string> = {}
  let at = 0
  while (at < body.byteLength) {
    const space = body.indexOf(32, at)
    const length = space < 0 ? Number.NaN : Number(text(body.subarray(at, space)))
    if (!Number.isSafeInteger(length) || length <= space - at || at + length > body.byteLength) {
      throw new BundleError('BAD_ARCHIVE', 'The archive holds an extended header that cannot be read.')
    }
    const record = decoder.decode(body.subarray(space + 1, at + length - 1))
    const equals = record.indexOf('=')
    if (equals > 0) records[record.slice(0, equals)] = record.slice(equals + 1)
    at += length
  }
  return records
}

function safePath(raw: string): string {
  const parts = raw.split('/').filter((part) => part !== '' && part !== '.')
  const isUnsafe =
    raw.startsWith('/') || raw.includes('\\') || raw.includes('\0') || /^[A-Za-z]:/.test(raw) || parts.includes('..')
  if (isUnsafe)
    throw new BundleError('UNSAFE_PATH', `The archive holds the path ${JSON.stringify(raw)}, which leads out of the bundle.`)
  return parts.join('/')
}

function entryKind(type: string): string {
  const kinds: Record<string, string> = {
    '1': 'a hard link',
    '2': 'a symbolic link',
    '3': 'a device',
    '4': 'a device',
    '6': 'a pipe',
  }
  return kinds[type] ?? `an entry of the unknown type ${JSON.stringify(type)}`
}

const decoder = new TextDecoder()
/** Text up to the first zero byte for short fields; files have none. */
function text(bytes: Uint8Array): string {
  const zero = bytes.byteLength <= metadataBytes ? bytes.indexOf(0) : -1
  return decoder.decode(zero < 0 ? bytes : bytes.subarray(0, zero))
}

function padding(size: number): number {
  return (block - (size % block)) % block
}
