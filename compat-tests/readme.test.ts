/**
 * Every code block of README.md, in its order, against a running platform. What needs an account is run as far as it goes
 * without one: `--dry-run`, or the command's own help for its name and flags. A block nobody has dealt with fails.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { environmentKey, type Project } from './cli.ts'
import { endpoints } from './harness.ts'

const root = resolve(import.meta.dirname, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }

interface Block {
  language: string
  text: string
  /** The sentence before it. */
  before: string
}

const blocks: Block[] = [...readme.matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```$/gm)].map((match) => ({
  language: match[2] as string,
  text: (match[3] as string).replaceAll(new RegExp(`^${match[1]}`, 'gm'), ''),
  before: readme.slice(0, match.index).trimEnd().split('\n\n').at(-1) as string,
}))
const used = new Set<Block>()

function block(start: string): Block {
  const found = blocks.find((candidate) => candidate.text.startsWith(start))
  if (!found) throw new Error(`README.md has no block that starts with ${start}`)
  used.add(found)
  return found
}

/** A project beside nothing: its node_modules are the repository's. */
const scratch = join(root, '.state/compat')
mkdirSync(scratch, { recursive: true })
const project = mkdtempSync(join(scratch, 'readme-'))
let key: Project

function bash(script: string, cwd: string, extra: Record<string, string> = {}): { code: number | null; output: string } {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: join(project, 'home'),
    XDG_CONFIG_HOME: join(project, 'home'),
    TRIGGER_API_URL: endpoints.apiUrl,
    NO_COLOR: '1',
    CI: '1',
    WRANGLER_SEND_METRICS: 'false',
    ...extra,
  }
  for (const name of ['VITEST', 'NODE_ENV', 'TEST']) delete env[name]
  const result = spawnSync('bash', ['-euo', 'pipefail', '-c', script], { cwd, env, encoding: 'utf8' })
  return { code: result.status, output: result.stdout + result.stderr }
}

/** The commands of a shell block, without comments. */
function commands(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter(Boolean)
}

beforeAll(() => {
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'mine', private: true, type: 'module', dependencies: { '@trigger.dev/sdk': '4.8.3' } }),
  )
  writeFileSync(join(project, 'package-lock.json'), readFileSync(join(root, 'examples/hello-world/package-lock.json')))
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'))
})

afterAll(() => rmSync(project, { recursive: true, force: true }))

describe('README.md', { timeout: 300_000 }, () => {
  it('starts with two commands that CI runs from a fresh clone', () => {
    const ci = readFileSync(join(root, '.ci/run'), 'utf8')
    for (const [text, steps] of [
      ['npm ci && npm run demo', ['npm ci', 'npm run demo -- --once']],
      ['npm ci && npm test', ['npm ci', 'npm test']],
    ] as const) {
      expect(commands(block(text).text)).toEqual([text])
      for (const step of steps) expect(ci).toContain(step)
    }
    // The real one would take the packages away from under this suite.
    const install = bash('npm ci --dry-run --offline --ignore-scripts --no-audit', root)
    expect(install.code, install.output).toBe(0)
  })

  it('prints what it says npm run dev prints', () => {
    expect(commands(block('npm run dev\n').text)).toEqual(['npm run dev'])
    const source = readFileSync(join(root, 'scripts/dev.ts'), 'utf8')
    const names = commands(block('export TRIGGER_API_URL').text).map((line) => /^export (\w+)=/.exec(line)?.[1])
    expect(names).toEqual(['TRIGGER_API_URL', 'TRIGGER_ACCESS_TOKEN', 'TRIGGER_SECRET_KEY'])
    for (const name of names) expect(source).toContain(`export ${name}=`)
    expect(endpoints.accessToken).toMatch(/^tr_pat_/)
    expect(endpoints.secretKeys.prod).toMatch(/^tr_prod_/)
  })

  it('makes a project that compiles, deploys with the CLI and completes a run', async () => {
    const files = {
      'trigger.config.ts': block("import { defineConfig } from '@trigger.dev/sdk'"),
      'src/trigger/invoice.ts': block("import { logger, task, wait } from '@trigger.dev/sdk'"),
      'app.ts': block("import { runs, tasks } from '@trigger.dev/sdk'"),
    }
    for (const [path, { text, before }] of Object.entries(files)) {
      mkdirSync(dirname(join(project, path)), { recursive: true })
      writeFileSync(join(project, path), text)
      if (path !== 'app.ts') expect(before).toContain(`\`${path}\``)
    }
    const compilerOptions = { target: 'es2023', module: 'esnext', moduleResolution: 'bundler', strict: true, noEmit: true }
    writeFileSync(
      join(project, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: { ...compilerOptions, skipLibCheck: true, allowImportingTsExtensions: true, types: ['node'] },
        include: ['app.ts', 'src', 'trigger.config.ts'],
      }),
    )
    const types = bash('npx --no-install tsc -p tsconfig.json', project)
    expect(types.code, types.output).toBe(0)

    const [deploy] = commands(block('npx trigger.dev@4.8.3 deploy').text)
    // Only what keeps it off the network is added.
    const deployed = bash(`${deploy} --skip-update-check --skip-telemetry`, project, {
      TRIGGER_ACCESS_TOKEN: endpoints.accessToken,
      npm_config_offline: 'true',
    })
    expect(deployed.code, deployed.output.slice(-2_000)).toBe(0)
    expect(deployed.output).toMatch(/Version \d{8}\.\d+/)

    key = await environmentKey(endpoints, project, 'prod')
    const ran = bash(`"${process.execPath}" app.ts`, project, { TRIGGER_SECRET_KEY: key.secretKey })
    expect(ran.output).toMatch(/^run_\w+ COMPLETED \{ sent: true \}$/m)
    const runId = /run_\w+/.exec(ran.output)?.[0] as string

    const [list, events, trace] = commands(
      block('curl -H "Authorization: Bearer $TRIGGER_SECRET_KEY" "$TRIGGER_API_URL/api/v1/runs"').text,
    )
    const curl = (command: string | undefined): unknown => {
      const result = bash(`${command} --silent --show-error --fail-with-body`, project, {
        TRIGGER_SECRET_KEY: key.secretKey,
        RUN_ID: runId,
      })
      expect(result.code, result.output).toBe(0)
      return JSON.parse(result.output)
    }
    expect(curl(list)).toMatchObject({ data: [{ id: runId, status: 'COMPLETED' }] })
    expect(JSON.stringify(curl(events))).toContain('Invoice for Ada')
    expect(JSON.stringify(curl(trace))).toContain('Invoice for Ada')

    const [keyCommand] = commands(block('curl -H "Authorization: Bearer $TRIGGER_ACCESS_TOKEN"').text)
    // Not by fetch: its connection would be dead when the commands that block this process are through.
    const keyOf = (environment: string): string => {
      const line = `${keyCommand?.replace(/\/prod(?=")/, `/${environment}`)} --silent --fail`
      const printed = bash(line, project, { TRIGGER_ACCESS_TOKEN: endpoints.accessToken })
      return (JSON.parse(printed.output) as { apiKey: string }).apiKey
    }
    expect(keyOf('prod')).toBe(key.secretKey)
    const other = keyOf('staging')
    expect(other).toMatch(/^tr_stg_/)
    for (const command of commands(block('npm run environment -- export').text)) {
      const result = bash(command.replace('environment.ndjson', join(project, 'environment.ndjson')), root, {
        TRIGGER_SECRET_KEY: key.secretKey,
        OTHER_SECRET_KEY: other,
      })
      expect(result.code, result.output).toBe(0)
      expect(result.output).toMatch(/environment\.ndjson: 1 runs|runs: 1 imported/)
    }
  })

  it('names bindings and wrangler commands that exist', () => {
    const wrangler = (args: string): string => {
      const result = bash(`npx --no-install wrangler ${args}`, root)
      expect(result.code, result.output).toBe(0)
      return result.output
    }
    const config = readFileSync(join(root, 'wrangler.toml'), 'utf8')
    const [login, bucket, ...queues] = commands(block('npx wrangler login').text)
    expect(login).toBe('npx wrangler login')
    expect(wrangler('login --help')).toContain('Login to Cloudflare')
    expect(bucket).toMatch(/^npx wrangler r2 bucket create /)
    expect(wrangler('r2 bucket create --help')).toMatch(/wrangler r2 bucket create <name>/)
    expect(wrangler('queues create --help')).toMatch(/wrangler queues create <name>/)
    expect(config).toContain(`bucket_name = "${bucket?.split(' ').at(-1)}"`)
    const names = queues.map((line) => /^npx wrangler queues create (\S+)$/.exec(line)?.[1])
    expect(names.sort()).toEqual([...new Set(config.match(/(?<=queue = ")[^"]+/g))].sort())

    expect(commands(block('npx wrangler deploy\n').text)).toEqual(['npx wrangler deploy'])
    expect(wrangler('deploy --dry-run')).toContain('--dry-run: exiting now.')
  })

  it('names options that setup and wrangler dev have (both run in wrangler-dev.test.ts, the package in package.test.ts)', () => {
    const remote = commands(block('npm run setup -- --remote').text)
    const dev = commands(block('npm run setup\n').text)
    const packed = commands(block('npx wrangler deploy --config').text)
    const usage = bash(`"${process.execPath}" scripts/setup.ts --nothing`, root).output
    const help = bash('npx --no-install wrangler dev --help; npx --no-install wrangler deploy --help', root).output
    for (const line of [...remote, ...dev, ...packed])
      for (const [option] of line.matchAll(/--[a-z][a-z-]*/g))
        expect(line.includes('setup') ? usage : help, line).toContain(option)
    expect(dev.map((line) => line.replace(/ -.*/, ''))).toEqual([
      'npm run setup',
      'X_LOCAL_OBSERVABILITY=false npx wrangler dev',
      'npm run setup',
    ])
    expect(packed.map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual(['npx wrangler deploy', 'npx trigger.do setup'])
  })

  it('has scripts, files and probes as it says', async () => {
    for (const [, name] of readme.matchAll(/npm run ([a-z:-]+)/g)) expect(manifest.scripts, name).toHaveProperty([name as string])
    for (const [, path] of readme.matchAll(/\]\((?!http)([^)]+)\)/g))
      expect(existsSync(join(root, path as string)), path).toBe(true)
    for (const [, path] of readme.matchAll(/`((?:docs|src|examples|compat-tests|scripts|\.ci)\/[^`\s]*)`/g))
      expect(
        [root, project].some((folder) => existsSync(join(folder, path as string))),
        path,
      ).toBe(true)
    const statuses = execFileSync(
      'bash',
      [
        '-c',
        `for args in "$0/health" "$0/openapi.json" "-X POST $0/api/v1/tasks/x/trigger"; do curl -s -o /dev/null -w '%{http_code} ' $args; done`,
        endpoints.apiUrl,
      ],
      { encoding: 'utf8' },
    )
    expect(statuses.trim().split(' ')).toEqual(['200', '200', '401'])
    expect(((await (await fetch(`${endpoints.apiUrl}/openapi.json`)).json()) as { openapi: string }).openapi).toMatch(/^3\./)
    expect(await (await fetch(`${endpoints.apiUrl}/health`)).json()).toMatchObject({ initialised: true })
  })

  it('has no block that was left out above', () => {
    // Needs tasks such as these: sentences.test.ts runs it.
    block("import { trigger } from 'trigger.do'\n\nconst")
    // node-host.test.ts starts it.
    expect(commands(block('TRIGGER_SECRET_KEY="$PROD_SECRET_KEY"').text)).toEqual([
      'TRIGGER_SECRET_KEY="$PROD_SECRET_KEY" npm run node-host -- --concurrency 4',
    ])
    expect(manifest.scripts['node-host']).toBe('exec node scripts/node-host.ts')
    // files.test.ts.
    block("import { task } from 'trigger.do'\nimport { fsx } from 'trigger.do/fsx'")
    // agents.test.ts runs both; dev.test.ts the command, with the CLI of the repository.
    block("import { trigger } from 'trigger.do'\nimport { defineTool")
    block("import { ralph } from 'trigger.do/agents'")
    expect(commands(block('npx trigger.dev@4.8.3 dev').text)).toEqual(['npx trigger.dev@4.8.3 dev'])
    const { mcpServers } = JSON.parse(block('{\n  "mcpServers"').text) as { mcpServers: { jobs: { url: string } } }
    expect(new URL(mcpServers.jobs.url).pathname).toBe('/mcp')
    expect(blocks.filter((candidate) => !used.has(candidate)).map(({ text }) => text)).toEqual([])
    expect(blocks.length).toBeGreaterThan(10)
  })
})
