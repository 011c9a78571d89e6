/** Events: sent by anyone with a key, turned into runs by subscriptions. */
import { z } from 'zod'
import { eventLimits } from '../contracts/event.ts'
import * as events from '../operations/events.ts'
import * as responses from './client-responses.ts'
import { environmentOf, readBody } from './request.ts'
import { idOnly } from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'events'
const path = '/api/v1/event-subscriptions'
const name = z.string().trim().min(1).max(eventLimits.nameChars)
const id = z.string().trim().min(1).max(eventLimits.idChars)
const record = z.record(z.string(), z.unknown())
const eventBody = z.object({ name, payload: z.unknown().optional(), id: id.optional() })
const subscriptionBody = z.object({
  event: name,
  task: z.string().trim().min(1),
  filter: record.optional(),
  payload: record.optional(),
  id: id.optional(),
})

export function eventRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/events',
      operationId: 'sendEvent',
      summary: 'Send an event: one run of each subscription it matches, once per id',
      response: responses.sentEvent,
      tag,
      body: eventBody,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const body = await readBody(c, eventBody, { maxBytes: eventLimits.payloadBytes * 2 })
      return c.json(await events.sendEvent(c.env, caller, body))
    },
  )

  route(
    app,
    {
      method: 'get',
      path,
      operationId: 'listEventSubscriptions',
      summary: 'List event subscriptions',
      response: responses.subscriptionList,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const data = await events.listSubscriptions(c.env, caller)
      return c.json({ data: data.map(present) })
    },
  )

  route(
    app,
    {
      method: 'post',
      path,
      operationId: 'createEventSubscription',
      summary: 'Run a task at each event of a name',
      response: responses.subscription,
      tag,
      body: subscriptionBody,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const body = await readBody(c, subscriptionBody)
      const { id, filter, payload, event, task } = body
      const given = { event, task, id, ...(filter ? { filter } : {}), ...(payload ? { payload } : {}) }
      return c.json(present(await events.subscribe(c.env, caller, given)))
    },
  )

  route(
    app,
    {
      method: 'delete',
      path: `${path}/:id`,
      operationId: 'deleteEventSubscription',
      summary: 'Delete an event subscription',
      response: idOnly,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      return c.json(await events.unsubscribe(c.env, caller, c.req.param('id') as string))
    },
  )

  for (const [verb, active] of [
    ['pause', false],
    ['resume', true],
  ] as const) {
    route(
      app,
      {
        method: 'post',
        path: `${path}/:id/${verb}`,
        operationId: `${verb}EventSubscription`,
        summary: active
          ? 'Let a paused event subscription start runs again'
          : 'Pause an event subscription: its events start nothing',
        response: responses.subscription,
        tag,
      },
      (c) => setActive(c, active),
    )
  }
}

async function setActive(c: Ctx, active: boolean): Promise<Response> {
  const { caller } = await environmentOf(c)
  return c.json(present(await events.setSubscriptionActive(c.env, caller, c.req.param('id') as string, active)))
}

function present({ createdAt, ...subscription }: Awaited<ReturnType<typeof events.subscribe>>): Record<string, unknown> {
  return { ...subscription, createdAt: new Date(createdAt).toISOString() }
}
