/** What the routes of our own client answer (see responses.ts): sentences, plans, events, checkpoints, tasks. */
import { z } from '@hono/zod-openapi'
import { run } from './responses.ts'

const date = z.iso.datetime()
const anyObject = z.record(z.string(), z.unknown())
const candidates = z.array(z.object({ task: z.string(), score: z.number() }))
const shared = {
  task: z.string(),
  payload: anyObject,
  confidence: z.number(),
  candidates,
  unused: z.array(z.unknown()).optional(),
  notes: z.array(z.string()).optional(),
}

export const understanding = z
  .discriminatedUnion('understood', [
    z.object({
      understood: z.literal(true),
      kind: z.enum(['run', 'schedule', 'event']),
      ...shared,
      at: date.optional(),
      cron: z.string().optional(),
      cronInWords: z.string().optional(),
      timezone: z.string().optional(),
      event: z.string().optional(),
      filter: anyObject.optional(),
      fromEvent: z.array(z.string()).optional(),
    }),
    z.object({
      understood: z.literal(false),
      code: z.string(),
      message: z.string(),
      candidates,
      field: z.string().optional(),
    }),
  ])
  .openapi('Understanding')

export const startedSentence = z
  .object({ kind: z.enum(['run', 'schedule', 'event']), id: z.string(), understood: understanding, run: run.optional() })
  .openapi('StartedSentence')
const bulkUnderstanding = z.object({
  kind: z.literal('bulk'),
  action: z.enum(['replay', 'cancel']),
  filter: anyObject,
  inWords: z.string(),
})
export const operated = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('bulk'), id: z.string(), understood: bulkUnderstanding }),
    z.object({ kind: z.literal('run'), id: z.string(), understood: understanding }),
    z.object({ kind: z.literal('schedule'), id: z.string(), understood: understanding }),
    z.object({ kind: z.literal('event'), id: z.string(), understood: understanding }),
  ])
  .openapi('Operated')
export const startedPlan = z
  .object({ kind: z.literal('plan'), id: z.string(), stages: z.array(understanding), run: run.optional() })
  .openapi('StartedPlan')

export const runChange = z.object({ revision: z.number(), run }).openapi('RunChange')
export const ok = z.object({ ok: z.literal(true) })
export const checkpointList = z
  .object({
    data: z.array(z.object({ name: z.string(), data: z.unknown(), attempt: z.number().int().nonnegative(), createdAt: date })),
  })
  .openapi('CheckpointList')

export const taskList = z
  .object({
    version: z.string().optional(),
    data: z.array(
      z.object({
        id: z.string(),
        description: z.string().optional(),
        keywords: z.array(z.string()).optional(),
        payloadSchema: z.unknown().optional(),
        payloadFields: z.array(z.string()).optional(),
        triggerSource: z.string().optional(),
        schedule: anyObject.optional(),
        queue: anyObject.optional(),
      }),
    ),
  })
  .openapi('TaskList')

export const subscription = z
  .object({
    id: z.string(),
    event: z.string(),
    task: z.string(),
    filter: anyObject,
    payload: anyObject,
    active: z.boolean(),
    createdAt: date,
  })
  .openapi('EventSubscription')
export const subscriptionList = z.object({ data: z.array(subscription) }).openapi('EventSubscriptionList')
export const sentEvent = z
  .object({
    id: z.string(),
    runs: z.array(z.object({ id: z.string(), task: z.string(), subscription: z.string() })),
    errors: z.array(z.object({ task: z.string(), subscription: z.string(), error: z.string() })),
  })
  .openapi('SentEvent')
