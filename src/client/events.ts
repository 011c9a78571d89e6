/** Events, and the subscriptions that make runs of them. */
import { request } from './http.ts'
import { connect, type Settings } from './settings.ts'
import { toJson } from './values.ts'

export interface EventSubscription {
  id: string
  event: string
  task: string
  /** What an event's payload must hold; empty = every event of that name. */
  filter: Record<string, unknown>
  /** Laid over the event's payload. */
  payload: Record<string, unknown>
  active: boolean
  createdAt: string
}

export interface SentEvent {
  id: string
  /** One for each subscription that matched. */
  runs: { id: string; task: string }[]
  /** Subscriptions whose run was refused. */
  errors?: { task: string; error: string }[]
}

export interface Events {
  /**
   * Tells of an event: each subscription it matches starts its task once, however often the same id is sent.
   *
   * @example
   * await trigger.events.send('payment.failed', { userId: 'u1', amount: 12 }, { id: invoice.id })
   */
  send(name: string, payload?: unknown, options?: { id?: string }): Promise<SentEvent>
  /**
   * Subscribes a task to an event, as a "when …" sentence does.
   *
   * @example
   * await trigger.events.on('payment.failed', { task: 'notify', filter: { amount: { gt: 10 } }, payload: { to: 'ops' } })
   */
  on(
    name: string,
    subscription: { task: string; filter?: Record<string, unknown>; payload?: Record<string, unknown>; id?: string },
  ): Promise<EventSubscription>
  readonly subscriptions: {
    list(): Promise<{ data: EventSubscription[] }>
    /** Its events start nothing until it is resumed. */
    pause(id: string): Promise<EventSubscription>
    resume(id: string): Promise<EventSubscription>
    delete(id: string): Promise<{ id: string }>
  }
}

export function eventsOf(settings: Settings): Events {
  const path = '/api/v1/event-subscriptions'
  const at = (id: string): string => `${path}/${encodeURIComponent(id)}`
  return {
    async send(name, payload = {}, { id } = {}) {
      const plain = toJson(payload, 'the payload of the event', { undefinedProperty: 'omit' })
      const body = { name, payload: plain, ...(id === undefined ? {} : { id }) }
      return request(connect(settings), 'POST', '/api/v1/events', { body })
    },
    async on(event, { task, filter, payload, id }) {
      const body = toJson({ event, task, filter, payload, id }, 'the subscription', { undefinedProperty: 'omit' })
      return request(connect(settings), 'POST', path, { body })
    },
    subscriptions: {
      list: async () => request(connect(settings), 'GET', path),
      pause: async (id) => request(connect(settings), 'POST', `${at(id)}/pause`),
      resume: async (id) => request(connect(settings), 'POST', `${at(id)}/resume`),
      delete: async (id) => request(connect(settings), 'DELETE', at(id)),
    },
  }
}
