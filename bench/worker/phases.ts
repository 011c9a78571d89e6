/** Steps of an attempt in the isolate, in order; each loop includes the ones before it. */
export const phases = ['call', 'scope', 'managers', 'instance', 'config', 'task file', 'execute'] as const
export type Phase = (typeof phases)[number]
