/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { mintId, randomText } from '../contracts/ids.ts'
import type { StreamRecord } from '../contracts/streams.ts'
import { streamLimits } from '../contracts/streams.ts'
import { lastIndex, lastSeq, readStream, writeLines } from '../operations/streams.ts'
import type { StreamsDO } from './streams-do.ts'
import { bindings } from './testing.ts'

const newRun = (): string => mintId('run', randomText(6))
const write = (run: string, lines: string[], from = 0, client = 'a', key = 's'): Promise<void> =>
  writeLines(bindings, run, { key, client, next: from }, lines)
const read = (run: string, after = -1, waitMs = 0): Promise<StreamRecord[]> => readStream(bindings, run, 's', after, waitMs)
const stub = (run: string): DurableObjectStub<StreamsDO> =>
  bindings.STREAMS.get(bindings.STREAMS.idFromName(run)) as DurableObjectStub<StreamsDO>

describe('the streams of a run', () => {
  it('hold each line once and in order, over resets and lines sent again', async () => {
    const run = newRun()
    await write(run, ['0', '1'])
    await abortAllDurableObjects()
    await write(run, ['0', '1', '2'])
    await write(run, ['x'], 0, 'b')
    await write(run, ['1', '2', '3'], 1)
    await abortAllDurableObjects()
    expect((await read(run)).map(({ seq, data }) => [seq, data])).toEqual([
      [0, '0'],
      [1, '1'],
      [2, '2'],
      [3, 'x'],
      [4, '3'],
    ])
    expect((await read(run, 0)).map(({ data }) => data)).toEqual(['1', '2', 'x', '3'])
    expect([await lastSeq(bindings, run, 's'), await lastIndex(bindings, run, 's', 'a')]).toEqual([4, 3])
    expect(await lastIndex(bindings, run, 's', 'c')).toBe(-1)
  })

  it('wake who waits, and only with their own key', async () => {
    const run = newRun()
    const waiting = read(run, -1, 5_000)
    await write(run, ['other'], 0, 'a', 'other')
    await write(run, ['mine'])
    expect((await waiting).map(({ data }) => data)).toEqual(['mine'])
    expect(await read(run, 0, 30)).toEqual([])
  })

  it('are read in pieces that fit a call', async () => {
    const run = newRun()
    const line = JSON.stringify('x'.repeat(200_000))
    await write(
      run,
      Array.from({ length: 6 }, () => line),
    )
    let after = -1
    const sizes: number[] = []
    for (;;) {
      const records = await read(run, after)
      if (records.length === 0) break
      sizes.push(records.length)
      after = records.at(-1)?.seq as number
    }
    expect(sizes).toEqual([2, 2, 2])
  })

  it('refuse what is over their limits', async () => {
    const run = newRun()
    await expect(write(run, ['x'.repeat(streamLimits.recordBytes + 1)])).rejects.toThrow('524288')
    await write(run, ['a'])
    await runInDurableObject(stub(run), (instance) => Object.assign(instance, { bytes: streamLimits.bytes }))
    await expect(write(run, ['b'], 1)).rejects.toThrow(`at most ${streamLimits.bytes}`)
    expect(await read(run)).toHaveLength(1)
  })

  it('go with the run, and cost nothing before they begin', async () => {
    const run = newRun()
    expect(await read(run)).toEqual([])
    expect(await runDurableObjectAlarm(stub(run))).toBe(false)
    await write(run, ['a'])
    expect(await runDurableObjectAlarm(stub(run))).toBe(true)
    expect(await read(run)).toEqual([])
  })
})
