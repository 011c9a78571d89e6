/** What `npm pack` gives, in an empty project: it installs without a network, its types work, its Worker is deployable. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'trigger-do-package-'))
const project = join(folder, 'project')
const installed = join(project, 'node_modules/trigger.do')

const env = { ...process.env, npm_config_cache: join(folder, 'cache'), npm_config_offline: 'true', npm_config_audit: 'false' }

beforeAll(() => {
  execFileSync('npm', ['pack', '--pack-destination', folder], { cwd: root, env, stdio: 'pipe' })
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }))
  execFileSync('npm', ['install', join(folder, tarball as string), '--no-fund'], { cwd: project, env, stdio: 'pipe' })
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function tsc(moduleResolution: string): { status: number | null; output: string } {
  const config = join(project, `tsconfig.${moduleResolution}.json`)
  const module = moduleResolution === 'nodenext' ? 'nodenext' : 'esnext'
  const compilerOptions = {
    module,
    moduleResolution,
    target: 'es2022',
    lib: ['es2022', 'dom'],
    strict: true,
    noEmit: true,
    types: [],
  }
  writeFileSync(config, JSON.stringify({ compilerOptions, files: ['worker.ts'] }))
  const result = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', config], {
    cwd: project,
    encoding: 'utf8',
  })
  return { status: result.status, output: result.stdout + result.stderr }
}

function dryRun(args: string[]): { status: number | null; output: string } {
  const result = spawnSync(
    process.execPath,
    [join(root, 'node_modules/wrangler/bin/wrangler.js'), 'deploy', '--dry-run', '--outdir', join(folder, 'out'), ...args],
    { cwd: project, encoding: 'utf8', env: { ...process.env, CI: '1', WRANGLER_SEND_METRICS: 'false' } },
  )
  return { status: result.status, output: result.stdout + result.stderr }
}

describe('the npm package', { timeout: 300_000 }, () => {
  it('holds the built Worker, licence and documents, and nothing of the workshop', () => {
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter(
      // The client lies there file by file, so that bundlers take what is used.
      (name) =>
        (name.includes('.') && !/^dist\/(adapters|client|contracts|core|mcp|runtime)\/.+\.(js|d\.ts)$/.test(name)) ||
        name === 'LICENSE',
    )
    expect(files.sort()).toEqual(
      [
        'CHANGELOG.md',
        'LICENSE',
        'README.md',
        'dist/browser.d.ts',
        'dist/browser.js',
        'dist/cli.js',
        'dist/index.d.ts',
        'dist/index.js',
        'dist/worker.d.ts',
        'dist/worker.js',
        'dist/worker.js.map',
        'dist/wrangler.toml',
        'openapi/openapi.json',
        'package.json',
      ].sort(),
    )
    expect(readFileSync(join(installed, 'LICENSE'), 'utf8')).toContain('MIT License')
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
    expect(manifest).toMatchObject({ name: 'trigger.do', license: 'MIT', type: 'module' })
    for (const target of Object.values(manifest.exports).flatMap((entry) =>
      typeof entry === 'string' ? entry : Object.values(entry as object),
    ))
      expect(existsSync(join(installed, target)), target).toBe(true)
    // All it needs is in it.
    expect(readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['trigger.do'])
  })

  it('has types for both ways modules are resolved, and they refuse what is not there', () => {
    const source = `import worker, { type Env, EnvironmentDO, RunDO } from 'trigger.do/worker'
export * from 'trigger.do/worker'
export default {
  ...worker,
  fetch: (request: Request, env: Env, ctx: unknown) =>
    new URL(request.url).pathname === '/mine' ? new Response(env.ROOT_SECRET ? 'set up' : 'not yet') : worker.fetch(request, env, ctx),
}
export class Mine extends EnvironmentDO {}
export const classes = [EnvironmentDO, RunDO]
`
    for (const resolution of ['nodenext', 'bundler']) {
      writeFileSync(join(project, 'worker.ts'), source)
      expect(tsc(resolution)).toEqual({ status: 0, output: '' })
      writeFileSync(join(project, 'worker.ts'), source.replace('EnvironmentDO, RunDO }', 'EnvironmentDO, RunDO, Nothing }'))
      expect(tsc(resolution).output).toContain("no exported member 'Nothing'")
      writeFileSync(join(project, 'worker.ts'), source.replace('worker.fetch(request, env, ctx)', 'worker.fetch(1, env, ctx)'))
      expect(tsc(resolution).status).not.toBe(0)
    }
  })

  it('deploys as it is, and from an entry file of one’s own', () => {
    const packed = dryRun(['--config', join(installed, 'dist/wrangler.toml')])
    expect(packed.status, packed.output).toBe(0)
    for (const binding of ['EnvironmentDO', 'RunDO', 'trigger-do-dispatch', 'env.LOADER', 'env.BUCKET'])
      expect(packed.output).toContain(binding)

    writeFileSync(join(project, 'worker.ts'), "export * from 'trigger.do/worker'\nexport { default } from 'trigger.do/worker'\n")
    const config = readFileSync(join(installed, 'dist/wrangler.toml'), 'utf8')
    writeFileSync(join(project, 'wrangler.toml'), config.replace('main = "worker.js"', 'main = "worker.ts"'))
    const own = dryRun([])
    expect(own.status, own.output).toBe(0)

    // Every class a binding names is exported by the module.
    const classes = [...config.matchAll(/class_name = "(\w+)"/g)].map((match) => match[1] as string)
    const types = readFileSync(join(installed, 'dist/worker.d.ts'), 'utf8')
    expect(classes.length).toBeGreaterThan(5)
    expect(classes.filter((name) => !types.includes(`export declare class ${name} `))).toEqual([])
  })

  it('brings the set-up as a command, for an old Node as well', () => {
    mkdirSync(join(project, 'node_modules/.bin'), { recursive: true })
    const command = (...args: string[]): string =>
      execFileSync('npx', ['--no-install', 'trigger.do', ...args], { cwd: project, env, encoding: 'utf8' })
    expect(command('setup', '--state', 'secrets')).toContain('--env-file')
    expect(JSON.parse(readFileSync(join(project, 'secrets/secrets.json'), 'utf8')).rootSecret).toMatch(/^[0-9a-f]{64}$/)
    expect(readFileSync(join(project, 'secrets/.gitignore'), 'utf8')).toBe('*\n')
    expect(() => command('unknown')).toThrow()
    expect(() => command('node-host', '--memory', 'much')).toThrow(/--memory much: a whole number/)
  })
})
