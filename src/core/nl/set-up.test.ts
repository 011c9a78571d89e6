import { expect, it } from 'vitest'
import { withoutSetUp } from './set-up.ts'

const read = (text: string): string | undefined => withoutSetUp({ strings: [text], values: [] })?.strings[0]

it.each([
  ['set up background job to process uploaded videos', 'when a video is uploaded, process video'],
  ['Set up a background job to process all uploaded videos.', 'when a video is uploaded, process video'],
  ['create a job that scans new entries', 'when an entry is created, scans entry'],
  ['please make a worker to notify failed boxes', 'when a box is failed, notify box'],
  ['set up a job to run cleanup every day at 3am', 'run cleanup every day at 3am'],
  ['create a task to send the digest', 'send the digest'],
])('%s stands for: %s', (text, meaning) => {
  expect(read(text)).toBe(meaning)
})

it.each([
  'process uploaded videos',
  'schedule daily cleanup at 3am',
  'retry all failed jobs from yesterday',
  'create gallery from x',
  '',
])('%s is not put that way', (text) => {
  expect(read(text)).toBeUndefined()
})

it('keeps the values where they were', () => {
  const read = withoutSetUp({ strings: ['set up a job to email ', ' each morning'], values: ['ada@example.com'] })
  expect(read).toEqual({ strings: ['email ', ' each morning'], values: ['ada@example.com'] })
})
