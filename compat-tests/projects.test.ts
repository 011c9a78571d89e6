import { beforeAll, describe, expect, inject, it } from 'vitest'
import { http, runTask, useProject } from './harness.ts'

describe('tasks on SDK 4.0.7', () => {
  const project = inject('sdk407')
  beforeAll(() => useProject(project))

  it('run, wait and set metadata', async () => {
    expect(await runTask('older', { name: 'you' })).toMatchObject({ output: { hello: 'you' }, metadata: { sdk: '4.0.7' } })
  })
  it('wait for children', async () => {
    expect((await runTask('older-parent')).output).toEqual(['one', 'two', 'three'])
  })
  it('retry', async () => {
    expect(await runTask('older-fails')).toMatchObject({ output: 2, attemptCount: 2 })
  })
  it('log', async () => {
    const run = await runTask('older', { name: 'log' })
    const { body } = await http('GET', `/api/v1/runs/${run.id}/events`, undefined, {
      authorization: `Bearer ${project.secretKey}`,
    })
    expect(JSON.stringify(body)).toContain('from an older SDK')
  })
})

describe('tasks with libraries', () => {
  const baseUrl = inject('standIn')
  beforeAll(() => useProject(inject('libraries')))

  it('call openai', async () => {
    expect(await runTask('openai', { baseUrl })).toMatchObject({ status: 'COMPLETED', output: 'hello from the stand-in' })
  })
  it('use the ai package', async () => {
    expect(await runTask('ai', { baseUrl })).toMatchObject({ status: 'COMPLETED', output: 'hello from the stand-in' })
  })
  it('call stripe', async () => {
    expect(await runTask('stripe', { baseUrl })).toMatchObject({ status: 'COMPLETED', output: 'cus_standin' })
  })
  it('load resend', async () => {
    expect((await runTask('resend')).output).toBe('function')
  })
  it('validate with zod', async () => {
    expect((await runTask('zod', { email: 'a@example.com', when: '2026-05-05' })).output).toEqual({
      email: 'a@example.com',
      year: 2026,
    })
  })
  it('use JSON, dynamic import, top-level await, private fields and shared files, fresh in each run', async () => {
    const expected = { started: 'top level await', greeting: 'hello from JSON', lazy: 'loaded on demand', count: 2, made: 1 }
    expect((await runTask('language')).output).toEqual(expected)
    expect((await runTask('language')).output).toEqual(expected)
    expect((await runTask('other-user')).output).toEqual({ made: 1 })
  })
})
