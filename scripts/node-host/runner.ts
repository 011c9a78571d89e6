/**
 * One run on a Node host: the bundle's own run controller in a process of its own, which talks to the platform by itself. Here it is
 * started, watched for memory, and its run given back when it is gone before the run has ended.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Connected, HostApi, HostRun } from './api.ts'
import { plainEnvironment, runControllerOf } from './versions.ts'

/** The platform takes a run back that was not started within half a minute. */
const preparingEveryMs = 10_000
const memoryEveryMs = 1_000
const kilobytes = 1_024

export interface RunnerSettings extends Pick<Connected, 'project' | 'environment'> {
  /** Of a run and its children; that of its machine when left out. */
  memoryMb?: number
  /** Shows what run controllers print. */
  isVerbose: boolean
}

export class Runner {
  readonly ended: Promise<void>
  readonly #api: HostApi
  readonly #run: HostRun
  readonly #settings: RunnerSettings
  #end: () => void = () => {}
  #child: ChildProcess | undefined
  #killedFor: string | undefined
  #isTooLarge = false

  constructor(api: HostApi, run: HostRun, settings: RunnerSettings) {
    this.#api = api
    this.#run = run
    this.#settings = settings
    this.ended = new Promise((done) => {
      this.#end = done
    })
  }

  async whilePreparing<T>(work: Promise<T>): Promise<T> {
    const tell = setInterval(() => {
      this.#api.heartbeat(this.#run.run.id, this.#run.snapshot.id).catch(() => {})
    }, preparingEveryMs)
    try {
      return await work
    } finally {
      clearInterval(tell)
    }
  }

  /** Resolves with how it went, in words, once the process is gone and the run is no longer here. */
  async execute(folder: string): Promise<string> {
    if (this.#killedFor) throw new Error(this.#killedFor)
    const output = this.#settings.isVerbose ? 'inherit' : 'ignore'
    const child = spawn(process.execPath, [runControllerOf(folder)], {
      cwd: folder,
      env: { ...plainEnvironment(), ...this.#variables() },
      // What the task prints is sent to the platform; the rest is the controller's.
      stdio: ['ignore', output, output],
      // A group of its own, so that its children end with it.
      detached: true,
    })
    this.#child = child
    const watch = setInterval(() => this.#watchMemory(), memoryEveryMs)
    const code = await new Promise<string>((done) => {
      child.once('error', (error) => done(error.message))
      child.once('exit', (status, signal) => done(String(signal ?? status)))
    })
    clearInterval(watch)
    // Children that outlived it would go on working for a run that is somebody else's.
    this.kill()
    this.#child = undefined
    if (this.#isTooLarge) await this.#api.outOfMemory(this.#run, this.#tooLarge).catch(() => {})
    const reason = this.#killedFor ?? `its process ended with ${code}`
    return (await this.giveBack(reason)) ? `went back: ${reason}` : this.#isTooLarge ? `failed: ${this.#tooLarge}` : 'has ended'
  }

  /** Nothing happens when the run has ended, or somebody else has it. True when it went back. */
  async giveBack(reason: string): Promise<boolean> {
    try {
      const { id } = this.#run.run
      return (await this.#api.release(id, this.#run.snapshot.id, reason)).requeued
    } catch {
      // The platform notices by itself that nothing is heard of it.
      return false
    } finally {
      this.#end()
    }
  }

  async stop(reason: string): Promise<void> {
    this.#killedFor = reason
    this.kill()
    await this.ended
  }

  kill(): void {
    const pid = this.#child?.pid
    if (pid === undefined) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // It is gone.
    }
  }

  get #tooLarge(): string {
    return `its processes took more than ${this.#memoryMb} MB of memory`
  }

  get #memoryMb(): number {
    return this.#settings.memoryMb ?? this.#run.run.machine.memory * 1_024
  }

  #watchMemory(): void {
    const pid = this.#child?.pid
    if (pid === undefined || memoryOf(pid) <= this.#memoryMb * kilobytes) return
    this.#isTooLarge = true
    this.kill()
  }

  #variables(): Record<string, string> {
    const { run, snapshot, deployment, backgroundWorker, dequeuedAt, runner } = this.#run
    const { project, environment } = this.#settings
    const { protocol, hostname: domain, port } = new URL(this.#api.apiUrl)
    const dequeuedAtMs = String(new Date(dequeuedAt).getTime())
    return {
      NODE_ENV: 'production',
      TRIGGER_RUN_ID: run.id,
      TRIGGER_SNAPSHOT_ID: snapshot.id,
      TRIGGER_DEQUEUED_AT_MS: dequeuedAtMs,
      TRIGGER_POD_SCHEDULED_AT_MS: dequeuedAtMs,
      TRIGGER_ENV_ID: environment.id,
      // The controller sends it along with each call: what lets it act for this run.
      TRIGGER_DEPLOYMENT_ID: runner.token,
      TRIGGER_DEPLOYMENT_FRIENDLY_ID: deployment.id,
      TRIGGER_DEPLOYMENT_VERSION: backgroundWorker.version,
      TRIGGER_CONTENT_HASH: deployment.id,
      TRIGGER_PROJECT_ID: project.id,
      TRIGGER_PROJECT_REF: project.ref,
      TRIGGER_SUPERVISOR_API_PROTOCOL: protocol.slice(0, -1),
      TRIGGER_SUPERVISOR_API_DOMAIN: domain,
      TRIGGER_SUPERVISOR_API_PORT: port || (protocol === 'https:' ? '443' : '80'),
      TRIGGER_WORKER_INSTANCE_NAME: hostname(),
      TRIGGER_RUNNER_ID: `runner_${run.id}`,
      TRIGGER_MACHINE_CPU: String(run.machine.cpu),
      TRIGGER_MACHINE_MEMORY: String(run.machine.memory),
      // How soon it hears of a wait that is over, or of a cancel.
      TRIGGER_SNAPSHOT_POLL_INTERVAL_SECONDS: '1',
      OTEL_EXPORTER_OTLP_ENDPOINT: `${this.#api.apiUrl}/otel/none`,
    }
  }
}

/** Of a process and all beneath it, in kB; 0 where the system does not tell (only Linux does). */
function memoryOf(root: number): number {
  try {
    const parents = new Map<number, number[]>()
    const memory = new Map<number, number>()
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue
      try {
        const text = readFileSync(`/proc/${name}/status`, 'utf8')
        const parent = Number(/^PPid:\s+(\d+)/m.exec(text)?.[1])
        parents.set(parent, [...(parents.get(parent) ?? []), Number(name)])
        memory.set(Number(name), Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? 0))
      } catch {
        // Gone meanwhile.
      }
    }
    const sum = (pid: number): number =>
      (memory.get(pid) ?? 0) + (parents.get(pid) ?? []).reduce((total, child) => total + sum(child), 0)
    return sum(root)
  } catch {
    return 0
  }
}
