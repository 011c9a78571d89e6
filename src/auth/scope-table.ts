/**
 * What a public token needs for each operation it may call, by operation id. An operation that is not named here takes no public
 * token. Any one scope of a rule is enough; `{name}` stands for what the request is about (api-surface.md §2.3).
 */
import { allowsAny, type Requirement } from './scopes.ts'

/** Without a name, or a name nothing is said about, only a scope for the whole type fits. A list: each of it fits; an empty one: none. */
export type Resource = Partial<Record<'run' | 'task' | 'tag' | 'batch' | 'waitpoint', string | string[]>>

type Rule = readonly string[]

const readRun: Rule = ['read:runs:{run}', 'read:tasks:{task}', 'read:tags:{tag}', 'read:batch:{batch}']
const readBatch: Rule = ['read:batch:{batch}', 'read:runs']
const batchTrigger: Rule = ['batchTrigger:tasks:{task}']
const readDeployments: Rule = ['read:deployments']

export const scopeTable: Readonly<Record<string, Rule>> = {
  triggerTask: ['trigger:tasks:{task}'],
  // A schedule or a subscription is more than a run: sentences that make one need a full key.
  startSentence: ['trigger:tasks:{task}'],
  explainSentence: ['read:tasks'],
  listTasks: ['read:tasks'],
  startPlan: ['trigger:tasks:{task}'],
  // Of several tasks each one is needed.
  batchTriggerV1: batchTrigger,
  batchTriggerV2: batchTrigger,
  createBatch: ['batchTrigger:batch', 'batchTrigger:tasks:{task}'],
  addBatchItems: ['write:batch:{batch}', 'batchTrigger:tasks:{task}'],
  retrieveBatchV1: readBatch,
  retrieveBatchV2: readBatch,
  // Of several tasks each one is needed.
  listRuns: ['read:runs', 'read:tasks:{task}'],
  retrieveRun: readRun,
  waitForRunChange: readRun,
  subscribeToRun: readRun,
  readRunStream: readRun,
  subscribeToRuns: ['read:runs', 'read:tags:{tag}'],
  subscribeToBatch: readBatch,
  getRunPacket: readRun,
  getRunTrace: readRun,
  listRunEvents: readRun,
  getRunSpan: readRun,
  // One of the runs that refer to the packet.
  getPacketUrlV1: readRun,
  getPacketUrlV2: readRun,
  // It starts the task again; what the run was given or gave is not shown by it.
  replayRun: ['trigger:tasks:{task}'],
  cancelRun: ['write:runs:{run}', 'write:tasks:{task}'],
  resetIdempotencyKey: ['write:runs'],
  completeWaitpointToken: ['write:waitpoints:{waitpoint}'],
  retrieveQueue: ['read:queues'],
  listDeployments: readDeployments,
  getCurrentDeployment: readDeployments,
  getLatestDeployment: readDeployments,
  getDeployment: readDeployments,
}

/** For the option `parentRunId` of every trigger, beside the rule of the operation. */
export const parentRule: Rule = ['write:runs:{run}']

/** No scopes at all is a full-access key; an operation without a rule lets nobody else in. */
export function mayDo(scopes: string[] | undefined, rule: Rule | undefined, resource: Resource): boolean {
  return allowsAny(
    scopes,
    (rule ?? []).flatMap((template) => requirementsOf(template, resource)),
  )
}

function requirementsOf(template: string, resource: Resource): Requirement[] {
  const [action, type, name] = template.split(':') as [string, string, string?]
  const ids = name === undefined ? undefined : resource[name.slice(1, -1) as keyof Resource]
  if (ids === undefined) return [{ action, type }]
  return [ids].flat().map((id) => ({ action, type, id }))
}
