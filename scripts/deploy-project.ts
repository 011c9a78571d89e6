/** Deploys a project folder with the unmodified trigger.dev CLI, away from the profile of whoever runs it. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './local-host.ts'

export interface DeployResult {
  code: number
  output: string
}

export async function deployProject(options: {
  folder: string
  apiUrl: string
  accessToken: string
  args?: string[]
  onLine?: (line: string) => void
}): Promise<DeployResult> {
  const home = mkdtempSync(join(tmpdir(), 'trigger-do-cli-'))
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: home,
    XDG_CONFIG_HOME: join(home, '.config'),
    TRIGGER_API_URL: options.apiUrl,
    TRIGGER_ACCESS_TOKEN: options.accessToken,
    NO_COLOR: '1',
  }
  delete env.TRIGGER_SECRET_KEY
  try {
    return await new Promise<DeployResult>((done, fail) => {
      const cli = join(root, 'node_modules/trigger.dev/dist/esm/index.js')
      const args = [cli, 'deploy', '--skip-update-check', '--skip-telemetry', ...(options.args ?? [])]
      const child = spawn(process.execPath, args, { cwd: options.folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
      // The demo may be stopped meanwhile.
      const end = (): boolean => child.kill('SIGKILL')
      process.once('exit', end)
      let output = ''
      const collect = (chunk: Buffer): void => {
        const text = chunk.toString()
        output += text
        for (const line of text.split('\n').map(readable)) if (line) options.onLine?.(line)
      }
      child.stdout.on('data', collect)
      child.stderr.on('data', collect)
      child.once('error', fail)
      child.once('close', (code) => {
        process.off('exit', end)
        done({ code: code ?? 1, output })
      })
    })
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

/** A line without colours and cursor moves; spinner frames become nothing. */
function readable(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal sequences start with one
  const text = line.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '').trimEnd()
  return /^[\s│]*$|[◒◐◓◑]/.test(text) ? '' : text
}
