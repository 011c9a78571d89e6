import { expect, it } from 'vitest'
import { payloadFields } from './payload-fields.ts'

declare const use: (...values: unknown[]) => unknown

it.each([
  [
    'a pattern',
    ({ videoId, format = { width: 1 }, size: { width }, ...rest }: Record<string, { width: number }>) =>
      use(videoId, format, width, rest),
    ['videoId', 'format', 'size'],
  ],
  ['reads', async (payload: { a: string; b: { c: string } }) => use(payload.a, payload?.b.c), ['a', 'b']],
  [
    'a pattern inside',
    (payload: { a: string; b: string }) => {
      const { a, b: other } = payload
      return use(a, other)
    },
    ['a', 'b'],
  ],
  [
    'a function',
    async function run(payload: { url: string }, { ctx }: never) {
      return use(payload.url, ctx)
    },
    ['url'],
  ],
  [
    'a method',
    {
      async run(payload: { url: string }) {
        return use(payload.url)
      },
    }.run,
    ['url'],
  ],
  ['calls are no fields', (payload: string[]) => payload.map((each) => use(each)), []],
  ['no parameter', async () => use(), []],
  [
    'another variable',
    (payload: string) => {
      const mypayload = { x: 1 }
      return use(mypayload.x, payload)
    },
    [],
  ],
  ['no function', 'text', []],
])('%s', (_name, run, fields) => {
  expect(payloadFields(run)).toEqual(fields)
})
