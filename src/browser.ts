/**
 * The package `trigger.do` in a web page: the client without what is for tasks, which pull in an SDK that needs Node. A bundler takes it
 * by the condition `browser`.
 */

export { ApiError, RunError, SentenceError, type SentenceErrorCode } from './client/errors.ts'
export { configure, type Settings } from './client/settings.ts'
export { createTrigger, trigger } from './client/trigger.ts'

function absent(name: string): never {
  throw new Error(`${name} of trigger.do is for tasks, and tasks do not run in a browser.`)
}

export const task = (): never => absent('task')
export const schedules = { task: (): never => absent('schedules.task') }
export const progress = (): never => absent('progress')
export const checkpoint = Object.assign((): never => absent('checkpoint'), {
  get: (): never => absent('checkpoint.get'),
  last: (): never => absent('checkpoint.last'),
})
