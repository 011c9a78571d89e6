/** `npm run bundle:check`: builds what `wrangler deploy` would upload and fails above the size a Worker may have. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { root } from './local-host.ts'

/** Workers Paid: 10 MB after gzip. */
const LIMIT_BYTES = 10 * 1000 * 1000

const folder = mkdtempSync(join(tmpdir(), 'trigger-do-bundle-'))
try {
  const wrangler = join(root, 'node_modules/wrangler/bin/wrangler.js')
  const result = spawnSync(process.execPath, [wrangler, 'deploy', '--dry-run', '--outdir', folder], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, CI: '1', WRANGLER_SEND_METRICS: 'false' },
  })
  if (result.status !== 0)
    throw new Error(`wrangler deploy --dry-run ended with ${result.status}\n${result.stdout}\n${result.stderr}`)
  let raw = 0
  let gzip = 0
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!/\.(js|mjs|txt|wasm)$/.test(name)) continue
    const bytes = readFileSync(join(folder, name))
    raw += bytes.length
    gzip += gzipSync(bytes).length
  }
  const kb = (bytes: number): string => `${Math.round(bytes / 1000)} kB`
  console.log(`Worker bundle: ${kb(raw)}, ${kb(gzip)} after gzip (limit ${kb(LIMIT_BYTES)})`)
  if (raw === 0) throw new Error('wrangler wrote no module')
  if (gzip > LIMIT_BYTES) throw new Error('The bundle is larger than a Worker may be')
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
