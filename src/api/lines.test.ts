import { describe, expect, it } from 'vitest'
import { type Line, linesOf } from './lines.ts'

async function read(chunks: string[], maxBytes = 10, headBytes = 4): Promise<Line[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
      controller.close()
    },
  })
  const lines: Line[] = []
  for await (const line of linesOf(body, maxBytes, headBytes)) lines.push(line)
  return lines
}

describe('lines of an upload', () => {
  it('are whole across chunks, blank ones are skipped, the last needs no newline', async () => {
    const lines = await read(['one\n\n  \nt', 'w', 'o\nthree'])
    expect(lines).toEqual([
      { text: 'one', isWhole: true },
      { text: 'two', isWhole: true },
      { text: 'three', isWhole: true },
    ])
  })

  it('over the limit keep their beginning, and the next line is read as usual', async () => {
    const lines = await read(['a\nabcde', 'fghijk', 'lmnop', 'qrst\nb\nabcdefghijklmnop'])
    expect(lines).toEqual([
      { text: 'a', isWhole: true },
      { text: 'abcd', isWhole: false },
      { text: 'b', isWhole: true },
      { text: 'abcd', isWhole: false },
    ])
    expect(await read(['exactly 10\n'])).toEqual([{ text: 'exactly 10', isWhole: true }])
  })

  it('may split a character between chunks', async () => {
    const [first, second] = [new TextEncoder().encode('é').slice(0, 1), new TextEncoder().encode('é').slice(1)]
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(first)
        controller.enqueue(second)
        controller.close()
      },
    })
    const lines: Line[] = []
    for await (const line of linesOf(body)) lines.push(line)
    expect(lines).toEqual([{ text: 'é', isWhole: true }])
  })

  it('are read to the end when the reader gives up, so that its answer arrives', async () => {
    let pulled = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1
        if (pulled > 5) controller.close()
        else controller.enqueue(new TextEncoder().encode('line\n'))
      },
    })
    for await (const line of linesOf(body)) {
      expect(line.text).toBe('line')
      break
    }
    expect(pulled).toBe(6)
  })
})
