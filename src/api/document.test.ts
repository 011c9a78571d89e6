/** The served OpenAPI document and its page. */
import { describe, expect, it } from 'vitest'
import { createApp } from './app.ts'
import { docsPage } from './docs-page.ts'

interface Operation {
  operationId: string
  parameters?: { name: string; in: string; required?: boolean; schema: unknown }[]
  requestBody?: { content: Record<string, unknown> }
  responses: Record<string, { description: string; content: Record<string, { schema: unknown }> }>
}
interface Served {
  openapi: string
  info: { title: string; version: string }
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> }
}

const app = createApp()
const request = (path: string): Promise<Response> =>
  Promise.resolve(app.request(path, {}, { ROOT_SECRET: '00'.repeat(32) } as never))
const served = (await (await request('/openapi.json')).json()) as Served
const operations = Object.entries(served.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
)

const schemaTypes = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer']
/** What OpenAPI 3.0 wrote differently, or no version knows. */
function offences(value: unknown, place: string): string[] {
  if (Array.isArray(value)) return value.flatMap((one, index) => offences(one, `${place}/${index}`))
  if (!value || typeof value !== 'object') return []
  const found: string[] = []
  for (const [key, entry] of Object.entries(value)) {
    const at = `${place}/${key}`
    if (place.endsWith('/properties')) {
      found.push(...offences(entry, at))
      continue
    }
    if (key === 'nullable') found.push(`${at}: not in 3.1`)
    if (/^exclusive/.test(key) && typeof entry !== 'number') found.push(`${at}: a number in 3.1`)
    if (key === 'type' && [entry].flat().some((type) => !schemaTypes.includes(type as string))) found.push(`${at}: ${entry}`)
    if (key === '$ref' && !(((entry as string).split('/').at(-1) as string) in served.components.schemas))
      found.push(`${at}: ${entry}`)
    found.push(...offences(entry, at))
  }
  return found
}

describe('/openapi.json', () => {
  it('is an OpenAPI 3.1 document', () => {
    expect(served.openapi).toMatch(/^3\.1\.\d+$/)
    expect(served.info).toMatchObject({ title: 'trigger.do', version: expect.any(String) })
    expect(operations.length).toBeGreaterThan(100)
    const ids = operations.map(({ operation }) => operation.operationId)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { path, method, operation } of operations) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
      const described = (operation.parameters ?? []).filter((one) => one.in === 'path')
      expect(described.map((one) => one.name).sort(), path).toEqual(named.sort())
      expect(described.every((one) => one.required === true)).toBe(true)
      expect(['get', 'put', 'post', 'delete', 'patch']).toContain(method)
      for (const [status, response] of Object.entries(operation.responses)) {
        expect(status).toMatch(/^[1-5]\d\d$/)
        expect(response.description).toEqual(expect.any(String))
      }
    }
  })

  it('has only schemas of 3.1, and every reference leads somewhere', () => {
    expect(offences(served.components.schemas, '#')).toEqual([])
    for (const { path, operation } of operations)
      for (const part of [operation.parameters?.map((one) => one.schema), operation.requestBody?.content])
        expect(offences(part, path)).toEqual([])
    for (const { path, operation } of operations)
      for (const { content } of Object.values(operation.responses))
        expect(offences(content['application/json']?.schema, path)).toEqual([])
  })

  it('names the query parameters of lists', () => {
    const list = served.paths['/api/v1/runs']?.get?.parameters ?? []
    expect(list.map((one) => one.name)).toEqual(expect.arrayContaining(['page[size]', 'filter[status]', 'filter[createdAt][to]']))
  })
})

describe('/docs', () => {
  it('shows every operation without a script or anything from elsewhere', async () => {
    const response = await request('/docs')
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    const policy = response.headers.get('content-security-policy')
    expect(policy).toContain("default-src 'none'")
    const html = await response.text()
    for (const { operation } of operations) expect(html).toContain(`id="${operation.operationId.toLowerCase()}"`)
    expect(html).not.toMatch(/<script|\ssrc=|https?:\/\//)
    expect(html).not.toContain('[object Object]')
    // Each link inside the page leads to something on it.
    const targets = new Set([...html.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]))
    const links = [...html.matchAll(/href="#([^"]+)"/g)].map((match) => match[1])
    expect(links.filter((link) => !targets.has(link))).toEqual([])
    expect(html.length).toBeLessThan(1_000_000)
  })

  it('never takes text of the document for markup', () => {
    const nasty = '<img src=x onerror=alert(1)>'
    const html = docsPage({
      info: { title: nasty, version: '1' },
      paths: {
        [`/${nasty}`]: {
          get: {
            operationId: nasty,
            summary: nasty,
            tags: [nasty],
            parameters: [{ name: nasty, in: nasty, description: nasty, schema: { enum: [nasty], description: nasty } }],
            responses: {
              200: { description: nasty, content: { [nasty]: { schema: { properties: { [nasty]: { type: nasty } } } } } },
            },
          },
        },
      },
      components: { schemas: { [nasty]: { type: 'string', format: nasty, default: nasty, anyOf: [{ $ref: nasty }] } } },
    })
    expect(html).not.toContain('<img')
  })

  it('ends a schema that contains itself', () => {
    const tree: Record<string, unknown> = { type: 'object' }
    tree.properties = { child: tree }
    expect(docsPage({ info: { title: 't', version: '1' }, components: { schemas: { Tree: tree } } }).length).toBeLessThan(10_000)
  })
})
