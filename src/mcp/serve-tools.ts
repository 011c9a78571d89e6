/** A user's own tools at an address of their own, by the library that defines the protocol (an optional peer). */
import type { DefinedTool } from './define-tool.ts'

export interface ServeOptions {
  /** Who may call: agents send it as bearer. Or a function that decides by the request. */
  authorize: string | ((request: Request) => boolean | Promise<boolean>)
  /** What agents are told the server is called. */
  name?: string
  version?: string
  /** Origins of web pages that may call, beside the server's own. */
  allowedOrigins?: readonly string[]
}

/**
 * A handler of requests for a Worker, hono, Bun, Deno or Next: streamable HTTP, one server per request.
 *
 * @example
 * const serve = serveTools([listTasks, cancelTask], { authorize: env.AGENT_TOKEN })
 * app.all('/mcp', (c) => serve(c.req.raw))
 */
export function serveTools(
  tools: readonly DefinedTool<never>[] | readonly DefinedTool[],
  options: ServeOptions,
): (request: Request) => Promise<Response> {
  const all = tools as readonly DefinedTool[]
  const names = all.map(({ name }) => name)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice) throw new TypeError(`Two tools are called ${twice}.`)
  const { authorize, name = 'trigger.do', version = '1.0.0', allowedOrigins = [] } = options
  if (typeof authorize !== 'function' && (typeof authorize !== 'string' || authorize.length < 16))
    throw new TypeError('authorize must be a function or a token of at least 16 characters: tools start jobs.')
  return async (request) => {
    const origin = request.headers.get('origin')
    if (origin && origin !== new URL(request.url).origin && !allowedOrigins.includes(origin))
      return Response.json({ error: `Pages of ${origin} may not use this endpoint.` }, { status: 403 })
    if (!(await isAllowed(request, authorize))) {
      const headers = { 'www-authenticate': 'Bearer' }
      return Response.json({ error: 'This endpoint needs a credential.' }, { status: 401, headers })
    }
    if (request.method !== 'POST')
      return Response.json({ error: 'Send each message with POST.' }, { status: 405, headers: { allow: 'POST' } })
    const { Server, Transport, schemas } = await protocol()
    const server = new Server({ name, version }, { capabilities: { tools: {} } })
    server.setRequestHandler(schemas.list, () => ({
      tools: all.map(({ name, description, inputSchema }) => ({ name, description, inputSchema })),
    }))
    server.setRequestHandler(schemas.call, async ({ params }) => {
      const found = all.find((tool) => tool.name === params.name)
      try {
        if (!found) throw new TypeError(`There is no tool ${params.name}; there are: ${names.join(', ')}.`)
        const answer = await found.call(params.arguments ?? {})
        const text = typeof answer === 'string' ? answer : (JSON.stringify(answer, null, 1) ?? 'done')
        return { content: [{ type: 'text', text }] }
      } catch (error) {
        return { isError: true, content: [{ type: 'text', text: error instanceof Error ? error.message : String(error) }] }
      }
    })
    const transport = new Transport({ enableJsonResponse: true })
    await server.connect(transport)
    return transport.handleRequest(request)
  }
}

async function isAllowed(request: Request, authorize: ServeOptions['authorize']): Promise<boolean> {
  if (typeof authorize === 'function') return authorize(request)
  const given = /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '')?.[1] ?? ''
  const [one, other] = await Promise.all([given, authorize].map(digest))
  return one === other
}

/** Equal digests are equal texts, and comparing them tells nothing of the text. */
async function digest(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
  return String(bytes)
}

interface Protocol {
  Server: new (
    info: object,
    options: object,
  ) => {
    setRequestHandler(
      schema: unknown,
      handle: (request: { params: { name: string; arguments?: Record<string, unknown> } }) => unknown,
    ): void
    connect(transport: unknown): Promise<void>
  }
  Transport: new (options: object) => { handleRequest(request: Request): Promise<Response> }
  schemas: { list: unknown; call: unknown }
}

let loaded: Promise<Protocol> | undefined
function protocol(): Promise<Protocol> {
  loaded ??= load()
  return loaded
}

async function load(): Promise<Protocol> {
  try {
    const [server, transport, types] = await Promise.all([
      import('@modelcontextprotocol/sdk/server/index.js'),
      import('@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'),
      import('@modelcontextprotocol/sdk/types.js'),
    ])
    return {
      Server: server.Server,
      Transport: transport.WebStandardStreamableHTTPServerTransport,
      schemas: { list: types.ListToolsRequestSchema, call: types.CallToolRequestSchema },
    } as unknown as Protocol
  } catch (error) {
    throw new Error(
      'serveTools needs @modelcontextprotocol/sdk 1.25 or later beside trigger.do: npm install @modelcontextprotocol/sdk',
      {
        cause: error,
      },
    )
  }
}
