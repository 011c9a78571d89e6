/**
 * An answer that is held open until there is something to say. Meanwhile blanks go out, which JSON allows before a value: they
 * are how a client that left is noticed.
 */
const blankEveryMs = 1_000
/** What is refused at once keeps its own status. */
const atOnceMs = 50

export async function heldJson<T>(
  answer: Promise<T>,
  present: (value: T) => unknown,
  /** What is said when it fails after the headers went out. */
  otherwise: T,
  onGone: () => void,
): Promise<Response> {
  const first = await Promise.race([answer.then((value) => ({ value })), scheduler.wait(atOnceMs).then(() => undefined)])
  if (first) return Response.json(present(first.value))
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const encoder = new TextEncoder()
  let isOver = false
  const leave = (): void => {
    clearInterval(blanks)
    if (!isOver) onGone()
    isOver = true
  }
  const blanks = setInterval(() => void writer.write(encoder.encode(' ')).catch(leave), blankEveryMs)
  writer.closed.catch(leave)
  void answer
    .catch(() => otherwise)
    .then(async (value) => {
      clearInterval(blanks)
      isOver = true
      await writer.write(encoder.encode(JSON.stringify(present(value))))
      await writer.close()
    })
    .catch(() => {})
  return new Response(readable, { headers: { 'content-type': 'application/json' } })
}
