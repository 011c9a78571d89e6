/** Streams of a run: opened in its environment, written and read in an object of their own. */
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { objectNames } from '../contracts/objects.ts'
import type { Caller, RunDetail } from '../contracts/rpc.ts'
import { isFinalStatus } from '../contracts/statuses.ts'
import { type StreamRecord, type StreamsObject, streamLimits } from '../contracts/streams.ts'
import { repeated, unwrap } from './objects.ts'
import { onRun } from './runs.ts'

export function checkStreamKey(key: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (key === '' || key.length > streamLimits.keyChars || /[\u0000-\u001f]/.test(key))
    throw new OperationError('INVALID_REQUEST', `The key of a stream has 1 to ${streamLimits.keyChars} characters.`)
  return key
}

/** The run shows it from now on. One that shows it already is not asked again: writers come many times a second. */
export async function openStream(env: Env, caller: Caller, run: RunDetail, key: string): Promise<void> {
  if (run.streams?.includes(key) && !isFinalStatus(run.status)) return
  await onRun(env, caller, run.id, 'Run not found', (environment) => environment.addRunStream(caller, run.id, key))
}

export interface Writer {
  key: string
  client: string
  /** The number of the next line. */
  next: number
}

/** In calls of a size objects take; `next` moves on with each. */
export async function writeLines(env: Env, runId: string, writer: Writer, lines: string[]): Promise<void> {
  for (let at = 0; at < lines.length; ) {
    let end = at
    let size = 0
    while (end < lines.length && end - at < streamLimits.callRecords) {
      const { length } = lines[end] as string
      if (length > streamLimits.recordBytes)
        throw new OperationError('TOO_LARGE', `A record of a stream is at most ${streamLimits.recordBytes} bytes long.`)
      if (end > at && size + length > streamLimits.callBytes) break
      size += length
      end++
    }
    const part = lines.slice(at, end)
    const { key, client, next } = writer
    unwrap(await repeated(() => streamsOf(env, runId).write({ key, client, from: next, lines: part })))
    writer.next += part.length
    at = end
  }
}

export function lastIndex(env: Env, runId: string, key: string, client: string): Promise<number> {
  return repeated(() => streamsOf(env, runId).lastIndex(key, client))
}

export function lastSeq(env: Env, runId: string, key: string): Promise<number> {
  return repeated(() => streamsOf(env, runId).lastSeq(key))
}

export function readStream(env: Env, runId: string, key: string, after: number, waitMs: number): Promise<StreamRecord[]> {
  return repeated(() => streamsOf(env, runId).read(key, after, waitMs))
}

function streamsOf(env: Env, runId: string): StreamsObject {
  return env.STREAMS.get(env.STREAMS.idFromName(objectNames.streams(runId))) as unknown as StreamsObject
}
