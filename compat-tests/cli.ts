/** The unmodified trigger.dev CLI with a home of its own. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export interface Endpoints {
  apiUrl: string
  projectRef: string
  accessToken: string
  secretKeys: { dev: string; staging: string; prod: string; preview: string }
}

export interface Project {
  ref: string
  secretKey: string
}

const cli = resolve(import.meta.dirname, '../node_modules/trigger.dev/dist/esm/index.js')

export async function runCli(
  endpoints: Endpoints,
  folder: string,
  args: string[],
  extra: Record<string, string> = {},
): Promise<{ code: number; output: string }> {
  const home = mkdtempSync(join(tmpdir(), 'trigger-do-home-'))
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: home,
    XDG_CONFIG_HOME: join(home, '.config'),
    TRIGGER_API_URL: endpoints.apiUrl,
    TRIGGER_ACCESS_TOKEN: endpoints.accessToken,
    NO_COLOR: '1',
    ...extra,
  }
  for (const name of ['TRIGGER_SECRET_KEY', 'VITEST', 'NODE_ENV', 'TEST']) delete env[name]
  try {
    return await new Promise((done, fail) => {
      const child = spawn(process.execPath, [cli, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
      let output = ''
      child.stdout.on('data', (chunk) => {
        output += chunk
      })
      child.stderr.on('data', (chunk) => {
        output += chunk
      })
      child.once('error', fail)
      child.once('close', (code) => done({ code: code ?? 1, output: withoutSpinners(output) }))
    })
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

/** Of a line the CLI rewrites many times a second only the last text. */
function withoutSpinners(output: string): string {
  const rewind = '\u001b[999D\u001b[J'
  return output
    .split('\n')
    .map((line) => line.split(rewind).at(-1))
    .join('\n')
}

export function deploy(endpoints: Endpoints, folder: string, args: string[] = []): Promise<{ code: number; output: string }> {
  return runCli(endpoints, folder, ['deploy', '--skip-update-check', '--skip-telemetry', ...args])
}

export async function environmentKey(endpoints: Endpoints, folder: string, environment: string): Promise<Project> {
  const config = readFileSync(join(folder, 'trigger.config.ts'), 'utf8')
  const ref = /project:\s*'(proj_\w+)'/.exec(config)?.[1] as string
  const response = await fetch(`${endpoints.apiUrl}/api/v1/projects/${ref}/${environment}`, {
    headers: { authorization: `Bearer ${endpoints.accessToken}` },
  })
  if (!response.ok) throw new Error(`Key of ${ref} ${environment}: ${response.status} ${await response.text()}`)
  return { ref, secretKey: ((await response.json()) as { apiKey: string }).apiKey }
}
