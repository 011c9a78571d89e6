export { SchedulerDO } from './environment-do.ts'
