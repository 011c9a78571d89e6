/** Events and who listens to them. */
export interface EventSubscription {
  id: string
  /** Name of the event, e.g. `payment.failed`. */
  event: string
  task: string
  /** What the event's payload must hold; empty = every event of that name. */
  filter: Record<string, unknown>
  /** Laid over the event's payload: the task gets both. */
  payload: Record<string, unknown>
  active: boolean
  createdAt: number
}

export interface EventInput {
  /** Events of the same id start each subscription's run once. */
  id: string
  name: string
  payload: unknown
}
export interface EventResult {
  id: string
  runs: { id: string; task: string; subscription: string }[]
  /** Subscriptions whose run was refused, and why. */
  errors: { task: string; subscription: string; error: string }[]
}

export const eventLimits = {
  payloadBytes: 131_072,
  /** Of the payloads of all runs one event starts. */
  startedBytes: 8_388_608,
  nameChars: 256,
  idChars: 256,
  filterFields: 20,
  /** Of an environment, paused ones included. */
  subscriptions: 1_000,
} as const
