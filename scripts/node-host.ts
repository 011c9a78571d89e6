/**
 * `npm run node-host -- [--concurrency 4] [--memory MB] [--grace SECONDS] [--state DIR] [--verbose]`: takes the runs of one deployed environment
 * whose tasks need Node (a native add-on, a child process) and executes them in processes of this machine. Where and who is in the
 * environment: TRIGGER_API_URL, TRIGGER_SECRET_KEY and, for a branch, TRIGGER_PREVIEW_BRANCH.
 */
import { resolve } from 'node:path'
import { readArguments } from './arguments.ts'
import { HostApi, type HostRun } from './node-host/api.ts'
import { Runner } from './node-host/runner.ts'
import { Versions } from './node-host/versions.ts'

const usage = '[--concurrency 4] [--memory 1024] [--grace 30] [--state DIR] [--verbose]'
const firstPauseMs = 1_000
const longestPauseMs = 30_000

export async function nodeHost(args: string[], command: string): Promise<void> {
  const values = readArguments(
    {
      concurrency: { type: 'string', default: '4' },
      memory: { type: 'string' },
      grace: { type: 'string', default: '30' },
      state: { type: 'string', default: '.state/node-host' },
      verbose: { type: 'boolean', default: false },
    },
    `${command} ${usage}`,
    args,
  )
  const concurrency = wholeNumber('--concurrency', values.concurrency, 1, 100)
  const memoryMb = values.memory === undefined ? undefined : wholeNumber('--memory', values.memory, 64, 1_000_000)
  const graceMs = wholeNumber('--grace', values.grace, 0, 3_600) * 1_000
  const apiUrl = required('TRIGGER_API_URL').replace(/\/+$/, '')
  const api = new HostApi(apiUrl, required('TRIGGER_SECRET_KEY'), process.env.TRIGGER_PREVIEW_BRANCH)
  const stopping = new AbortController()
  const connected = await patiently(() => api.connect(), stopping.signal)
  if (!connected) return
  const { workerGroup, project, environment } = connected
  const versions = new Versions(api, resolve(values.state), project.ref)
  const runners = new Set<Runner>()
  console.log(`Node host for ${workerGroup.name}: ${concurrency} runs at once. Stop it with Ctrl-C.`)

  const builds = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const answer = await patiently(() => api.builds(stopping.signal), stopping.signal)
      for (const build of answer?.builds ?? []) {
        console.log(`Indexing ${build.version}`)
        await versions.prepare(build.deploymentId).catch(async (error: Error) => {
          console.error(`Version ${build.version} cannot be indexed: ${error.message}`)
          await api.fail(build.deploymentId, error.message).catch(() => {})
        })
      }
    }
  }

  const execute = async (run: HostRun): Promise<void> => {
    const limit = memoryMb === undefined ? {} : { memoryMb }
    const runner = new Runner(api, run, { project, environment, isVerbose: values.verbose, ...limit })
    runners.add(runner)
    try {
      const folder = await runner.whilePreparing(versions.prepare(run.deployment.id))
      console.log(`${run.run.id} starts (version ${run.backgroundWorker.version})`)
      console.log(`${run.run.id} ${await runner.execute(folder)}`)
    } catch (error) {
      console.error(`${run.run.id} goes back: ${(error as Error).message}`)
      await runner.giveBack((error as Error).message)
    } finally {
      runners.delete(runner)
    }
  }

  const dequeue = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      if (runners.size >= concurrency) await Promise.race([...runners].map((runner) => runner.ended))
      else {
        const free = concurrency - runners.size
        const given = await patiently(() => api.dequeue(free, stopping.signal), stopping.signal)
        for (const run of given ?? []) void execute(run)
      }
    }
  }

  const stop = (): void => {
    if (stopping.signal.aborted) return
    console.log(runners.size > 0 ? `Stopping: ${runners.size} runs have ${graceMs / 1_000} s to end.` : 'Stopping.')
    stopping.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  // Whatever ends this process, no run controller outlives it unseen.
  process.on('exit', () => {
    for (const runner of runners) runner.kill()
  })
  await Promise.all([builds(), dequeue()])
  const all = Promise.all([...runners].map((runner) => runner.ended))
  await Promise.race([all, new Promise((done) => setTimeout(done, graceMs).unref())])
  await Promise.all([...runners].map((runner) => runner.stop('the Node host was stopped')))
  process.exit(0)
}

/** The platform may be away for a while; a wrong key never gets better. Nothing once the host is stopping. */
async function patiently<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    try {
      return await call()
    } catch (error) {
      const { status, message } = error as Error & { status?: number }
      if (status !== undefined && [400, 401, 403, 404].includes(status)) throw error
      if (signal.aborted) return undefined
      console.error(`The platform does not answer (${message}); asking again in ${pauseMs / 1_000} s.`)
      await new Promise<void>((done) => {
        const timer = setTimeout(done, pauseMs)
        signal.addEventListener('abort', () => {
          clearTimeout(timer)
          done()
        })
      })
    }
  }
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const number = Number(text)
  if (!/^\d+$/.test(text) || number < least || number > most)
    throw new Error(`${name} ${text}: a whole number from ${least} to ${most} is needed`)
  return number
}

function required(name: string): string {
  const value = process.env[name]
  if (!value)
    throw new Error(`${name} is not set: it is where the platform is, or the secret key of the environment to work for.`)
  return value
}

if (import.meta.main) {
  nodeHost(process.argv.slice(2), 'npm run node-host --').catch((error: Error) => {
    console.error(error.message)
    process.exit(1)
  })
}
