/** A streaming reader of multipart/form-data that hands out one part's bytes without holding the form in memory. */
export function boundaryOf(contentType: string): string | undefined {
  const match = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType)
  return match?.[1] ?? match?.[2]
}

/** The bytes of the first part whose field is `name`, as they arrive. Throws when the form ends without one. */
export async function* readPart(body: ReadableStream<Uint8Array>, boundary: string, name: string): AsyncGenerator<Uint8Array> {
  const delimiter = new TextEncoder().encode(`\r\n--${boundary}`)
  const reader = body.getReader()
  // The first delimiter has no line break before it.
  let buffer: Uint8Array = new Uint8Array([13, 10])
  let state: 'preamble' | 'headers' | 'skip' | 'wanted' = 'preamble'
  for (;;) {
    for (;;) {
      if (state === 'headers') {
        const end = indexOf(buffer, new Uint8Array([13, 10, 13, 10]))
        if (end < 0) {
          if (buffer.length > 16_384) throw new Error('The headers of a form part are too long.')
          break
        }
        const headers = new TextDecoder().decode(buffer.subarray(0, end))
        if (headers.startsWith('--')) throw new Error(`The form has no ${name} field.`)
        state = new RegExp(`;\\s*name="${name}"`, 'i').test(headers) ? 'wanted' : 'skip'
        buffer = buffer.subarray(end + 4)
        continue
      }
      const at = indexOf(buffer, delimiter)
      if (at >= 0) {
        if (state === 'wanted') {
          if (at > 0) yield buffer.slice(0, at)
          await reader.cancel()
          return
        }
        buffer = buffer.subarray(at + delimiter.length)
        state = 'headers'
        continue
      }
      // A delimiter may begin in the tail.
      const safe = buffer.length - delimiter.length
      if (safe > 0) {
        if (state === 'wanted') yield buffer.slice(0, safe)
        buffer = buffer.subarray(safe)
      }
      break
    }
    const { done, value } = await reader.read()
    if (done) throw new Error(state === 'headers' ? `The form has no ${name} field.` : 'The form ended in the middle of a part.')
    buffer = concat(buffer, value)
  }
}

function concat(left: Uint8Array, right: Uint8Array): Uint8Array {
  const joined = new Uint8Array(left.length + right.length)
  joined.set(left)
  joined.set(right, left.length)
  return joined
}

function indexOf(buffer: Uint8Array, pattern: Uint8Array): number {
  const first = pattern[0] as number
  for (let at = buffer.indexOf(first); at >= 0 && at + pattern.length <= buffer.length; at = buffer.indexOf(first, at + 1)) {
    let same = 1
    while (same < pattern.length && buffer[at + same] === pattern[same]) same++
    if (same === pattern.length) return at
  }
  return -1
}
