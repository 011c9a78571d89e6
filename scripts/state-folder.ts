/** The folder that holds the databases and secrets of one platform: one process at a time may use it. */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** How long a workerd may outlive a host that was killed (scripts/workerd.sh). */
const ORPHAN_MS = 1_500

export function makeStateFolder(state: string): void {
  try {
    mkdirSync(state, { recursive: true, mode: 0o700 })
    accessSync(state, constants.W_OK | constants.X_OK)
    // It holds secrets, and may lie in anyone's repository.
    const ignore = join(state, '.gitignore')
    if (!existsSync(ignore)) writeFileSync(ignore, '*\n')
  } catch (error) {
    throw new Error(`The state folder ${state} cannot be written: ${(error as Error).message}`)
  }
}

/** Only a platform that answers has it. */
export function endpointsFile(state: string): string {
  return join(state, 'endpoints.json')
}

/** Two workerd processes on the same databases would damage them. Returns how to give the folder back. */
export async function takeState(state: string): Promise<() => void> {
  const file = join(state, 'host.pid')
  makeStateFolder(state)
  if (existsSync(file)) {
    const left = readFileSync(file, 'utf8').trim()
    const pid = Number(left.split(' ')[0])
    if (pid !== process.pid && identity(pid) === left)
      throw new Error(`A platform (process ${pid}) already uses ${state}. Stop it, or choose another folder with --state.`)
    // Nobody gave it back: its host was killed a moment or a week ago.
    await new Promise((done) => setTimeout(done, ORPHAN_MS))
  }
  rmSync(endpointsFile(state), { force: true })
  writeFileSync(file, identity(process.pid) ?? '', { mode: 0o600 })
  const release = (): void => rmSync(file, { force: true })
  process.once('exit', release)
  return () => {
    process.off('exit', release)
    release()
  }
}

/** Undefined without such a process. Process ids come back after a restart, so Linux adds when it began. */
function identity(pid: number): string | undefined {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return undefined
  }
  try {
    const afterName = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1) as string
    return `${pid} ${afterName.split(' ')[19]}`
  } catch {
    return String(pid)
  }
}
