/** Stands in for the services tasks talk to, and keeps what tasks report: POST /record/<key>, GET /record/<key>. */
import { createServer, type IncomingMessage } from 'node:http'

export async function startStandIn(): Promise<{ url: string; close(): Promise<void> }> {
  const records = new Map<string, string[]>()
  const server = createServer(async (request, response) => {
    const body = await read(request)
    const path = (request.url ?? '').split('?')[0] as string
    const json = (value: unknown): void => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(value))
    }
    if (path.startsWith('/record/')) {
      const list = records.get(path) ?? []
      if (request.method === 'POST') records.set(path, [...list, body])
      return json(records.get(path) ?? [])
    }
    if (path === '/openai/chat/completions')
      return json({
        id: 'chatcmpl-1',
        object: 'chat.completion',
        created: 1,
        model: 'test',
        choices: [{ index: 0, message: { role: 'assistant', content: 'hello from the stand-in' }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
      })
    if (path === '/v1/customers') return json({ id: 'cus_standin', object: 'customer' })
    response.statusCode = 404
    json({ error: 'not here' })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((done) => {
        server.closeAllConnections()
        server.close(() => done())
      }),
  }
}

async function read(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}
