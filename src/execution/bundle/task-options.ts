/**
 * The SDK's `task()` passes on the options it knows. Ours are read from the same object, where it hands the task to the
 * catalog: so a project on the plain SDK writes them with a cast, and a wrapper of `task()` needs no registry.
 */
import type { Edit } from './fresh.ts'

const ours = ['rateLimit', 'keywords', 'concurrencyKeyPath']
const registration = /\.registerTaskMetadata\(\{(?=\s*id: ([\w$]+)\.id,)/g

export function taskOptionEdits(source: string): Edit[] {
  return [...source.matchAll(registration)].map((found) => {
    const at = found.index + found[0].length
    return { start: at, end: at, text: ours.map((name) => ` ${name}: ${found[1]}.${name},`).join('') }
  })
}

/** Said at deploy, as the options would be ignored in silence. */
export const withoutTaskOptions = `This version of the SDK hands its tasks over in an unknown way: ${ours.join(', ')} of a task is not read.`
