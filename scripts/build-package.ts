/** What `npm pack` ships: the Worker as one ES module, its types, and the wrangler.toml to deploy it with. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

const classes = ['DirectoryDO', 'EnvironmentDO', 'HistoryDO', 'ProjectDO', 'RunDO', 'SchedulerDO', 'TaskDO']
const entrypoints = ['Egress', 'PlatformApi']

mkdirSync('dist', { recursive: true })
await build({
  entryPoints: ['src/worker.ts'],
  outfile: 'dist/worker.js',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  conditions: ['workerd', 'worker'],
  loader: { '.txt': 'text' },
  external: ['cloudflare:*', 'node:*'],
  sourcemap: true,
})

const declared = [...classes, ...entrypoints].map(
  (name) => `export declare class ${name} {\n  constructor(ctx: unknown, env: Env)\n}`,
)
writeFileSync(
  'dist/worker.d.ts',
  `/** trigger.do as one Worker. In your own entry file: \`export * from 'trigger.do/worker'\` and \`export { default } from 'trigger.do/worker'\`. */
export interface Env {
  /** 32+ random bytes as hex; made by \`npm run setup\`. */
  ROOT_SECRET?: string
  ALLOW_PRIVATE_EGRESS?: string
  RATE_LIMIT?: string
  BATCH_RATE_LIMIT?: string
  PUBLIC_RATE_LIMIT?: string
  REGIONS?: string
  ENVIRONMENT_CONCURRENCY?: string
  RUN_RETENTION_DAYS?: string
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
