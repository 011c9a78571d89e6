/** `node scripts/build-client.ts FOLDER`: the npm client as modules and types, file by file, so that bundlers drop what is not used. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { root } from './local-host.ts'

export function buildClient(folder: string): void {
  const out = resolve(folder)
  const options = {
    outDir: out,
    rootDir: join(root, 'src'),
    module: 'esnext',
    moduleResolution: 'bundler',
    target: 'es2022',
    // Not the types of Node or Workers: the client may use neither.
    lib: 'es2022,dom,dom.iterable,dom.asynciterable',
    types: '',
  }
  const flags = [
    'ignoreConfig',
    'declaration',
    'strict',
    'verbatimModuleSyntax',
    'rewriteRelativeImportExtensions',
    'skipLibCheck',
  ]
  const args = [...flags.map((name) => `--${name}`), ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])]
  const entries = ['index', 'browser', 'mcp/index', 'adapters/agents/index', 'adapters/fsx/index', 'adapters/gitx/index'].map(
    (entry) => join(root, `src/${entry}.ts`),
  )
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const result = spawnSync(process.execPath, [tsc, ...args, ...entries], { cwd: root, encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`The client does not compile.\n${result.stdout}${result.stderr}`)
  for (const name of readdirSync(out, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.d.ts') || name === 'worker.d.ts') continue
    const text = readFileSync(join(out, name), 'utf8')
      .replace(/(from '\.[^']*)\.ts'/g, "$1.js'")
      // The peer is optional; without it its types are any.
      .replace(/^(import type .* from '@trigger\.dev\/sdk';)$/gm, '// @ts-ignore\n$1')
    writeFileSync(join(out, name), text)
  }
}

const [, , folder] = process.argv
if (import.meta.main && folder) buildClient(folder)
