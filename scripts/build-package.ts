/** What `npm pack` ships: the client, the Worker as one ES module, its types, the wrangler.toml to deploy it with, and the set-up. */
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'
import { buildClient } from './build-client.ts'

rmSync('dist', { recursive: true, force: true })
mkdirSync('dist')
buildClient('dist')
const { metafile } = await build({
  entryPoints: ['src/worker.ts'],
  outfile: 'dist/worker.js',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  conditions: ['workerd', 'worker'],
  loader: { '.txt': 'text' },
  external: ['cloudflare:*', 'node:*'],
  sourcemap: true,
  metafile: true,
})
await build({
  entryPoints: ['scripts/cli.ts'],
  outfile: 'dist/cli.js',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // The scripts in it run by themselves only when they are what was started.
  define: { 'import.meta.main': 'false' },
})
chmodSync('dist/cli.js', 0o755)

const classes = (metafile.outputs['dist/worker.js']?.exports ?? []).filter((name) => name !== 'default')
const declared = classes.map((name) => `export declare class ${name} {\n  constructor(ctx: unknown, env: Env)\n}`)
writeFileSync(
  'dist/worker.d.ts',
  `/** trigger.do as one Worker. In your own entry file: \`export * from 'trigger.do/worker'\` and \`export { default } from 'trigger.do/worker'\`. */
export interface Env {
  /** 32+ random bytes as hex; made and stored by \`npx trigger.do setup\`. */
  ROOT_SECRET?: string
  /** \`'true'\` lets tasks reach private addresses. */
  ALLOW_PRIVATE_EGRESS?: string
  RATE_LIMIT?: string
  BATCH_RATE_LIMIT?: string
  PUBLIC_RATE_LIMIT?: string
  REGIONS?: string
  ENVIRONMENT_CONCURRENCY?: string
  MAXIMUM_DEV_QUEUE_SIZE?: string
  MAXIMUM_DEPLOYED_QUEUE_SIZE?: string
  MAXIMUM_CREATIONS_PER_MINUTE?: string
  RUN_RETENTION_DAYS?: string
  /** \`'on'\` writes finished runs to the bucket before they are deleted. */
  RUN_ARCHIVE?: string
  SCHEDULE_LIMIT?: string
  /** A language model for sentences the grammar does not read (chat completions of OpenAI's form). */
  MODEL_URL?: string
  MODEL_KEY?: string
  MODEL_NAME?: string
  [binding: string]: unknown
}
declare const worker: {
  fetch(request: Request, env: Env, ctx: unknown): Response | Promise<Response>
  queue(batch: unknown, env: Env): Promise<void>
  scheduled(event: unknown, env: Env): Promise<void>
}
export default worker
${declared.join('\n')}
`,
)

/** The same bindings; the module is built already and holds its texts. */
const config = readFileSync('wrangler.toml', 'utf8')
  .replace('main = "src/worker.ts"', 'main = "worker.js"')
  .replace(/\[build\]\n(?:.+\n)+\n/, '')
  .replace(/\[\[rules\]\]\n(?:.+\n)+\n/, '')
if (!config.includes('main = "worker.js"') || /\[build\]|\[\[rules\]\]/.test(config))
  throw new Error('wrangler.toml is not as this script expects it')
writeFileSync('dist/wrangler.toml', config)
