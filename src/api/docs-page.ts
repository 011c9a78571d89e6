/** `/docs`: the OpenAPI document as one page of plain HTML. No script, nothing from elsewhere, so it works offline and under any policy. */

export interface Schema {
  $ref?: string
  type?: string | string[]
  format?: string
  description?: string
  enum?: unknown[]
  const?: unknown
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | boolean
  items?: Schema
  prefixItems?: Schema[]
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  default?: unknown
}
interface Content {
  content?: Record<string, { schema?: Schema }>
}
interface Operation {
  operationId?: string
  summary?: string
  'x-scopes'?: string[]
  tags?: string[]
  security?: unknown[]
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: Schema }[]
  requestBody?: Content
  responses?: Record<string, Content & { description?: string }>
}
export interface ApiDocument {
  info: { title: string; version: string }
  paths?: Record<string, Record<string, Operation>>
  components?: { schemas?: Record<string, Schema> }
}

/** What a page may do: show itself. */
export const docsHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
}

const style = `
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem }
pre, code { font: 13px/1.45 ui-monospace, monospace }
pre { overflow-x: auto; padding: .6rem; border-left: 3px solid #8886; margin: .3rem 0 }
details { border-top: 1px solid #8884; padding: .3rem 0 } details details { margin-left: 1rem }
summary { cursor: pointer; overflow-wrap: anywhere } nav a { margin-right: .8rem; display: inline-block }
.method { display: inline-block; min-width: 4rem; font-weight: 600 } .muted { opacity: .7 } dt { font-weight: 600 } h2 { margin-top: 2rem }`

/** Deeper than anything the API has; ends a schema that contains itself. */
const deepest = 12

export function docsPage(document: ApiDocument): string {
  const groups = new Map<string, string[]>()
  for (const [path, methods] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? 'other'
      groups.set(tag, [...(groups.get(tag) ?? []), operationHtml(method, path, operation)])
    }
  }
  const schemas = Object.entries(document.components?.schemas ?? {})
  const title = `${htmlOf(document.info.title)} API ${htmlOf(document.info.version)}`
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${style}</style></head>
<body><h1>${title}</h1>
<p>Every route of this server, from its OpenAPI 3.1 document: <a href="/openapi.json">/openapi.json</a>. A credential goes into <code>authorization: Bearer …</code>.</p>
<nav>${[...groups.keys(), 'schemas'].map((tag) => `<a href="#${anchor(tag)}">${htmlOf(tag)}</a>`).join('\n')}</nav>
${[...groups].map(([tag, operations]) => `<section><h2 id="${anchor(tag)}">${htmlOf(tag)}</h2>\n${operations.join('\n')}</section>`).join('\n')}
<section><h2 id="schemas">schemas</h2>
${schemas.map(([name, schema]) => `<details id="${anchor(`schema-${name}`)}"><summary>${htmlOf(name)}</summary>${typeHtml(schema)}</details>`).join('\n')}
</section></body></html>
`
}

function operationHtml(method: string, path: string, operation: Operation): string {
  const responses = Object.entries(operation.responses ?? {})
  const unbuilt = responses.some(([status]) => status === '501')
  const notes = [unbuilt ? 'not built yet' : '', operation.security?.length === 0 ? 'no credential needed' : ''].filter(Boolean)
  const parameters = (operation.parameters ?? []).map(
    ({ name, in: place, required, description, schema }) =>
      `<dt><code>${htmlOf(name)}</code> <span class="muted">${htmlOf(place)}${required ? ', required' : ''}</span></dt><dd><code>${typeOf(schema ?? {}, 1)}</code> ${htmlOf(description ?? '')}</dd>`,
  )
  return `<details id="${anchor(operation.operationId ?? `${method} ${path}`)}"><summary><code><span class="method">${method.toUpperCase()}</span> ${htmlOf(path)}</code> ${htmlOf(operation.summary ?? '')}${notes.map((note) => ` <span class="muted">(${note})</span>`).join('')}</summary>
<p class="muted"><code>${htmlOf(operation.operationId ?? '')}</code>${scopesHtml(operation)}</p>
${parameters.length > 0 ? `<dl>${parameters.join('\n')}</dl>` : ''}${operation.requestBody ? `<p>Request body</p>${contentHtml(operation.requestBody)}` : ''}
${responses.map(([status, response]) => `<details${status < '300' ? ' open' : ''}><summary>${htmlOf(status)} ${htmlOf(response.description ?? '')}</summary>${contentHtml(response)}</details>`).join('\n')}
</details>`
}

function scopesHtml(operation: Operation): string {
  const scopes = operation['x-scopes']?.map((scope) => `<code>${htmlOf(scope)}</code>`)
  return scopes ? `, with a public token that has one of ${scopes.join(', ')}` : ''
}

function contentHtml({ content }: Content): string {
  return Object.entries(content ?? {})
    .map(([type, { schema }]) => `<p class="muted">${htmlOf(type)}</p>${typeHtml(schema ?? {})}`)
    .join('\n')
}

function typeHtml(schema: Schema): string {
  return `<pre>${typeOf(schema, 0)}</pre>`
}

/** A schema as a TypeScript reader knows it; limits follow as a comment. */
function typeOf(schema: Schema, depth: number): string {
  if (depth > deepest) return '…'
  if (schema.$ref) {
    const name = schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1)
    return `<a href="#${anchor(`schema-${name}`)}">${htmlOf(name)}</a>`
  }
  if (schema.const !== undefined) return htmlOf(JSON.stringify(schema.const))
  if (schema.enum) return schema.enum.map((one) => htmlOf(JSON.stringify(one))).join(' | ')
  const union = schema.anyOf ?? schema.oneOf
  if (union) return [...new Set(union.map((one) => typeOf(one, depth + 1)))].join(' | ')
  if (schema.allOf) return schema.allOf.map((one) => typeOf(one, depth + 1)).join(' &amp; ')
  if (schema.properties || schema.additionalProperties !== undefined) return objectOf(schema, depth)
  if (schema.prefixItems) return `[${schema.prefixItems.map((one) => typeOf(one, depth + 1)).join(', ')}]`
  if (schema.items) {
    const item = typeOf(schema.items, depth + 1)
    return `${item.includes(' | ') ? `(${item})` : item}[]${limitsOf(schema)}`
  }
  const types = Array.isArray(schema.type) ? schema.type : [schema.type ?? 'unknown']
  return `${htmlOf(types.join(' | '))}${limitsOf(schema)}`
}

function objectOf(schema: Schema, depth: number): string {
  const indent = '  '.repeat(depth + 1)
  const lines = Object.entries(schema.properties ?? {}).map(
    ([name, one]) => `${indent}${htmlOf(name)}${schema.required?.includes(name) ? '' : '?'}: ${typeOf(one, depth + 1)}`,
  )
  const rest = schema.additionalProperties
  if (rest && (typeof rest === 'object' ? Object.keys(rest).length > 0 : lines.length === 0))
    lines.push(`${indent}[key: string]: ${rest === true ? 'unknown' : typeOf(rest, depth + 1)}`)
  return lines.length > 0 ? `{\n${lines.join('\n')}\n${'  '.repeat(depth)}}` : 'object'
}

function limitsOf(schema: Schema): string {
  const range = (from: number | undefined, to: number | undefined, unit: string): string[] =>
    from === undefined && (to === undefined || to === Number.MAX_SAFE_INTEGER) ? [] : [`${from ?? ''}…${to ?? ''}${unit}`]
  const notes = [
    ...(schema.format ? [schema.format] : []),
    ...range(schema.minimum === Number.MIN_SAFE_INTEGER ? undefined : schema.minimum, schema.maximum, ''),
    ...range(schema.minLength, schema.maxLength, ' characters'),
    ...range(schema.minItems, schema.maxItems, ' items'),
    ...(schema.default === undefined ? [] : [`default ${JSON.stringify(schema.default)}`]),
  ]
  return notes.length > 0 ? ` <span class="muted">/* ${htmlOf(notes.join(', '))} */</span>` : ''
}

function anchor(name: string): string {
  return encodeURIComponent(name.toLowerCase().replace(/\s+/g, '-'))
}

function htmlOf(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
