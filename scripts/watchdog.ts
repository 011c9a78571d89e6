/** Notices a workerd that is gone, or that a task keeps busy for ever: workerd itself stops no endless loop. */
import { readdirSync, readFileSync } from 'node:fs'

const HEARTBEAT_MS = 1_000
/** Silent this long, and busy for most of it, the process is frozen. */
const SILENCE_MS = 10_000
const BUSY_MS = 8_000
/** Silent this long it is replaced whatever it does; on a machine that does ten other things it may only be slow. */
const LONGEST_SILENCE_MS = 60_000
/** Clock ticks of /proc are hundredths of a second on every Linux. */
const TICK_MS = 10

/** `frozenAt`: when it last answered, if it still lives; absent when it is gone. */
export type Restart = (frozenAt?: number) => Promise<void>

export function watch(origin: string, restart: Restart): NodeJS.Timeout {
  let lastAnswer = Date.now()
  let cpuAtAnswer = workerdCpuMs()
  let restarting = false
  const answered = (): void => {
    lastAnswer = Date.now()
    cpuAtAnswer = workerdCpuMs()
  }
  return setInterval(() => {
    fetch(`${origin}/health`, { signal: AbortSignal.timeout(HEARTBEAT_MS * 4) })
      .then((response) => response.body?.cancel())
      .then(answered, (error: Error & { cause?: { code?: string } }) => {
        // Nobody listens any more: the process is gone, no need to be patient.
        const isGone = error.cause?.code === 'ECONNREFUSED'
        if (restarting || (!isGone && !isFrozen(Date.now() - lastAnswer, workerdCpuMs() - cpuAtAnswer))) return
        restarting = true
        void restart(isGone ? undefined : lastAnswer).finally(() => {
          restarting = false
          answered()
        })
      })
  }, HEARTBEAT_MS)
}

/** `cpuMs` is not a number where the system does not tell. */
export function isFrozen(silentMs: number, cpuMs: number): boolean {
  if (silentMs < SILENCE_MS) return false
  return silentMs >= LONGEST_SILENCE_MS || Number.isNaN(cpuMs) || cpuMs >= BUSY_MS
}

/** CPU time of the workerd processes this one started. */
function workerdCpuMs(): number {
  try {
    let ticks = 0
    for (const thread of readdirSync('/proc/self/task'))
      for (const pid of readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean)) {
        // pid (name) state …: the name may hold spaces, the rest does not; fields 14 and 15 are user and system time.
        const [name = '', rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8')
          .split(/\((.*)\) /s)
          .slice(1)
        const fields = rest.split(' ')
        if (name.includes('workerd')) ticks += Number(fields[11]) + Number(fields[12])
      }
    return ticks * TICK_MS
  } catch {
    return Number.NaN
  }
}
