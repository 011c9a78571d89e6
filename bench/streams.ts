/** Streams of runs: from the writer's line to the reader's event, beside a request that does nothing; and how many lines are taken. */
import { printTable, quantile, sleep } from './measure.ts'
import { type OurPeer, startOurs } from './peers/trigger-do.ts'

const tokenMs = 20
const linesPerPost = 1_000

export async function run(share: number): Promise<void> {
  const ours = await startOurs()
  try {
    const id = await waitingRun(ours)
    const tokens = Math.ceil(200 * share)
    const latencies = await tokenLatencies(ours, id, tokens)
    const trips: number[] = []
    for (let n = 0; n < tokens; n++) {
      const startedAt = performance.now()
      await (await ours.fetch('/health')).text()
      trips.push(performance.now() - startedAt)
    }
    printTable(
      `${tokens} tokens, one each ${tokenMs} ms, ms`,
      ['', 'p50', 'p99'],
      [
        ['from the write to the event', quantile(latencies, 0.5), quantile(latencies, 0.99)],
        ['a request that does nothing', quantile(trips, 0.5), quantile(trips, 0.99)],
      ],
    )
    const posts = Math.ceil(50 * share)
    const body = Array.from({ length: linesPerPost }, (_, n) => `${JSON.stringify({ token: `word ${n}` })}\n`).join('')
    const perSecond = async (path: string): Promise<number> => {
      const startedAt = performance.now()
      for (let n = 0; n < posts; n++) {
        const headers = { authorization: `Bearer ${ours.secretKey}`, 'x-resume-from-chunk': String(n * linesPerPost) }
        const answer = await ours.fetch(path, { method: 'POST', headers, body })
        await answer.text()
        if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
      }
      return (posts * linesPerPost) / ((performance.now() - startedAt) / 1_000)
    }
    const taken = await perSecond(`/realtime/v1/streams/${id}/self/bulk`)
    const appended = await perSecond(`/realtime/v1/streams/${id}/self/whole/append`)
    printTable(
      `Requests of ${linesPerPost} lines, one at a time`,
      ['', 'lines/s'],
      [
        ['as lines', taken],
        ['as one record of text', appended],
      ],
    )
    console.log(`lines to one record: ${(taken / appended).toFixed(2)}`)
  } finally {
    await ours.stop()
  }
}

async function waitingRun(ours: OurPeer): Promise<string> {
  const body = JSON.stringify({ payload: {}, options: { delay: '1h' } })
  const answer = await ours.fetch('/api/v1/tasks/noop/trigger', { method: 'POST', body })
  return ((await answer.json()) as { id: string }).id
}

async function tokenLatencies(ours: OurPeer, id: string, count: number): Promise<number[]> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const headers = { authorization: `Bearer ${ours.secretKey}` }
  const posted = fetch(`${ours.origin}/realtime/v1/streams/${id}/self/tokens`, {
    method: 'POST',
    headers,
    body: readable,
    duplex: 'half',
  } as RequestInit)
  const stop = new AbortController()
  const events = await fetch(`${ours.origin}/realtime/v1/streams/${id}/tokens`, { headers, signal: stop.signal })
  const latencies: number[] = []
  const reading = (async () => {
    let text = ''
    for await (const piece of (events.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
      text += piece
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const data = /data: (.*)/.exec(text.slice(0, end))?.[1]
        text = text.slice(end + 2)
        if (data) latencies.push(performance.now() - (JSON.parse(data) as { at: number }).at)
      }
      if (latencies.length === count) return
    }
  })()
  for (let n = 0; n < count; n++) {
    await writer.write(new TextEncoder().encode(`${JSON.stringify({ at: performance.now() })}\n`))
    await sleep(tokenMs)
  }
  await writer.close()
  await posted
  await reading
  stop.abort()
  return latencies
}
