import { describe, expect, it } from 'vitest'
import { mintId } from '../../contracts/ids.ts'
import { idBounds, listPath } from './list-path.ts'

describe('listPath', () => {
  const cases: [string, Parameters<typeof listPath>[0], unknown][] = [
    ['nothing', { size: 10 }, { by: 'id' }],
    ['a batch before all else', { size: 10, batchId: 'b', tags: ['t'] }, { by: 'batch', batchId: 'b' }],
    ['tags, each once', { size: 10, tags: ['t', 'u', 't'], tasks: ['a'] }, { by: 'tag', tags: ['t', 'u'] }],
    [
      'rare states',
      { size: 10, statuses: ['CRASHED', 'EXECUTING'], tasks: ['a'] },
      { by: 'status', live: ['EXECUTING'], endings: ['CRASHED'] },
    ],
    ['success is not rare', { size: 10, statuses: ['COMPLETED_SUCCESSFULLY', 'CRASHED'] }, { by: 'id' }],
    ['tasks', { size: 10, tasks: ['b', 'a'], statuses: ['COMPLETED_SUCCESSFULLY'] }, { by: 'task', tasks: ['b', 'a'] }],
  ]
  it.each(cases)('%s', (_name, input, path) => expect(listPath(input)).toEqual(path))
})

describe('idBounds', () => {
  it('holds every run of a period, also one created hours after the time in its id', () => {
    const [from, to] = [1_800_000_000_000, 1_800_000_060_000]
    const { first = '', end = '' } = idBounds({ from, to })
    for (const time of [from, to, from - 5 * 3_600_000]) {
      const id = mintId('run', '000000', '0', time)
      expect(id >= first && id < end, String(time)).toBe(true)
    }
    expect(mintId('run', '000000', '0', from - 7 * 3_600_000) < first).toBe(true)
    expect(mintId('run', '000000', '0', to + 120_000) >= end).toBe(true)
    expect(idBounds({})).toEqual({})
  })
})
