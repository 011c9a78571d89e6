/**
 * Deployed versions on the disk of a Node host: unpacked, with what the bundle leaves out installed, and indexed by the bundle's own
 * index controller. Each is prepared once; one that was cut off in the middle is begun again.
 */
import { spawn } from 'node:child_process'
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { makeStateFolder } from '../state-folder.ts'
import type { HostApi } from './api.ts'

/** Where the CLI's build believes it lies. */
const builtFor = '/app'
const readyFile = '.ready'
const installMs = 270_000
/** Kept on the disk beside those in use. */
const idleVersions = 10

export class Versions {
  readonly #api: HostApi
  readonly #state: string
  readonly #projectRef: string
  readonly #preparing = new Map<string, Promise<string>>()

  constructor(api: HostApi, state: string, projectRef: string) {
    this.#api = api
    this.#state = state
    this.#projectRef = projectRef
    makeStateFolder(state)
  }

  /** The folder of a version that is ready to run. */
  prepare(deploymentId: string): Promise<string> {
    if (!/^\w+$/.test(deploymentId)) return Promise.reject(new Error(`${deploymentId} is not the id of a deployment`))
    const known = this.#preparing.get(deploymentId)
    if (known) return known
    const work = this.#make(deploymentId)
    this.#preparing.set(deploymentId, work)
    this.#prune()
    // What failed may work the next time.
    work.catch(() => this.#preparing.delete(deploymentId))
    return work
  }

  /** Versions this process has not used, the longest ago first. */
  #prune(): void {
    const idle = readdirSync(this.#state)
      .filter((name) => /^deployment_\w+$/.test(name) && !this.#preparing.has(name))
      .map((name) => ({ name, at: statSync(join(this.#state, name, readyFile), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
      .sort((one, other) => other.at - one.at)
    for (const { name } of idle.slice(idleVersions)) rmSync(join(this.#state, name), { recursive: true, force: true })
  }

  async #make(deploymentId: string): Promise<string> {
    const folder = join(this.#state, deploymentId)
    if (existsSync(join(folder, readyFile))) {
      // Of use again: not among the first to go.
      writeFileSync(join(folder, readyFile), '')
      return folder
    }
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    const archive = join(folder, '.bundle.tar.gz')
    await pipeline(Readable.fromWeb((await this.#api.bundle(deploymentId)) as never), createWriteStream(archive))
    const unpack = (): Promise<void> => run('tar', ['-xzf', archive, '-C', folder, '--no-same-owner'], { cwd: folder })
    await unpack()
    if (Object.keys(externals(folder)).length > 0) {
      await run('npm', ['install', '--no-audit', '--no-fund', '--no-package-lock', '--omit=dev'], { cwd: folder })
      // It takes away what it does not know: the entry points.
      await unpack()
    }
    rmSync(archive)
    const { indexControllerEntryPoint } = relocate(folder)
    await run(process.execPath, [indexControllerEntryPoint], {
      cwd: folder,
      env: {
        TRIGGER_API_URL: this.#api.apiUrl,
        TRIGGER_SECRET_KEY: this.#api.secretKey,
        TRIGGER_PROJECT_REF: this.#projectRef,
        TRIGGER_DEPLOYMENT_ID: deploymentId,
        NODE_ENV: 'production',
        ...(this.#api.branch ? { TRIGGER_PREVIEW_BRANCH: this.#api.branch } : {}),
      },
    })
    if (!existsSync(join(folder, 'index.json'))) throw new Error('the bundle could not be indexed')
    writeFileSync(join(folder, readyFile), '')
    return folder
  }
}

function externals(folder: string): Record<string, string> {
  const file = join(folder, 'package.json')
  if (!existsSync(file)) return {}
  return (JSON.parse(readFileSync(file, 'utf8')) as { dependencies?: Record<string, string> }).dependencies ?? {}
}

/** What the CLI says of its build. */
interface BuildManifest {
  indexControllerEntryPoint: string
  runControllerEntryPoint: string
}

function manifestOf(folder: string): BuildManifest {
  return JSON.parse(readFileSync(join(folder, 'build.json'), 'utf8')) as BuildManifest
}

/** The file that executes one run. */
export function runControllerOf(folder: string): string {
  return manifestOf(folder).runControllerEntryPoint
}

/** Paths of the build manifest name the folder of an image. */
function relocate(folder: string): BuildManifest {
  const file = join(folder, 'build.json')
  const moved = JSON.parse(readFileSync(file, 'utf8'), (_, value: unknown) =>
    typeof value === 'string' && (value === builtFor || value.startsWith(`${builtFor}/`))
      ? folder + value.slice(builtFor.length)
      : value,
  )
  writeFileSync(`${file}.new`, JSON.stringify(moved))
  renameSync(`${file}.new`, file)
  return manifestOf(folder)
}

/** What a child of the host sees of its environment: no keys but those it is given. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const kept = [
    ...['PATH', 'HOME', 'LANG', 'TMPDIR', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'npm_config_registry', 'npm_config_cache'],
    ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'],
  ]
  return Object.fromEntries(kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])))
}

function run(command: string, args: string[], { cwd, env = {} }: { cwd: string; env?: Record<string, string> }): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd, env: { ...plainEnvironment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (chunk: Buffer): void => {
      output = (output + chunk).slice(-4_000)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    const timer = setTimeout(() => child.kill('SIGKILL'), installMs)
    child.once('error', (error) => fail(new Error(`${command}: ${error.message}`)))
    child.once('close', (code) => {
      clearTimeout(timer)
      if (code === 0) done()
      else fail(new Error(`${[command.split('/').at(-1), args[0]].join(' ')} ended with ${code}\n${output.trim()}`))
    })
  })
}
