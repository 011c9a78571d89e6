/**
 * Bundles src/isolate into the one text module the Worker Loader gets as `main.js`, and names it by its content hash:
 * that hash is the platform version in every isolate id.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const target = join(root, 'src/execution/generated')

const result = await build({
  entryPoints: [join(root, 'src/isolate/main.ts')],
  bundle: true,
  write: false,
  format: 'esm',
  target: 'es2022',
  external: ['cloudflare:*', 'node:*', './layer.js'],
  legalComments: 'none',
})
const text = result.outputFiles[0]?.text ?? ''
const hash = createHash('sha256').update(text).digest('hex').slice(0, 12)
await mkdir(target, { recursive: true })
await replace('isolate-main.txt', text)
await replace('isolate-hash.txt', `${hash}\n`)
console.log(`isolate ${hash}: ${(text.length / 1024).toFixed(1)} KiB`)

/** At once, since a second platform may be starting from the same folder; an unchanged file keeps its time. */
async function replace(name: string, content: string): Promise<void> {
  const file = join(target, name)
  if ((await readFile(file, 'utf8').catch(() => undefined)) === content) return
  await writeFile(`${file}.${process.pid}`, content)
  await rename(`${file}.${process.pid}`, file)
}
