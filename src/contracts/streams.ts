/** What a run streams while it executes: named streams of records, read by whoever may read the run. */
import type { RpcResult } from './rpc.ts'

export const streamLimits = {
  keyChars: 256,
  keys: 100,
  /** Of one record. */
  recordBytes: 524_288,
  /** Of all streams of a run. */
  bytes: 52_428_800,
  /** Of what one call to the object carries. */
  callBytes: 524_288,
  callRecords: 1_000,
} as const

export interface StreamRecord {
  /** From 0. */
  seq: number
  at: number
  /** JSON, as it was written. */
  data: string
}

export interface StreamWrite {
  key: string
  /** Who writes: its lines are counted, so that one sent twice is stored once. */
  client: string
  /** The number of the first line, among those of this client. */
  from: number
  lines: string[]
}

export interface StreamsObject {
  write(input: StreamWrite): Promise<RpcResult<{ lastIndex: number }>>
  /** Of a client's lines the last that is stored, -1 without any. */
  lastIndex(key: string, client: string): Promise<number>
  /** The newest record's number, -1 without any. */
  lastSeq(key: string): Promise<number>
  /** After this number; held open up to `waitMs` while there is nothing. */
  read(key: string, after: number, waitMs: number): Promise<StreamRecord[]>
}
