/** Small local servers in the place of the services the example tasks use. Each checks its key and keeps what it was sent. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

export interface Mail {
  id: string
  from: string
  to: string
  subject: string
  html: string
  at: number
}
type Row = Record<string, unknown>
interface Call {
  request: IncomingMessage
  response: ServerResponse
  url: URL
  method: string
  body: Buffer
  rest: string
}

export const keys = {
  OPENAI_API_KEY: 'sk-compat-openai',
  RESEND_API_KEY: 're_compat_resend',
  STRIPE_SECRET_KEY: 'sk_test_compat_stripe',
  STRIPE_WEBHOOK_SECRET: 'whsec_compat_webhook',
  SUPABASE_SERVICE_KEY: 'compat-supabase',
}

export class Services {
  url = ''
  readonly mails: Mail[] = []
  readonly files = new Map<string, { bytes: Buffer; type: string }>()
  readonly customers = new Map<string, Row>()
  readonly tables = new Map<string, Row[]>()
  /** Answers of the mail service that come first, for one recipient each. */
  readonly mailFailures = new Map<string, number>()
  pagesAtOnce = 0
  /** A stream without tools stops half-way until this is resolved. */
  halfOfAnswer: Promise<void> = Promise.resolve()
  #pagesNow = 0
  #mailByKey = new Map<string, string>()
  #server = createServer((request, response) => {
    this.#answer(request, response).catch((error) => {
      if (!response.headersSent) response.writeHead(500)
      response.end(String(error))
    })
  })

  async start(): Promise<void> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
    this.url = `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`
  }

  stop(): Promise<void> {
    return new Promise((done) => {
      this.#server.close(() => done())
      this.#server.closeAllConnections()
    })
  }

  mailsTo(address: string): Mail[] {
    return this.mails.filter((mail) => mail.to === address)
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const url = new URL(request.url as string, this.url)
    const [, first = '', rest = ''] = /^\/(\w+)\/?(.*)$/.exec(url.pathname) ?? []
    const call: Call = { request, response, url, method: request.method as string, body: Buffer.concat(parts), rest }
    const services: Record<string, (call: Call) => unknown> = {
      openai: (c) => this.#openai(c),
      resend: (c) => this.#resend(c),
      v1: (c) => this.#stripe(c),
      supabase: (c) => this.#supabase(c),
      shop: (c) => this.#shop(c),
      files: (c) => this.#file(c),
      figures: (c) => json(c, 200, { visits: 1234 }),
    }
    await (services[first] ?? ((c: Call) => json(c, 404, { error: 'not here' })))(call)
  }

  /** Chat completions as server-sent events. With tools it first asks for one, then answers with what the tool said. */
  async #openai(call: Call): Promise<undefined> {
    if (!isAllowed(call, keys.OPENAI_API_KEY)) return json(call, 401, { error: { message: 'Incorrect API key provided' } })
    const asked = JSON.parse(call.body.toString()) as {
      stream?: boolean
      tools?: { function: { name: string } }[]
      messages: { role: string; content: unknown }[]
    }
    if (call.rest !== 'chat/completions' || !asked.stream) return json(call, 400, { error: { message: 'Only streams here' } })
    const last = asked.messages.at(-1)
    const deltas: Row[] = []
    let reason = 'stop'
    if (asked.tools && last?.role === 'user') {
      reason = 'tool_calls'
      const call = { index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } }
      deltas.push({ role: 'assistant', content: null, tool_calls: [call] })
      for (const part of ['{"city":', '"Paris"}']) deltas.push({ tool_calls: [{ index: 0, function: { arguments: part } }] })
    } else {
      const text = last?.role === 'tool' ? `The tool says ${last.content}` : `You said: ${last?.content} Waiting is free.`
      deltas.push({ role: 'assistant', content: '' })
      for (const word of text.match(/\S+\s*/g) ?? []) deltas.push({ content: word })
    }
    call.response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = (choices: unknown[], more: Row = {}): void => {
      const chunk = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'small', choices, ...more }
      call.response.write(`data: ${JSON.stringify(chunk)}\n\n`)
    }
    for (const [i, delta] of deltas.entries()) {
      if (!asked.tools && i === deltas.length >> 1) await this.halfOfAnswer
      send([{ index: 0, delta, finish_reason: null }])
      await new Promise((done) => setTimeout(done, 20))
    }
    send([{ index: 0, delta: {}, finish_reason: reason }])
    send([], { usage: { prompt_tokens: 10, completion_tokens: deltas.length, total_tokens: 10 + deltas.length } })
    call.response.end('data: [DONE]\n\n')
  }

  #resend(call: Call): undefined {
    if (!isAllowed(call, keys.RESEND_API_KEY)) {
      return json(call, 401, { statusCode: 401, name: 'missing_api_key', message: 'Missing API Key' })
    }
    if (call.method !== 'POST' || call.rest !== 'emails') return json(call, 404, { name: 'not_found', message: 'Not found' })
    const mail = JSON.parse(call.body.toString()) as Omit<Mail, 'id' | 'at'>
    const failure = this.mailFailures.get(`${mail.to} ${mail.subject}`) ?? 0
    if (failure > 0) {
      this.mailFailures.set(`${mail.to} ${mail.subject}`, failure - 1)
      return json(call, 500, { statusCode: 500, name: 'application_error', message: 'Internal server error' })
    }
    const key = call.request.headers['idempotency-key'] as string | undefined
    const known = key && this.#mailByKey.get(key)
    if (known) return json(call, 200, { id: known })
    const id = `mail_${this.mails.length + 1}`
    if (key) this.#mailByKey.set(key, id)
    this.mails.push({ ...mail, id, at: Date.now() })
    json(call, 200, { id })
  }

  #stripe(call: Call): undefined {
    if (!isAllowed(call, keys.STRIPE_SECRET_KEY)) {
      return json(call, 401, { error: { type: 'invalid_request_error', message: 'Invalid API Key provided' } })
    }
    const customer = this.customers.get(call.rest.replace('customers/', ''))
    if (!customer) return json(call, 404, { error: { type: 'invalid_request_error', message: 'No such customer' } })
    if (call.method === 'POST') {
      for (const [name, value] of new URLSearchParams(call.body.toString())) customer[name] = value
    }
    json(call, 200, customer)
  }

  /** As much of PostgREST as the client's filters, order, limit, count and upsert need. */
  #supabase(call: Call): undefined {
    if (call.request.headers.apikey !== keys.SUPABASE_SERVICE_KEY) return json(call, 401, { message: 'Invalid API key' })
    const name = call.rest.replace('rest/v1/', '')
    const table = this.tables.get(name)
    if (!table) {
      const message = `Could not find the table 'public.${name}' in the schema cache`
      return json(call, 404, { code: 'PGRST205', message, details: null, hint: null })
    }
    if (call.method === 'POST') {
      const conflict = call.url.searchParams.get('on_conflict')
      for (const row of JSON.parse(call.body.toString()) as Row[]) {
        const at = conflict ? table.findIndex((other) => other[conflict] === row[conflict]) : -1
        if (at < 0) table.push(row)
        else table[at] = { ...table[at], ...row }
      }
      call.response.writeHead(201).end()
      return
    }
    let rows = [...table]
    for (const [column, condition] of call.url.searchParams) {
      if (condition.startsWith('gt.')) rows = rows.filter((row) => String(row[column]) > condition.slice(3))
    }
    const order = call.url.searchParams.get('order')?.split('.')[0]
    if (order) rows.sort((a, b) => String(a[order]).localeCompare(String(b[order])))
    const range = `${rows.length > 0 ? `0-${rows.length - 1}` : '*'}/${rows.length}`
    rows = rows.slice(0, Number(call.url.searchParams.get('limit') ?? rows.length))
    const columns = call.url.searchParams.get('select') ?? '*'
    if (columns !== '*') rows = rows.map((row) => Object.fromEntries(columns.split(',').map((column) => [column, row[column]])))
    call.response.setHeader('content-range', range)
    json(call, 200, rows)
  }

  /** Twelve products, one link that leads nowhere. */
  async #shop(call: Call): Promise<undefined> {
    const page = (html: string): undefined => {
      call.response.setHeader('content-type', 'text/html')
      call.response.end(`<!doctype html><html><body>${html}</body></html>`)
    }
    if (call.rest === '') {
      const links = Array.from({ length: 12 }, (_, i) => `<li><a href="/shop/item-${i}">Item ${i}</a></li>`)
      return page(`<ul>${links.join('')}<li><a href="/shop/gone">Gone</a></li></ul>`)
    }
    const number = /^item-(\d+)$/.exec(call.rest)?.[1]
    this.pagesAtOnce = Math.max(this.pagesAtOnce, ++this.#pagesNow)
    await new Promise((done) => setTimeout(done, 150))
    this.#pagesNow--
    if (number === undefined) return json(call, 404, { error: 'gone' })
    page(`<h1>Item ${number}</h1><span data-price="${Number(number) * 10}">…</span><p>two words</p>`)
  }

  #file(call: Call): undefined {
    if (call.method === 'PUT') {
      this.files.set(call.rest, { bytes: call.body, type: String(call.request.headers['content-type']) })
      return json(call, 200, {})
    }
    const file = this.files.get(call.rest)
    if (!file) return json(call, 404, { error: 'no such file' })
    call.response.setHeader('content-type', file.type)
    call.response.end(file.bytes)
  }
}

function isAllowed(call: Call, key: string): boolean {
  return call.request.headers.authorization === `Bearer ${key}`
}

function json(call: Call, status: number, value: unknown): undefined {
  call.response.writeHead(status, { 'content-type': 'application/json' })
  call.response.end(JSON.stringify(value))
}
