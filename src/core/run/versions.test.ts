import { expect, it } from 'vitest'
import { isNewerVersion } from './versions.ts'

it.each([
  ['20260102.1', '20260101.9', true],
  ['20260101.10', '20260101.9', true],
  ['20260101.9', '20260101.10', false],
  ['20260101.1', '20260101.1', false],
  ['20251231.5', '20260101.1', false],
])('%s is newer than %s: %s', (version, than, newer) => {
  expect(isNewerVersion(version, than)).toBe(newer)
})
