/** Cloudflare Workflows in the same workerd build, local. */
import { rmSync } from 'node:fs'
import { convertV4MiniflareOptions, Miniflare } from 'miniflare'
import { scratchFolder } from '../scratch.ts'
import type { Peer } from './peer.ts'

const script = `
import { WorkflowEntrypoint } from 'cloudflare:workers'

export class Noop extends WorkflowEntrypoint {
  async run(event, step) {
    const output = await step.do('noop', async () => ({ startedAt: Date.now() }))
    const { parent, index } = event.payload
    if (parent) await step.do('tell', async () => {
      const instance = await this.env.FAN_OUT.get(parent)
      await instance.sendEvent({ type: 'child-' + index, payload: {} })
    })
    return output
  }
}

export class FanOut extends WorkflowEntrypoint {
  async run(event, step) {
    const indexes = Array.from({ length: event.payload.count }, (_, index) => index)
    await step.do('children', async () => {
      await this.env.NOOP.createBatch(indexes.map((index) => ({ params: { parent: event.instanceId, index } })))
    })
    await Promise.all(indexes.map((index) => step.waitForEvent('wait ' + index, { type: 'child-' + index, timeout: '5 minutes' })))
    return { ok: indexes.length }
  }
}

export class Sleeper extends WorkflowEntrypoint {
  async run(event, step) {
    const until = new Date(event.payload.until)
    const early = await step.do('note', async () => until.getTime() - Date.now())
    if (early > 0) await step.sleepUntil('sleep', until)
    return { late: Date.now() - until.getTime(), early }
  }
}

const bindings = { noop: 'NOOP', 'fan-out': 'FAN_OUT', sleeper: 'SLEEPER' }

export default {
  async fetch(request, env) {
    const [, job, id] = new URL(request.url).pathname.split('/')
    const workflow = env[bindings[job]]
    if (request.method === 'POST') return Response.json({ id: (await workflow.create({ params: await request.json() })).id })
    return Response.json(await (await workflow.get(id)).status())
  },
}`

export async function startWorkflows(): Promise<Peer> {
  const state = scratchFolder('workflows')
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      host: '127.0.0.1',
      workers: [
        {
          name: 'peer',
          modules: true,
          script,
          compatibilityDate: '2026-11-01',
          workflows: {
            NOOP: { name: 'noop', className: 'Noop' },
            FAN_OUT: { name: 'fan-out', className: 'FanOut' },
            SLEEPER: { name: 'sleeper', className: 'Sleeper' },
          },
          unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
        },
      ],
    } as never),
    resourcePersistencePath: state,
    unsafeObservability: false,
  })
  await miniflare.ready
  // The same short way in as ours: workerd's own socket.
  const origin = String(await miniflare.unsafeGetDirectURL('peer')).replace(/\/$/, '')
  return {
    name: 'Workflows',
    async trigger(job: string, input) {
      const response = await fetch(`${origin}/${job}`, { method: 'POST', body: JSON.stringify(input) })
      if (!response.ok) throw new Error(`create: ${response.status} ${await response.text()}`)
      return ((await response.json()) as { id: string }).id
    },
    async result(job: string, id) {
      const response = await fetch(`${origin}/${job}/${id}`)
      const { status, output, error } = (await response.json()) as {
        status: string
        output?: Record<string, number>
        error?: unknown
      }
      if (status === 'errored' || status === 'terminated') throw new Error(`workflow ${id}: ${status} ${JSON.stringify(error)}`)
      return status === 'complete' ? (output ?? {}) : undefined
    },
    async stop() {
      await miniflare.dispose()
      rmSync(state, { recursive: true, force: true })
    },
  }
}
