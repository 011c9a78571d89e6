import { describe, expect, it } from 'vitest'
import { askFor, readAnswer } from './rephrase.ts'

const request = { strings: ['have a nice word with ', ' about ', ''], values: ['ada@example.com', { plan: 'pro', seats: 3 }] }

it('tells the model the tasks and where values go, but not the values', () => {
  const [, user] = askFor(request, [
    {
      id: 'send-note',
      description: 'Writes to somebody',
      fields: [
        { name: 'to', required: true },
        { name: 'cc', required: false },
      ],
    },
  ])
  const text = user?.content as string
  expect(text).toContain('Request: have a nice word with {0} about {1}')
  expect(text).toContain('{"id":"send-note","description":"Writes to somebody","fields":["to","cc (optional)"]}')
  expect(text).toContain('{0}: an e-mail address\n{1}: an object with plan, seats')
  expect(text).not.toContain('ada@')
  expect(text).not.toContain('pro')
})

describe('an answer', () => {
  const read = (answer: string): ReturnType<typeof readAnswer> => readAnswer(answer, request)

  it('is a sentence with the values of the request', () => {
    expect(read('{"sentence":"send note to {0}"}')).toEqual({ strings: ['send note to ', ''], values: ['ada@example.com'] })
    expect(read('Sure!\n```json\n{"sentence": "send {1} to {0}"}\n```')).toEqual({
      strings: ['send ', ' to ', ''],
      values: [{ plan: 'pro', seats: 3 }, 'ada@example.com'],
    })
    expect(read('{"sentence":"run cleanup"}')).toEqual({ strings: ['run cleanup'], values: [] })
  })

  it.each([
    '',
    'no idea',
    '{"sentence":null}',
    '{"sentence":7}',
    '{"sentence":""}',
    '{"task":"x"}',
    '{',
    `{"sentence":"${'x'.repeat(501)}"}`,
    '{"sentence":"send {2}"}',
    'null',
  ])('is none when it is %j', (answer) => {
    expect(read(answer)).toBeUndefined()
  })
})
