/**
 * First start. Makes the root secret and the owner's personal access token and stores them in a folder:
 *
 *   npm run setup -- [--state DIR]              only that (`npm run dev` does it by itself), for `wrangler dev`
 *   npm run setup -- --seed URL [--state DIR]   seeds a platform that has the secret already: `wrangler dev`
 *   npm run setup -- --remote URL               an account: stores the secret with wrangler, then seeds
 *
 * Seeding is a call signed with the root secret: it makes the token's owner known. Doing it again changes nothing.
 */
import { spawn } from 'node:child_process'
import { createHmac, randomBytes, randomInt } from 'node:crypto'
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { readArguments } from './arguments.ts'
import { makeStateFolder } from './state-folder.ts'

export interface Secrets {
  rootSecret: string
  accessToken: string
  email: string
}

export const environmentNames = ['dev', 'staging', 'prod', 'preview'] as const
export type SecretKeys = Record<(typeof environmentNames)[number], string>

const tokenAlphabet = '123456789abcdefghijkmnopqrstuvwxyz'

/** The secrets of a state folder; made on first use, readable by the owner only. */
export function ensureSecrets(state: string, file = 'secrets.json', email = 'owner@localhost.dev'): Secrets {
  const path = join(state, file)
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as Secrets
  const accessToken = `tr_pat_${Array.from({ length: 40 }, () => tokenAlphabet[randomInt(tokenAlphabet.length)]).join('')}`
  const secrets: Secrets = { rootSecret: randomBytes(32).toString('hex'), accessToken, email }
  makeStateFolder(state)
  const draft = `${path}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 })
  try {
    // Fails when another process was first: then its secrets are the ones.
    linkSync(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft)
  }
  return JSON.parse(readFileSync(path, 'utf8')) as Secrets
}

export async function seed(origin: string, secrets: Secrets, patienceMs = 30_000): Promise<void> {
  const body = JSON.stringify({ email: secrets.email, accessToken: secrets.accessToken })
  const deadline = Date.now() + patienceMs
  for (;;) {
    // Signed anew each time: the platform refuses old timestamps.
    const timestamp = String(Date.now())
    const signature = createHmac('sha256', secrets.rootSecret).update(`${timestamp}.${body}`).digest('hex')
    let problem: string
    try {
      const response = await fetch(`${origin}/internal/seed`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-trigger-do-timestamp': timestamp,
          'x-trigger-do-signature': signature,
        },
        body,
      })
      if (response.ok) return
      problem = `${response.status} ${await response.text()}`
    } catch (error) {
      problem = String(error)
    }
    if (Date.now() > deadline) throw new Error(`The platform at ${origin} could not be set up: ${problem}`)
    await new Promise((done) => setTimeout(done, 500))
  }
}

/** The keys of a project; a ref the platform does not know yet is created by this call. */
export async function projectKeys(origin: string, accessToken: string, projectRef: string): Promise<SecretKeys> {
  const keys: Partial<SecretKeys> = {}
  for (const name of environmentNames) {
    const response = await fetch(`${origin}/api/v1/projects/${projectRef}/${name}`, {
      headers: { authorization: `Bearer ${accessToken}` },
    })
    if (!response.ok) throw new Error(`No key for ${projectRef} ${name}: ${response.status} ${await response.text()}`)
    keys[name] = ((await response.json()) as { apiKey: string }).apiKey
  }
  return keys as SecretKeys
}

/** By the wrangler that npm puts on the PATH. */
function putSecret(name: string, value: string): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn('wrangler', ['secret', 'put', name, '--config', wranglerConfig()], {
      stdio: ['pipe', 'inherit', 'inherit'],
    })
    child.once('error', (error: NodeJS.ErrnoException) =>
      fail(error.code === 'ENOENT' ? new Error('wrangler is not on the PATH; start this by npm run setup or npx') : error),
    )
    child.once('exit', (code) => (code === 0 ? done() : fail(new Error(`wrangler secret put ${name} ended with ${code}`))))
    // Its end is told by `exit`.
    child.stdin.once('error', () => {})
    child.stdin.end(value)
  })
}

/** Beside this file in the package, one folder up in the repository. */
function wranglerConfig(): string {
  const packed = join(import.meta.dirname, 'wrangler.toml')
  return existsSync(packed) ? packed : join(import.meta.dirname, '../wrangler.toml')
}

function originOf(option: string, text: string): string {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text))
    throw new Error(`${option} ${text}: not an address like https://trigger-do.you.workers.dev`)
  return new URL(text).origin
}

/** A platform answers on /health with whether it has a root secret. */
async function isInitialised(origin: string): Promise<boolean> {
  let problem: string
  try {
    const response = await fetch(`${origin}/health`, { signal: AbortSignal.timeout(10_000) })
    const text = await response.text()
    const state = /"initialised":(true|false)/.exec(text)?.[1]
    if (response.ok && state) return state === 'true'
    problem = `${response.status} ${text.slice(0, 200)}`
  } catch (error) {
    problem = String((error as Error).cause ?? error)
  }
  throw new Error(`No trigger.do answers at ${origin} (${problem}). Deploy it first: npx wrangler deploy`)
}

/** What was wrong is said and becomes the exit code. */
export async function setup(args: string[], command: string): Promise<void> {
  try {
    await run(args, command)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

async function run(args: string[], command: string): Promise<void> {
  const values = readArguments(
    {
      remote: { type: 'string' },
      seed: { type: 'string' },
      state: { type: 'string', default: '.state' },
      email: { type: 'string', default: 'owner@localhost.dev' },
      'replace-root-secret': { type: 'boolean', default: false },
      patience: { type: 'string', default: '180' },
    },
    `${command} [--remote URL | --seed URL] [--state DIR] [--email you@example.com] [--patience SECONDS] [--replace-root-secret]`,
    args,
  )
  const state = resolve(values.state)
  const patienceMs = Number(values.patience) * 1_000
  if (!(patienceMs > 0)) throw new Error(`--patience ${values.patience}: not a number of seconds`)
  if (values.remote !== undefined) {
    const origin = originOf('--remote', values.remote)
    const file = `secrets-${new URL(origin).host.replace(':', '-')}.json`
    if ((await isInitialised(origin)) && !existsSync(join(state, file)) && !values['replace-root-secret'])
      throw new Error(
        `${origin} has a root secret already, and ${join(state, file)} is not here. Copy that file from where the platform was set up. ` +
          'With --replace-root-secret a new one is made: all keys become invalid and stored variables unreadable.',
      )
    const secrets = ensureSecrets(state, file, values.email)
    await putSecret('ROOT_SECRET', secrets.rootSecret)
    // A new secret reaches every machine of the account within seconds, not at once.
    await seed(origin, secrets, patienceMs)
    report(origin, secrets, join(state, file))
  } else if (values.seed !== undefined) {
    const origin = originOf('--seed', values.seed)
    const secrets = ensureSecrets(state, undefined, values.email)
    await seed(origin, secrets, patienceMs)
    report(origin, secrets, join(state, 'secrets.json'))
  } else {
    const secrets = ensureSecrets(state, undefined, values.email)
    const variables = join(state, 'dev.vars')
    writeFileSync(variables, `ROOT_SECRET=${secrets.rootSecret}\nALLOW_PRIVATE_EGRESS=true\nPLATFORM_PORTS=8787\n`, {
      mode: 0o600,
    })
    console.log(`Root secret and access token: ${join(state, 'secrets.json')}
Variables for wrangler dev:   ${variables}

Start the platform: npm run dev
or:                 X_LOCAL_OBSERVABILITY=false npx wrangler dev --env-file ${variables}`)
  }
}

function report(origin: string, secrets: Secrets, file: string): void {
  console.log(`
${origin} is ready. In the project that holds your tasks:

  export TRIGGER_API_URL=${origin}
  export TRIGGER_ACCESS_TOKEN=${secrets.accessToken}
  npx trigger.dev@4.8.3 deploy

Root secret and token are in ${file}: keep it.`)
}

if (import.meta.main) await setup(process.argv.slice(2), 'npm run setup --')
