/** Lines of an NDJSON upload, however long the stream is. Of a line over the limit only the beginning is kept. */
import { limits } from '../contracts/limits.ts'
import { discard } from './request.ts'

export interface Line {
  text: string
  isWhole: boolean
}

/** Blank lines are skipped. */
export async function* linesOf(
  body: ReadableStream<Uint8Array>,
  maxBytes: number = limits.batchItemBytes,
  headBytes: number = limits.batchItemHeadBytes,
): AsyncGenerator<Line> {
  const reader = body.getReader()
  let pieces: Uint8Array[] = []
  let size = 0
  const keep = (piece: Uint8Array): void => {
    if (size <= maxBytes) pieces.push(piece)
    size += piece.length
    if (size > maxBytes && pieces.length > 1) pieces = [join(pieces).slice(0, headBytes)]
  }
  const take = (): Line => {
    const isWhole = size <= maxBytes
    const bytes = join(pieces)
    pieces = []
    size = 0
    return { text: new TextDecoder().decode(isWhole ? bytes : bytes.subarray(0, headBytes)), isWhole }
  }
  let isRead = false
  try {
    while (!isRead) {
      const { done, value } = await reader.read()
      isRead = done
      let rest = value
      for (let end = rest?.indexOf(10) ?? -1; rest && end >= 0; end = rest.indexOf(10)) {
        keep(rest.subarray(0, end))
        const line = take()
        if (!line.isWhole || line.text.trim() !== '') yield line
        rest = rest.subarray(end + 1)
      }
      if (rest) keep(rest)
    }
    const last = take()
    if (!last.isWhole || last.text.trim() !== '') yield last
  } finally {
    if (!isRead) await discard(reader)
  }
}

function join(pieces: Uint8Array[]): Uint8Array {
  const [first] = pieces
  if (first && pieces.length === 1) return first
  const joined = new Uint8Array(pieces.reduce((total, piece) => total + piece.length, 0))
  let offset = 0
  for (const piece of pieces) {
    joined.set(piece, offset)
    offset += piece.length
  }
  return joined
}
