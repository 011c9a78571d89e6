/** The other end of worker/isolate-lab.ts: CPU of the server while an isolate repeats a run. */
import { join } from 'node:path'
import { build } from 'esbuild'
import { root } from '../scripts/local-host.ts'
import type { OurPeer } from './peers/trigger-do.ts'
import { cpuMs } from './process.ts'
import type { LabRequest } from './worker/isolate-lab.ts'

/** Milliseconds of CPU, and of time, for one of the repeated runs. */
export async function repeat(ours: OurPeer, request: LabRequest): Promise<{ cpu: number; wall: number }> {
  const before = cpuMs(ours.pid)
  const response = await ours.fetch('/bench/isolate', { method: 'POST', body: JSON.stringify(request) })
  if (!response.ok) throw new Error(`isolate ${request.isolate}: ${response.status} ${await response.text()}`)
  const { ms } = (await response.json()) as { ms: number }
  return { cpu: (cpuMs(ours.pid) - before) / request.count, wall: ms / request.count }
}

/** Built as scripts/build-isolate.ts builds the platform's own main module. */
export async function phasesModule(): Promise<string> {
  const result = await build({
    entryPoints: [join(root, 'bench/worker/isolate-phases.ts')],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    external: ['cloudflare:workers', 'node:*', './layer.js'],
  })
  return (result.outputFiles[0] as { text: string }).text
}
