/** CPU and memory of a process, as Linux counts them. */
import { readdirSync, readFileSync } from 'node:fs'

/** Clock ticks are 10 ms on every Linux that runs Node. */
const tickMs = 10

/** The workerd processes this process started. */
export function workerdProcesses(): number[] {
  const found: number[] = []
  for (const thread of readdirSync('/proc/self/task'))
    for (const pid of readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number))
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('workerd')) found.push(pid)
  return found
}

/** User and system time since the process began. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * tickMs
}

export function residentMb(pid: number): number {
  const kb = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kb) / 1024
}
