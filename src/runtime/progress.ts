/** Progress of the run this code is part of, kept in its metadata, where everybody can read it. */
import { currentRunId } from './current-run.ts'
import { sdkFor } from './sdk.ts'

/**
 * Tells how far the task is; who listens with `job.progress()` hears it. Only inside a task.
 *
 * @example
 * progress('encoding', 40)
 */
export function progress(stage: string, percent: number): void {
  if (typeof stage !== 'string' || stage === '') throw new TypeError('The stage of progress() must be a word.')
  if (!(typeof percent === 'number' && percent >= 0 && percent <= 100))
    throw new RangeError(`The percent of progress() must be a number from 0 to 100, not ${percent}.`)
  const { metadata } = sdkFor('progress()')
  currentRunId('progress()')
  metadata.set('progress', { stage, percent })
}
