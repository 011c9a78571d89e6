export { HistoryDO } from './environment-do.ts'
