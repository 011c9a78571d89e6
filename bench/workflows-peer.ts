/** Cloudflare Workflows in the same workerd build, local: the peer every figure of ours stands beside. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { convertV4MiniflareOptions, Miniflare } from 'miniflare'

const script = `
import { WorkflowEntrypoint } from 'cloudflare:workers'
export class Noop extends WorkflowEntrypoint {
  async run(event, step) { return await step.do('noop', async () => ({ startedAt: Date.now() })) }
}
export default {
  async fetch(request, env) {
    const url = new URL(request.url)
    if (url.pathname === '/create') { const instance = await env.NOOP.create({ params: {} }); return Response.json({ id: instance.id }) }
    const instance = await env.NOOP.get(url.searchParams.get('id'))
    return Response.json(await instance.status())
  },
}`

export interface Peer {
  name: string
  trigger(): Promise<string>
  /** Resolves with the instant user code started when the run is complete, undefined before. */
  finished(id: string): Promise<number | undefined>
  stop(): Promise<void>
}

export async function startWorkflows(): Promise<Peer> {
  const state = mkdtempSync(join(tmpdir(), 'bench-workflows-'))
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: '127.0.0.1',
      defaultPersistRoot: state,
      workers: [
        {
          name: 'peer',
          modules: true,
          script,
          compatibilityDate: '2026-11-01',
          workflows: { NOOP: { name: 'noop', className: 'Noop' } },
        },
      ],
    } as never),
  )
  const origin = String(await miniflare.ready).replace(/\/$/, '')
  return {
    name: 'Cloudflare Workflows (local)',
    async trigger() {
      const response = await fetch(`${origin}/create`)
      return ((await response.json()) as { id: string }).id
    },
    async finished(id) {
      const response = await fetch(`${origin}/status?id=${id}`)
      const status = (await response.json()) as { status: string; output?: { startedAt: number } }
      if (status.status === 'errored') throw new Error(`workflow ${id} failed`)
      return status.status === 'complete' ? (status.output?.startedAt ?? 0) : undefined
    },
    stop: () => miniflare.dispose(),
  }
}
