import fc from 'fast-check'
import { expect, it } from 'vitest'
import { connectedFrame, eventFrame, openFrame, readFrame } from './engine-io.ts'

it('reads the frames of the CLI', () => {
  expect(readFrame('40/dev-worker,')).toEqual({ kind: 'connect', namespace: '/dev-worker' })
  expect(readFrame('40')).toEqual({ kind: 'connect', namespace: '/' })
  expect(readFrame('41/dev-worker,')).toEqual({ kind: 'disconnect', namespace: '/dev-worker' })
  expect(readFrame('42/dev-worker,["run:subscribe",{"version":"1","runFriendlyIds":["run_1"]}]')).toEqual({
    kind: 'event',
    namespace: '/dev-worker',
    name: 'run:subscribe',
    data: { version: '1', runFriendlyIds: ['run_1'] },
  })
  expect(readFrame('42/dev-worker,7["with an id"]')).toMatchObject({ kind: 'event', name: 'with an id' })
  expect([readFrame('2').kind, readFrame('3').kind]).toEqual(['ping', 'pong'])
})

it('knows what it cannot read', () => {
  for (const text of ['', '4', '42', '42/dev-worker,', '42/dev-worker,{', '42/dev-worker,[1]', '42/dev-worker,null', '51-x', 'x'])
    expect(readFrame(text).kind, text).toBe('unknown')
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(readFrame(text).kind).toBeTypeOf('string')
    }),
  )
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(readFrame(`42/dev-worker,${text}`).kind).toBeTypeOf('string')
    }),
  )
})

it('writes what it would read', () => {
  expect(JSON.parse(openFrame('sid').slice(1))).toMatchObject({ sid: 'sid', upgrades: [] })
  // It feeds a timer of Node.
  const { pingInterval, pingTimeout } = JSON.parse(openFrame('sid').slice(1))
  expect(pingInterval + pingTimeout).toBeLessThan(2 ** 31)
  expect(connectedFrame('/dev-worker', 'x')).toBe('40/dev-worker,{"sid":"x"}')
  expect(readFrame(eventFrame('/dev-worker', 'run:notify', { a: 1 }))).toMatchObject({ name: 'run:notify', data: { a: 1 } })
})
