/** The package `trigger.do`: jobs as sentences, and tasks. */

export { ApiError, RunError, SentenceError, type SentenceErrorCode } from './client/errors.ts'
export type { EventSubscription, Events, SentEvent } from './client/events.ts'
export type { Job, Settled } from './client/job.ts'
export type { LogLine, ProgressUpdate, Run } from './client/run.ts'
export type { RunFilter, RunPage, Runs } from './client/runs.ts'
export type { JobOptions, MadeSchedule, MadeSubscription } from './client/sending.ts'
export { configure, type Settings } from './client/settings.ts'
export { createTrigger, type TaskInfo, type Tasks, type Trigger, trigger } from './client/trigger.ts'
export type {
  Candidate,
  NotUnderstood,
  RefusalCode,
  Understanding,
  UnderstoodEvent,
  UnderstoodRun,
  UnderstoodSchedule,
} from './contracts/sentence.ts'
export { type Checkpoint, checkpoint, type StoredCheckpoint } from './runtime/checkpoint.ts'
export type { Duration, OwnOptions, RetryOptions } from './runtime/options.ts'
export { progress } from './runtime/progress.ts'
export { type OwnScheduleOptions, type OwnTaskOptions, schedules, task } from './runtime/task.ts'
