/** Tasks as teams write them, with the libraries they use, against local servers in the place of the services. */
import { createHash, createHmac } from 'node:crypto'
import { join } from 'node:path'
import { crc32, deflateSync, inflateSync } from 'node:zlib'
import { auth, envvars, runs, schedules, tasks, wait } from '@trigger.dev/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { environmentKey, type Project } from './cli.ts'
import { endpoints, finished, http, runTask, unique, until, useProject } from './harness.ts'
import { deployFixture } from './platform-process.ts'
import { keys, Services } from './services.ts'

const services = new Services()
let project: Project

beforeAll(async () => {
  await services.start()
  project = await environmentKey(endpoints, join(import.meta.dirname, 'fixtures/examples'), 'prod')
  useProject(project)
  // Before the deploy: the declared schedule ticks from then on.
  await envvars.upload(project.ref, 'prod', { variables: { SERVICES_URL: services.url, ...keys }, override: true })
  await deployFixture({ endpoints }, 'examples')
}, 300_000)

afterAll(() => services.stop())

function authorized(): Record<string, string> {
  return { authorization: `Bearer ${project.secretKey}` }
}

async function messagesOf(runId: string): Promise<string[]> {
  const { body } = await http('GET', `/api/v1/runs/${runId}/events`, undefined, authorized())
  return (body.events as { message: string }[]).map((event) => event.message)
}

describe.concurrent('a cron report', () => {
  type Schedule = Awaited<ReturnType<typeof schedules.retrieve>>
  const byTask = async (): Promise<Map<string, Schedule>> =>
    new Map((await schedules.list({ perPage: 100 })).data.map((schedule) => [schedule.task, schedule]))

  it('is listed with its next run, in its time zone, where it was declared for', async () => {
    const listed = await byTask()
    expect([...listed.keys()].sort()).toEqual(['minute-report', 'weekday-report'])
    const weekday = listed.get('weekday-report') as Schedule
    expect(weekday).toMatchObject({
      type: 'DECLARATIVE',
      active: true,
      timezone: 'Europe/Berlin',
      generator: { type: 'CRON', expression: '30 9 * * 1-5' },
    })
    const local = new Intl.DateTimeFormat('en-GB', {
      timeZone: 'Europe/Berlin',
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
    })
    expect(local.format(weekday.nextRun as Date)).toMatch(/^(Mon|Tue|Wed|Thu|Fri) 09:30$/)
    expect((weekday.nextRun as Date).getTime() - Date.now()).toBeLessThan(4 * 86_400_000)
    const minute = listed.get('minute-report') as Schedule
    expect((minute.nextRun as Date).getTime() - Date.now()).toBeLessThanOrEqual(60_000)
    expect(await schedules.retrieve(minute.id as string)).toEqual(minute)
  })

  it('A49 runs with the nominal times', async () => {
    const id = (await byTask()).get('minute-report')?.id as string
    const tick = await until(
      async () => {
        const { data } = await runs.list({ taskIdentifier: 'minute-report', status: 'COMPLETED' })
        return data.at(-1)
      },
      'the first tick',
      90_000,
    )
    const output = (await runs.retrieve(tick.id)).output as { timestamp: string; upcoming: string[] }
    expect(output).toMatchObject({
      scheduleId: id,
      type: 'DECLARATIVE',
      isDate: true,
      lastTimestamp: null,
      externalId: null,
      timezone: 'UTC',
      visits: 1234,
    })
    const nominal = new Date(output.timestamp).getTime()
    expect(nominal % 60_000).toBe(0)
    expect(output.upcoming.map((next) => (new Date(next).getTime() - nominal) / 60_000)).toEqual(
      Array.from({ length: 10 }, (_, i) => i + 1),
    )
    expect(services.mailsTo('reports@example.com').map((mail) => mail.subject)).toContain(`Report of ${output.timestamp}`)
  }, 100_000)
})

describe.concurrent('hello world', () => {
  it('greets, with log lines, a span and metadata', async () => {
    const run = await runTask('hello-world', { name: 'Ada' })
    expect(run).toMatchObject({ status: 'COMPLETED', output: { greeting: 'Hello, Ada!' }, metadata: { greeted: 'Ada' } })
    const messages = await until(async () => {
      const found = await messagesOf(run.id)
      return found.includes('compose') ? found : undefined
    }, 'the span')
    expect(messages).toEqual(expect.arrayContaining(['Greeting somebody', 'Hello, Ada! (attempt 1)', 'compose']))
  })
})

describe.concurrent('AI chat', () => {
  it('streams the answer into the metadata while it comes', async () => {
    let goOn = (): void => {}
    services.halfOfAnswer = new Promise((resolve) => {
      goOn = resolve
    })
    const handle = await tasks.trigger('ai-chat', { messages: [{ role: 'user', content: 'What does waiting cost?' }] })
    const half = await until(async () => {
      const run = await runs.retrieve(handle.id)
      return run.metadata?.tokens === 4 && run
    }, 'half of the answer')
    expect(half).toMatchObject({ status: 'EXECUTING', metadata: { answer: 'You said: What does ' } })
    goOn()
    const answer = 'You said: What does waiting cost? Waiting is free.'
    const run = await finished(handle.id)
    expect(run).toMatchObject({
      status: 'COMPLETED',
      output: { answer, chunks: 9, usage: 20 },
      metadata: { answer, tokens: 9 },
    })
  })

  it('calls a tool and streams with the AI SDK', async () => {
    const run = await runTask('ai-agent', { question: 'Is it warm in Paris?' })
    expect(run.error).toBeUndefined()
    expect(run).toMatchObject({ status: 'COMPLETED', output: { asked: ['Paris'], steps: 2 } })
    const output = run.output as { answer: string; streamed: number }
    expect(output.answer).toBe('The tool says {"city":"Paris","degrees":21}')
    expect(run.metadata?.tokens).toHaveLength(output.streamed)
    expect([run.metadata?.tokens].flat().join('')).toBe(output.answer)
  })
})

describe.concurrent('an image by URL', () => {
  it('is fetched, hashed, shrunk and stored', async () => {
    const [width, height] = [8, 6]
    const colour = (x: number, y: number): [number, number, number] => [x * 30, y * 40, 255 - x * 10]
    const original = png(width, height, colour)
    services.files.set('original.png', { bytes: original, type: 'image/png' })
    const run = await runTask('shrink-image', { url: `${services.url}/files/original.png`, name: 'small.png' })
    expect(run.output).toMatchObject({
      sha256: createHash('sha256').update(original).digest('hex'),
      type: 'image/png',
      width: 4,
      height: 3,
    })
    const stored = services.files.get('small.png')
    expect(stored?.type).toBe('image/png')
    const grey = (x: number, y: number): number => {
      const [red, green, blue] = colour(2 * x, 2 * y)
      return Math.round(0.299 * red + 0.587 * green + 0.114 * blue)
    }
    expect(greyRows(stored?.bytes as Buffer, 4)).toEqual([0, 1, 2].map((y) => [0, 1, 2, 3].map((x) => grey(x, y))))
  })

  it('that does not exist is not tried again', async () => {
    const run = await runTask('shrink-image', { url: `${services.url}/files/none.png`, name: 'none' })
    expect(run).toMatchObject({ status: 'FAILED', attemptCount: 1, error: { message: expect.stringContaining('no picture') } })
  })
})

describe.concurrent('a PDF from HTML', () => {
  it('has the text on its pages', async () => {
    const items = Array.from({ length: 60 }, (_, i) => `<li>Position <b>${i + 1}</b></li>`)
    const html = `<html><head><title>Invoice 7</title></head><body><h1>Invoice</h1><p>Thank you,\n  dear customer.</p><ul>${items.join('')}</ul></body></html>`
    const run = await runTask('pdf-from-html', { html, name: 'invoice.pdf' })
    expect(run).toMatchObject({ status: 'COMPLETED', output: { pages: 2 }, metadata: { pages: 2 } })
    const stored = services.files.get('invoice.pdf')
    expect(stored?.bytes.length).toBe((run.output as { bytes: number }).bytes)
    expect(stored?.bytes.subarray(0, 5).toString()).toBe('%PDF-')
    const text = pdfText(stored?.bytes as Buffer)
    expect(text.slice(0, 3)).toEqual(['Invoice', 'Thank you, dear customer.', '- Position 1'])
    expect(text.at(-1)).toBe('- Position 60')
  })
})

describe.concurrent('what follows a Stripe webhook', () => {
  const signed = (event: object, secret = keys.STRIPE_WEBHOOK_SECRET): { body: string; signature: string } => {
    const body = JSON.stringify({ object: 'event', api_version: '2025-01-01', ...event })
    const at = Math.floor(Date.now() / 1000)
    return { body, signature: `t=${at},v1=${createHmac('sha256', secret).update(`${at}.${body}`).digest('hex')}` }
  }
  const completed = (id: string, customer: string): object => ({
    id,
    type: 'checkout.session.completed',
    data: { object: { id: `cs_${id}`, object: 'checkout.session', customer, amount_total: 4200 } },
  })

  it('updates the customer and sends one mail, however often the event comes', async () => {
    services.customers.set('cus_1', { id: 'cus_1', object: 'customer', email: 'payer@example.com' })
    const payload = signed(completed('evt_1', 'cus_1'))
    const options = { idempotencyKey: 'evt_1' }
    const [first, second] = [
      await tasks.trigger('stripe-webhook', payload, options),
      await tasks.trigger('stripe-webhook', payload, options),
    ]
    expect(second.id).toBe(first.id)
    const run = await finished(first.id)
    expect(run).toMatchObject({
      status: 'COMPLETED',
      output: { handled: true, customer: 'cus_1' },
      tags: ['checkout.session.completed'],
    })
    expect(services.customers.get('cus_1')).toMatchObject({ 'metadata[lastSession]': 'cs_evt_1' })
    expect(services.mailsTo('payer@example.com')).toMatchObject([{ subject: 'Thank you', html: '<p>42 paid</p>' }])
  })

  it('does nothing for other events', async () => {
    const run = await runTask('stripe-webhook', signed({ id: 'evt_2', type: 'invoice.created', data: { object: {} } }))
    expect(run).toMatchObject({ output: { type: 'invoice.created', handled: false }, tags: ['invoice.created'] })
  })

  it('refuses a wrong signature without a second attempt', async () => {
    const run = await runTask('stripe-webhook', signed(completed('evt_3', 'cus_1'), 'whsec_another'))
    expect(run).toMatchObject({ status: 'FAILED', attemptCount: 1, error: { message: expect.stringContaining('Refused:') } })
  })
})

describe.concurrent('a mail sequence', () => {
  it('waits between the mails', async () => {
    const to = 'new@example.com'
    const handle = await tasks.trigger('mail-sequence', { to, gaps: [7, 2] })
    await until(async () => services.mailsTo(to).length === 1, 'the first mail')
    await until(async () => {
      const run = await runs.retrieve(handle.id)
      return run.status === 'WAITING' && run.metadata?.sent !== undefined
    }, 'the first wait')
    const run = await finished(handle.id)
    expect(run).toMatchObject({ status: 'COMPLETED', attemptCount: 1 })
    const sent = services.mailsTo(to)
    expect(sent.map((mail) => mail.subject)).toEqual(['Welcome', 'Three things to try', 'How is it going?'])
    const [first, second, third] = sent.map((mail) => mail.at) as [number, number, number]
    expect(second - first).toBeGreaterThanOrEqual(6_900)
    expect(third - second).toBeGreaterThanOrEqual(1_900)
  })

  it('starts over after a failure without sending a mail twice', async () => {
    const to = 'unlucky@example.com'
    services.mailFailures.set(`${to} How is it going?`, 1)
    const run = await runTask('mail-sequence', { to, gaps: [1, 1] })
    expect(run).toMatchObject({ status: 'COMPLETED', attemptCount: 2 })
    expect(services.mailsTo(to).map((mail) => mail.subject)).toEqual(['Welcome', 'Three things to try', 'How is it going?'])
  })
})

describe.concurrent('scraping', () => {
  it('fans out over the pages and gathers what they hold', async () => {
    const run = await runTask('scrape-site', { url: `${services.url}/shop` })
    const output = run.output as { pages: { title: string; price: number; words: number }[]; failed: string[]; total: number }
    expect(output.pages).toEqual(Array.from({ length: 12 }, (_, i) => ({ title: `Item ${i}`, price: i * 10, words: 2 })))
    expect(output).toMatchObject({ failed: [`${services.url}/shop/gone`], total: 660 })
    // The queue of the pages takes three at once, and the two attempts at the missing one are among them.
    expect(services.pagesAtOnce).toBeGreaterThan(1)
    expect(services.pagesAtOnce).toBeLessThanOrEqual(3)
    const gone = (await runs.list({ tag: 'page:gone' })).data
    expect(gone).toMatchObject([{ taskIdentifier: 'scrape-page', status: 'FAILED' }])
    expect(await runs.retrieve(gone[0]?.id as string)).toMatchObject({ attemptCount: 2, depth: 1 })
  })
})

describe.concurrent('approval by a person', () => {
  const ask = async (title: string, timeout?: string): Promise<{ runId: string; tokenId: string; url: string }> => {
    const editor = `${unique('editor')}@example.com`
    const handle = await tasks.trigger('approve-post', { title, editor, timeout })
    const mail = await until(async () => services.mailsTo(editor)[0], 'the mail to the editor')
    const url = /href="([^"]+)"/.exec(mail.html)?.[1] as string
    const tokenId = await until(async () => {
      const run = await runs.retrieve(handle.id)
      return run.status === 'WAITING' && (run.metadata?.token as string | undefined)
    }, 'the run to wait for the editor')
    return { runId: handle.id, tokenId, url }
  }

  it('by a button of the app', async () => {
    const { runId, tokenId } = await ask('Button')
    expect((await wait.listTokens({ tags: ['post:Button'], status: 'WAITING' })).data).toMatchObject([{ id: tokenId }])
    await wait.completeToken(tokenId, { approved: true, by: 'ada' })
    expect(await finished(runId)).toMatchObject({ output: { published: true, by: 'ada' }, metadata: { state: 'published' } })
  })

  it('by the link in the mail', async () => {
    const { runId, url } = await ask('Link')
    const answer = await fetch(url, { method: 'POST', body: JSON.stringify({ approved: false, by: 'mail' }) })
    expect(answer.status).toBe(200)
    expect(await finished(runId)).toMatchObject({ output: { published: false, by: 'mail' }, metadata: { state: 'rejected' } })
  })

  it('by a page that holds only a public token', async () => {
    const { runId, tokenId } = await ask('Page')
    const accessToken = await auth.createPublicToken({ scopes: { write: { waitpoints: tokenId } } })
    const path = `/api/v1/waitpoints/tokens/${tokenId}/complete`
    const answer = await http('POST', path, { data: { approved: true, by: 'page' } }, { authorization: `Bearer ${accessToken}` })
    expect(answer).toMatchObject({ status: 200, body: { success: true } })
    expect((await finished(runId)).output).toEqual({ published: true, by: 'page' })
  })

  it('that never comes', async () => {
    const { runId } = await ask('Never', '6s')
    const run = await finished(runId)
    expect(run).toMatchObject({ output: { published: false, reason: 'time is over' }, metadata: { state: 'forgotten' } })
  })
})

describe.concurrent('a Supabase sync', () => {
  it('pages through what changed and merges it', async () => {
    const orders = Array.from({ length: 25 }, (_, i) => ({
      id: i,
      total: i + 0.5,
      updated_at: `2026-01-01T00:00:${String(i).padStart(2, '0')}Z`,
      note: 'not selected',
    }))
    services.tables.set('orders', orders)
    services.tables.set('ledger', [{ order_id: 24, cents: 0 }])
    const run = await runTask('supabase-sync', { since: '2026-01-01T00:00:04Z', pageSize: 8 })
    expect(run).toMatchObject({
      status: 'COMPLETED',
      output: { synced: 20, since: '2026-01-01T00:00:24Z', inLedger: 20 },
      metadata: { progress: { page: 3, synced: 20 } },
    })
    const ledger = services.tables.get('ledger') as { order_id: number; cents: number }[]
    expect(ledger.find((row) => row.order_id === 24)).toEqual({ order_id: 24, cents: 2450 })
  })

  it('fails with the message of the database', async () => {
    const run = await runTask('supabase-missing-table')
    expect(run).toMatchObject({ status: 'FAILED', error: { message: expect.stringContaining('PGRST205') } })
  })
})

/** A colour picture as PNG; what the tasks read is not made by the library they read it with. */
function png(width: number, height: number, colour: (x: number, y: number) => [number, number, number]): Buffer {
  const rows = Array.from({ length: height }, (_, y) => [0, ...Array.from({ length: width }, (_, x) => colour(x, y)).flat()])
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), data])
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
    length.writeUInt32BE(data.length)
    sum.writeUInt32BE(crc32(body))
    return Buffer.concat([length, body, sum])
  }
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width, 0)
  head.writeUInt32BE(height, 4)
  head.set([8, 2, 0, 0, 0], 8)
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(Buffer.from(rows.flat()))),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** The rows of an 8-bit grey PNG without row filters. */
function greyRows(file: Buffer, width: number): number[][] {
  const parts: Buffer[] = []
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at)
    if (file.subarray(at + 4, at + 8).toString() === 'IDAT') parts.push(file.subarray(at + 8, at + 8 + length))
    at += length + 12
  }
  const data = [...inflateSync(Buffer.concat(parts))]
  const rows: number[][] = []
  for (let at = 0; at < data.length; at += width + 1) {
    expect(data[at]).toBe(0)
    rows.push(data.slice(at + 1, at + 1 + width))
  }
  return rows
}

/** Every line drawn on the pages, in order. */
function pdfText(file: Buffer): string[] {
  const lines: string[] = []
  const text = file.toString('latin1')
  for (const match of text.matchAll(/stream\r?\n/g)) {
    if (text.slice(match.index - 3, match.index) === 'end') continue
    let content: string
    try {
      content = inflateSync(file.subarray(match.index + match[0].length)).toString('latin1')
    } catch {
      continue
    }
    for (const drawn of content.matchAll(/<([0-9A-F]+)> Tj/gi))
      lines.push(Buffer.from(drawn[1] as string, 'hex').toString('latin1'))
  }
  return lines
}
