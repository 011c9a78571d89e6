/**
 * First start. Makes the root secret and the owner's personal access token, stores them, and seeds the platform by a
 * signed call: `npm run setup -- [--state DIR]` for this machine, `npm run setup -- --remote URL` for an account.
 */
import { spawn } from 'node:child_process'
import { createHmac, randomBytes, randomInt } from 'node:crypto'
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './local-host.ts'
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
export function ensureSecrets(state: string, file = 'secrets.json'): Secrets {
  const path = join(state, file)
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as Secrets
  const accessToken = `tr_pat_${Array.from({ length: 40 }, () => tokenAlphabet[randomInt(tokenAlphabet.length)]).join('')}`
  const secrets: Secrets = { rootSecret: randomBytes(32).toString('hex'), accessToken, email: 'owner@localhost.dev' }
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

function putSecret(name: string, value: string): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [join(root, 'node_modules/wrangler/bin/wrangler.js'), 'secret', 'put', name], {
      cwd: root,
      stdio: ['pipe', 'inherit', 'inherit'],
    })
    child.once('error', fail)
    child.once('exit', (code) => (code === 0 ? done() : fail(new Error(`wrangler secret put ${name} ended with ${code}`))))
    child.stdin.end(value)
  })
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { remote: { type: 'string' }, state: { type: 'string', default: join(root, '.state') } },
  })
  const state = resolve(values.state)
  if (!values.remote) {
    const secrets = ensureSecrets(state)
    console.log(`Root secret and access token are in ${join(state, 'secrets.json')}.\n`)
    console.log(`  export TRIGGER_ACCESS_TOKEN=${secrets.accessToken}\n\nStart the platform: npm run dev`)
    return
  }
  const origin = new URL(values.remote).origin
  const secrets = ensureSecrets(state, `secrets-${new URL(origin).hostname}.json`)
  await putSecret('ROOT_SECRET', secrets.rootSecret)
  // A new secret reaches every machine of the account within seconds, not at once.
  await seed(origin, secrets, 60_000)
  console.log(`\n${origin} is ready. In the project that holds your tasks:\n`)
  console.log(
    `  export TRIGGER_API_URL=${origin}\n  export TRIGGER_ACCESS_TOKEN=${secrets.accessToken}\n  npx trigger.dev@latest deploy\n`,
  )
}

if (import.meta.main)
  main().catch((error) => {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  })
