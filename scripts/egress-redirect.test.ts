/** A public server that redirects to a private one, which no test on one machine can have: the first hop is played. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { build } from 'esbuild'
import { convertV4MiniflareOptions, Miniflare } from 'miniflare'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { root } from './local-host.ts'

let local: Server
let miniflare: Miniflare
const seen: string[] = []

/** The platform's Egress in front of one isolate that does nothing but fetch. */
const entry = `
export { Egress } from './src/worker.ts'
const isolate = "export default { fetch: async (request) => { try { return new Response(await (await fetch(request.headers.get('target'))).text()) } catch (error) { return new Response(error.name + ': ' + error.message) } } }"
export default {
  fetch: (request, env, ctx) => env.LOADER.get('isolate', () => ({
    compatibilityDate: '2026-11-01',
    mainModule: 'main.js',
    modules: { 'main.js': isolate },
    globalOutbound: ctx.exports.Egress({ props: { allowPrivate: false } }),
  })).getEntrypoint().fetch(request),
}`

beforeAll(async () => {
  local = createServer((request, response) => {
    seen.push(request.url ?? '')
    response.end('local')
  })
  await new Promise<void>((done) => local.listen(0, '127.0.0.1', done))
  const bundled = await build({
    stdin: { contents: entry, resolveDir: root },
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    conditions: ['workerd', 'worker'],
    loader: { '.txt': 'text' },
    external: ['cloudflare:*', 'node:*'],
  })
  const contents = (bundled.outputFiles[0] as { text: string }).text
  miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: '127.0.0.1',
      port: 0,
      workers: [
        {
          name: 'egress',
          modules: [{ type: 'ESModule', path: 'worker.js', contents }],
          modulesRoot: '/',
          compatibilityDate: '2026-11-01',
          compatibilityFlags: ['nodejs_compat'],
          workerLoaders: { LOADER: {} },
          serviceBindings: {
            // Anything that gets this far would be let through.
            EGRESS_PUBLIC: async (request: Request) => {
              const to = new URL(request.url).searchParams.get('to')
              if (to) return new Response(null, { status: 302, headers: { location: to } })
              return fetch(`http://127.0.0.1:${(local.address() as AddressInfo).port}/passed`)
            },
          },
        },
      ],
    } as never),
  )
  await miniflare.ready
}, 60_000)

afterAll(async () => {
  await miniflare?.dispose()
  await new Promise((done) => local?.close(done))
})

async function reach(target: string): Promise<string> {
  const response = await fetch(await miniflare.ready, { headers: { target } })
  return response.text()
}

it('refuses a redirect from a public server to a private one', async () => {
  const { port } = local.address() as AddressInfo
  for (const host of ['127.0.0.1', '2130706433', 'localhost', '[::ffff:127.0.0.1]', '10.0.0.1']) {
    const answer = await reach(`http://public.example/?to=${encodeURIComponent(`http://${host}:${port}/private`)}`)
    expect(answer).toMatch(/^TypeError: fetch failed: The address .* is private; tasks reach public addresses only\.$/)
  }
  expect(await reach('http://public.example/?to=http%3A%2F%2F169.254.169.254%2F')).toContain('is a metadata service')
  const twice = `http://public.example/?to=${encodeURIComponent(`http://127.0.0.1:${port}/`)}`
  expect(await reach(`http://other.example/?to=${encodeURIComponent(twice)}`)).toContain('is private')
  expect(seen).toEqual([])
  expect(await reach('http://other.example/?to=http%3A%2F%2Fpublic.example%2F')).toBe('local')
  expect(seen).toEqual(['/passed'])
}, 60_000)
