import { describe, expect, it } from 'vitest'
import { readRegions, regionOfNew, regionProblem } from './places.ts'

describe('the regions of a platform', () => {
  it.each<[string | undefined, [string, string | undefined][], string | undefined]>([
    [undefined, [], undefined],
    ['', [], undefined],
    [
      'eu, us',
      [
        ['eu', undefined],
        ['us', undefined],
      ],
      undefined,
    ],
    [
      'eu=weur,us=enam',
      [
        ['eu', 'weur'],
        ['us', 'enam'],
      ],
      'eu',
    ],
    [
      'any, japan = apac-ne,',
      [
        ['any', undefined],
        ['japan', 'apac-ne'],
      ],
      'japan',
    ],
  ])('%s', (setting, expected, first) => {
    const regions = readRegions(setting)
    expect([...regions]).toEqual(expected)
    expect(regionOfNew(regions)).toBe(first)
  })
  it.each(['eu=mars', 'eu=', '=weur', 'eu=weur=enam', 'eu=jurisdiction:eu'])('%s is no setting', (setting) => {
    expect(() => readRegions(`us=enam,${setting}`)).toThrow(setting)
  })
  it('a run has the region of its environment, or a name that promises nothing', () => {
    const regions = readRegions('eu=weur,us=enam,label')
    expect(regionProblem('eu', regions, 'eu')).toBeUndefined()
    expect(regionProblem('eu', readRegions('us=enam'), 'eu'), 'also after the setting was changed').toBeUndefined()
    expect(regionProblem('label', regions, 'eu')).toBeUndefined()
    expect(regionProblem('us', regions, 'eu')).toContain('this environment is in "eu"')
    expect(regionProblem('us', regions, undefined)).toContain('was made without a region')
    expect(regionProblem('mars', regions, 'eu')).toBe('The region you specified doesn\'t exist ("mars").')
  })
})
