import { runs, tasks } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { http, plain, runTask, unique, until, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

interface Event {
  message: string
  level: string
  isPartial: boolean
  runId: string
}
interface Span {
  id: string
  parentId?: string
  runId: string
  data: { message: string }
  children: Span[]
}

async function eventsWith(runId: string, ...messages: string[]): Promise<Event[]> {
  return until(
    async () => {
      const { body } = await http('GET', `/api/v1/runs/${runId}/events`)
      const events = (body as { events: Event[] }).events
      return messages.every((message) => events.some((event) => event.message.includes(message))) ? events : undefined
    },
    `events ${messages.join(', ')} of ${runId}`,
  )
}

function flatten(span: Span): Span[] {
  return [span, ...span.children.flatMap(flatten)]
}

describe.concurrent('logs and traces', () => {
  it('keep log lines with their levels', async () => {
    const word = unique('w')
    const run = await runTask('logs', { word })
    const events = await eventsWith(run.id, `info ${word}`, `warn ${word}`, `error ${word}`, `console ${word}`, `inside ${word}`)
    const level = (text: string): string | undefined => events.find((event) => event.message.includes(`${text} ${word}`))?.level
    expect(level('info')).toBe('INFO')
    expect(level('warn')).toBe('WARN')
    expect(level('error')).toBe('ERROR')
  })

  it('are there while the run still executes', async () => {
    const word = unique('w')
    const handle = await tasks.trigger('logs-slowly', { word })
    await eventsWith(handle.id, `early ${word}`)
    expect((await runs.retrieve(handle.id)).status).toBe('EXECUTING')
  })

  it('form a tree with attempt and spans', async () => {
    const word = unique('w')
    const run = await runTask('logs', { word })
    await eventsWith(run.id, 'my span')
    const { status, body } = await http('GET', `/api/v1/runs/${run.id}/trace`)
    expect(status).toBe(200)
    const messages = flatten(body.trace.rootSpan as Span).map((span) => span.data.message)
    expect(messages).toEqual(expect.arrayContaining(['Attempt 1', 'run()', 'my span']))
    expect(body.trace.rootSpan.runId).toBe(run.id)
  })

  it('mark a failed run', async () => {
    const run = await runTask('fails')
    const { body } = await http('GET', `/api/v1/runs/${run.id}/trace`)
    expect(body.trace.rootSpan.data.isError).toBe(true)
  })

  it('contain the children of a run', async () => {
    const run = await runTask('parent')
    const { body } = await http('GET', `/api/v1/runs/${run.id}/trace`)
    const all = flatten(body.trace.rootSpan as Span)
    const others = all.filter((span) => span.runId !== run.id)
    expect(new Set(others.map((span) => span.runId)).size).toBeGreaterThan(0)
    expect(others.map((span) => span.data.message)).toContain('run()')
    // Under the span of the call that started it, not beside the run.
    const parents = new Set(
      all.filter((span) => span.runId === run.id && span.id !== body.trace.rootSpan.id).map((span) => span.id),
    )
    expect(others.some((span) => parents.has(span.parentId as string))).toBe(true)
  })

  it('never show the secret key', async () => {
    const run = await runTask('leaks')
    await eventsWith(run.id, 'the key is')
    for (const part of ['events', 'trace']) {
      const { body } = await http('GET', `/api/v1/runs/${run.id}/${part}`)
      expect(JSON.stringify(body)).not.toContain(plain.secretKey)
    }
    expect(JSON.stringify(run.error)).not.toContain(plain.secretKey)
  })

  it('of an unknown run answer 404', async () => {
    expect((await http('GET', '/api/v1/runs/run_unknown/trace')).status).toBe(404)
    expect((await http('GET', '/api/v1/runs/run_unknown/events')).status).toBe(404)
  })
})

describe.concurrent('metadata', () => {
  it('A26 is changed by every operation', async () => {
    const run = await runTask('metadata', {}, { metadata: { a: 1, scalar: 1, deep: {} } })
    expect(run.output).toMatchObject({ before: { a: 1, scalar: 1, deep: {} }, count: 3 })
    expect(run.metadata).toEqual({ a: 1, b: 2, list: ['y'], count: 3, deep: { path: 'yes' }, scalar: [1, 2] })
  })

  it('A27 of parent and root is changed by children', async () => {
    const run = await runTask('metadata-parent')
    const metadata = await until(async () => {
      const current = (await runs.retrieve(run.id)).metadata
      return current?.hits === 3 ? current : undefined
    }, 'three hits')
    expect(metadata.root).toBe('seen')
  })

  it('A28 is refused above 256 KiB', async () => {
    const answer = await http('POST', '/api/v1/tasks/add-one/trigger', {
      payload: { n: 1 },
      options: { metadata: { text: 'x'.repeat(300 * 1024) } },
    })
    expect(answer.status).toBe(413)
  })

  it('is read and written over HTTP', async () => {
    const handle = await tasks.trigger('add-one', { n: 1 }, { delay: '1h', metadata: { a: 1 } })
    const path = `/api/v1/runs/${handle.id}/metadata`
    const answer = await http('PUT', path, { operations: [{ type: 'increment', key: 'a', value: 4 }] })
    expect(answer).toMatchObject({ status: 200, body: { metadata: { a: 5 } } })
    expect((await http('GET', path)).body.metadata).toEqual({ a: 5 })
    await runs.cancel(handle.id)
  })
})
