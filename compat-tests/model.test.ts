/** The optional language model, played by a server of the test: it may only put a sentence in other words. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { installClient } from './client-package.ts'
import { deployFixture, type PlatformProcess, startPlatform } from './harness.ts'

let platform: PlatformProcess
let server: Server
let key: string
/** What it answers, and what it was asked. */
let answer: string | number = '{"sentence":null}'
const asked: { authorization?: string; body: { model: string; messages: { content: string }[] } }[] = []

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk) => {
      text += chunk
    })
    request.on('end', () => {
      asked.push({ authorization: request.headers.authorization ?? '', body: JSON.parse(text) })
      if (typeof answer === 'number') response.writeHead(answer).end('no')
      else response.end(JSON.stringify({ choices: [{ message: { role: 'assistant', content: answer } }] }))
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  installClient(join(import.meta.dirname, 'fixtures/client'))
  platform = await startPlatform({ MODEL_URL: `http://127.0.0.1:${port}/v1/`, MODEL_KEY: 'secret', MODEL_NAME: 'tiny' })
  key = (await deployFixture(platform, 'client')).secretKey
}, 200_000)
afterAll(async () => {
  await platform?.stop()
  server?.close()
})

async function say(
  path: string,
  strings: string[],
  values: unknown[] = [],
): Promise<{ status: number; body: Record<string, never> }> {
  const response = await fetch(`${platform.endpoints.apiUrl}/api/v1/sentences${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ strings, values }),
  })
  return { status: response.status, body: await response.json() }
}

describe('a model', () => {
  it('is not asked about what the grammar reads, nor about what it refuses for good', async () => {
    asked.length = 0
    expect((await say('/explain', ['send welcome email to ', ''], ['ada@example.com'])).body).toMatchObject({ understood: true })
    for (const [strings, code] of [
      [["don't run cleanup"], 'NEGATED'],
      [['every 0 minutes, run cleanup'], 'IMPOSSIBLE_TIME'],
      [[''], 'EMPTY'],
    ] as const)
      expect((await say('/explain', [...strings])).body).toMatchObject({ understood: false, code })
    expect(asked).toEqual([])
  })

  it('puts into words what the grammar then reads; the values stay here', async () => {
    asked.length = 0
    answer = '{"sentence":"send welcome email to {0}"}'
    const { body } = await say('', ['please say hi, as we do to every newcomer: ', ''], ['ada@example.com'])
    expect(body).toMatchObject({
      kind: 'run',
      understood: {
        task: 'send-welcome-email',
        payload: { email: 'ada@example.com' },
        notes: [expect.stringContaining('language model')],
      },
    })
    expect(asked).toHaveLength(1)
    expect(asked[0]).toMatchObject({ authorization: 'Bearer secret', body: { model: 'tiny' } })
    const prompt = asked[0]?.body.messages.map(({ content }) => content).join('\n') as string
    expect(prompt).toContain('send-welcome-email')
    expect(prompt).not.toContain('ada@example.com')
    answer = '{"sentence":"every day at 3am, run cleanup"}'
    expect((await say('/explain', ['tidy up the place nightly'])).body).toMatchObject({
      kind: 'schedule',
      task: 'cleanup',
      cron: '0 3 * * *',
    })
  })

  it.each<[string, string | number]>([
    ['nothing', '{"sentence":null}'],
    ['a task there is not', '{"sentence":"launch the rocket"}'],
    ['what nobody said', '{"sentence":"send welcome email to {3}"}'],
    ['that nothing be done', '{"sentence":"don\'t run cleanup"}'],
    ['prose', 'I would be happy to help!'],
    ['an error', 500],
  ])('that says %s changes nothing: the refusal is that of the grammar', async (_, said) => {
    answer = said
    const { status, body } = await say('', ['paint the fence ', ''], ['green'])
    expect([status, body]).toMatchObject([422, { code: 'NO_MATCH' }])
  })

  it('is named by ralph when it had no words either', async () => {
    answer = '{"sentence":null}'
    const { body } = await say('/operate', ['paint the fence'])
    expect(body.error).toContain('The language model had no words for it either.')
  })
})
