/** Every route of the document with input nobody should send: refused, and never an internal error. */
import { request } from 'node:http'
import { beforeAll, describe, expect, it } from 'vitest'
import { endpoints, plain, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

/** As it is: `fetch` would tidy the path. */
function send(
  method: string,
  path: string,
  body?: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  const { hostname, port } = new URL(endpoints.apiUrl)
  return new Promise((done, fail) => {
    const call = request({ hostname, port, method, path, headers: { authorization: `Bearer ${plain.secretKey}`, ...headers } })
    call.once('error', fail)
    call.once('response', (answer) => {
      let text = ''
      answer.on('data', (chunk) => {
        text += chunk
      })
      answer.once('end', () => done({ status: answer.statusCode as number, text }))
    })
    call.end(body)
  })
}

const segments = ['x', '%E0%A4', '%', '%00', '..%2F..%2Fx', 'run_', `run_${'0'.repeat(26)}`, 'é'.normalize(), 'a'.repeat(3_000)]
const deep = `${'['.repeat(5_000)}${']'.repeat(5_000)}`
const bodies = [
  ...['', '{', 'null', '[]', '{}', '"text"', '7', deep, '{"__proto__":{"a":1}}', '\u0000', '{"payload":"\\ud800"}'],
  '{"items":[null],"operations":[{}],"claims":7,"expirationTime":{},"variables":[],"tags":{"a":1},"delay":1e400,"runCount":1e99}',
  '{"items":[{"task":"","options":{"delay":1e300,"ttl":1e300,"priority":1e300,"maxAttempts":1e300,"tags":""}}],"runCount":1}',
  '{"expirationTime":1e300,"scopes":[""],"timeout":"99999999999999w","date":"9999-99-99","name":"__proto__","value":"1"}',
  '{"options":{"idempotencyKey":"","idempotencyKeyTTL":"99999999999999d","metadata":7,"queue":{"name":"\u0000"},"test":null}}',
]
const queries = [
  'page%5Bsize%5D=-1&page%5Bafter%5D=%00&page%5Bbefore%5D=x',
  'page=99999999999999999999&perPage=-5',
  'filter%5BcreatedAt%5D%5Bfrom%5D=99999999999999999999&filter%5BcreatedAt%5D%5Bto%5D=-1',
  'filter%5BcreatedAt%5D%5Bperiod%5D=99999999999999999w&filter%5Bstatus%5D=x,,',
  'period=99999999999999999w&from=x&status=__proto__',
  'filter%5Bstatus%5D=constructor&filter%5Benv%5D=constructor&type=__proto__',
  'page%5Bsize%5D=5&page%5Bafter%5D=99999999999999999999&expires=x&max=x&sig=%E0%A4',
  '%E0%A4=%E0%A4&&&==',
]

describe('malformed requests', () => {
  it('never reach a 500', { timeout: 300_000 }, async () => {
    const document = (await (await fetch(`${endpoints.apiUrl}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, unknown>>
    }
    const calls: [method: string, path: string, body?: string, headers?: Record<string, string>][] = []
    for (const [template, methods] of Object.entries(document.paths)) {
      const path = (value: string): string =>
        template
          .replace('{ref}', plain.ref)
          .replace('{env}', 'prod')
          .replace(/\{\w+\}/g, value)
      for (const name of Object.keys(methods)) {
        const method = name.toUpperCase()
        // They would replace the key of the other scenarios, or hold back their runs; or are held open for long.
        if (/\/(regenerate-api-key|\{env\}\/pause|worker-actions\/(builds|dequeue))$/.test(template)) continue
        const pat = { authorization: `Bearer ${endpoints.accessToken}` }
        if (template.includes('/projects/')) for (const query of queries) calls.push([method, `${path('x')}?${query}`, '{}', pat])
        if (template.includes('{env}'))
          for (const word of ['constructor', '__proto__', 'toString'])
            calls.push([
              method,
              template
                .replace('{ref}', plain.ref)
                .replace('{env}', word)
                .replace(/\{\w+\}/g, 'x'),
              '{}',
              pat,
            ])
        for (const segment of template.includes('{') ? segments : [''])
          calls.push([method, path(encodeURI(segment).replaceAll('%25', '%')), '{}'])
        if (method === 'GET') for (const query of queries) calls.push([method, `${path('x')}?${query}`])
        else for (const body of bodies) calls.push([method, path('x'), body])
      }
    }
    const item = '{"index":0,"task":"t","payload":1}'
    for (const type of ['application/x-ndjson', 'application/json', '', 'multipart/form-data', 'multipart/form-data; boundary=x'])
      for (const path of ['/api/v3/batches/x/items', `/api/v1/projects/${plain.ref}/envvars/prod/import`, '/uploads/x'])
        calls.push(['POST', path, `${item}\n${deep}\n`, { 'content-type': type }])
    for (const [name, value] of [
      ['authorization', 'Bearer '],
      ['authorization', 'Basic eDp5'],
      ['authorization', `Bearer ey.${'x'.repeat(5_000)}`],
      ['authorization', 'Bearer eyJhbGciOiJIUzI1NiJ9.e30.x'],
      ['authorization', 'Bearer eyJhbGciOiJub25lIn0.eyJwdWIiOnRydWUsInN1YiI6N30.'],
      ['authorization', 'Bearer tr_pat_x'],
      ['authorization', 'Bearer tr_prod_'],
      ['x-trigger-branch', 'refs/heads/../../x'],
      ['trigger-version', '999999999999999999999.x'],
      ['idempotency-key', 'x'.repeat(5_000)],
      ['traceparent', '00-zz-zz-00'],
      ['content-length', '2'],
    ] as const)
      for (const [method, path] of [
        ['POST', '/api/v1/tasks/malformed/trigger'],
        ['GET', '/api/v1/runs'],
      ] as const)
        calls.push([method, path, '{}', { [name]: value }])
    const failed: string[] = []
    const next = async (): Promise<void> => {
      for (let call = calls.pop(); call; call = calls.pop()) {
        const { status, text } = await send(...call)
        if (status < 500 || status === 501) continue
        failed.push(`${call[0]} ${call[1].slice(0, 120)} ${(call[2] ?? '').slice(0, 80)} -> ${status} ${text.slice(0, 120)}`)
      }
    }
    await Promise.all(Array.from({ length: 8 }, next))
    expect(failed).toEqual([])
  })
})
