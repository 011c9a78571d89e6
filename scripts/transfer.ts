/**
 * `npm run environment -- export FILE [--variables]` and `import FILE [--queue-unfinished]`: an environment in one file of NDJSON.
 * Which one is said by TRIGGER_API_URL and TRIGGER_SECRET_KEY. The platform gives and takes pieces; they are joined and cut here.
 */
import { once } from 'node:events'
import { createReadStream, createWriteStream, renameSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { parseArgs } from 'node:util'

/** Below Cloudflare's limit on an upload. */
const pieceBytes = 33_554_432

interface Line {
  kind: string
  next?: string
}
interface Answer {
  [kind: string]: unknown
  refusals: { line: number; id?: string; reason: string }[]
  isComplete: boolean
}

export async function transfer(args: string[], command: string): Promise<void> {
  const usage = `Usage: ${command} export FILE [--variables] | import FILE [--queue-unfinished]`
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { variables: { type: 'boolean', default: false }, 'queue-unfinished': { type: 'boolean', default: false } },
    })
    const [verb, file, ...rest] = positionals
    if (!file || rest.length > 0 || (verb !== 'export' && verb !== 'import')) throw new Error(usage)
    if (verb === 'export') await exportTo(file, values.variables)
    else await importFrom(file, values['queue-unfinished'])
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    console.error(code?.startsWith('ERR_PARSE_ARGS') ? `${message}\n${usage}` : message)
    process.exitCode = 1
  }
}

async function call(path: string, init: RequestInit = {}): Promise<Response> {
  const { TRIGGER_API_URL: url, TRIGGER_SECRET_KEY: key } = process.env
  if (!url || !key) throw new Error('Set TRIGGER_API_URL and TRIGGER_SECRET_KEY of the environment first.')
  const headers = { authorization: `Bearer ${key}`, ...init.headers }
  const response = await fetch(new URL(`/api/v1/environment/${path}`, url), { ...init, headers })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return response
}

async function exportTo(file: string, variables: boolean): Promise<void> {
  // It may hold variables. A file that is there is whole.
  const out = createWriteStream(`${file}.part`, { mode: 0o600 })
  let [runs, after]: [number, string | undefined] = [0, undefined]
  for (let isFirst = true; isFirst || after; isFirst = false) {
    const response = await call(`export?variables=${variables}${after ? `&after=${after}` : ''}`)
    let end: Line | undefined
    for await (const text of createInterface({ input: Readable.fromWeb(response.body as never) })) {
      const line = JSON.parse(text) as Line
      if (line.kind === 'end') end = line
      else if (isFirst || line.kind !== 'environment') {
        if (line.kind === 'run') runs += 1
        if (!out.write(`${text}\n`)) await once(out, 'drain')
      }
    }
    if (!end) throw new Error(`The export was cut off; ${file} was not written. Start it again.`)
    after = end.next
  }
  out.end(`${JSON.stringify({ kind: 'end', runs })}\n`)
  await finished(out)
  renameSync(`${file}.part`, file)
  console.log(`${file}: ${runs} runs`)
}

async function importFrom(file: string, queueUnfinished: boolean): Promise<void> {
  const totals: Record<string, Record<string, number>> = {}
  let header = ''
  let piece: string[] = []
  let [size, number, isComplete] = [0, 0, false]
  const send = async (): Promise<void> => {
    if (piece.length === 0) return
    // What the platform counts as line 2.
    const first = number - piece.length + 1
    const response = await call(`import?unfinished=${queueUnfinished ? 'queue' : 'skip'}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: [header, ...piece].join('\n'),
    }).catch((error: Error) => {
      throw new Error(`Lines ${first} to ${number} of ${file}, counted from ${first - 1}: ${error.message}`)
    })
    const answer = (await response.json()) as Answer
    for (const [kind, counts] of Object.entries(answer))
      if (counts && typeof counts === 'object' && !Array.isArray(counts))
        for (const [name, count] of Object.entries(counts as Record<string, number>)) {
          totals[kind] ??= {}
          totals[kind][name] = (totals[kind][name] ?? 0) + count
        }
    for (const { line, id, reason } of answer.refusals) console.error(`line ${first + line - 2}: ${id}: ${reason}`)
    isComplete = answer.isComplete
    piece = []
    size = 0
  }
  for await (const text of createInterface({ input: createReadStream(file) })) {
    number += 1
    if (number === 1) {
      header = text
      continue
    }
    piece.push(text)
    size += Buffer.byteLength(text)
    // A packet stays with its run.
    if (size >= pieceBytes && text.startsWith('{"kind":"run"')) await send()
  }
  if (number === 1) throw new Error(`${file} has one line only`)
  await send()
  for (const [kind, counts] of Object.entries(totals)) {
    const shown = Object.entries(counts).filter(([, count]) => count > 0)
    if (shown.length > 0) console.log(`${kind}: ${shown.map(([name, count]) => `${count} ${name}`).join(', ')}`)
  }
  if (!isComplete) console.error(`${file} does not end as an export does: something may be missing.`)
}

if (import.meta.main) await transfer(process.argv.slice(2), 'npm run environment --')
