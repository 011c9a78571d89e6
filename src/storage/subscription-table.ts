/** Subscriptions to events: one JSON document each, found by the event's name. */
import type { EventSubscription } from '../contracts/event.ts'

type Row = { data: string }

export function putSubscription(sql: SqlStorage, subscription: EventSubscription): void {
  const { id, event } = subscription
  sql.exec(
    'INSERT OR REPLACE INTO event_subscriptions (id, event, data) VALUES (?, ?, ?)',
    id,
    event,
    JSON.stringify(subscription),
  )
}

export function readSubscription(sql: SqlStorage, id: string): EventSubscription | undefined {
  return parse(sql.exec<Row>('SELECT data FROM event_subscriptions WHERE id = ?', id))[0]
}

export function subscriptionsTo(sql: SqlStorage, event: string): EventSubscription[] {
  return parse(sql.exec<Row>('SELECT data FROM event_subscriptions WHERE event = ? ORDER BY id', event))
}

export function listSubscriptions(sql: SqlStorage): EventSubscription[] {
  return parse(sql.exec<Row>('SELECT data FROM event_subscriptions ORDER BY id'))
}

export function countSubscriptions(sql: SqlStorage): number {
  return sql.exec<{ count: number }>('SELECT count(*) AS count FROM event_subscriptions').one().count
}

export function deleteSubscription(sql: SqlStorage, id: string): void {
  sql.exec('DELETE FROM event_subscriptions WHERE id = ?', id)
}

function parse(rows: Iterable<Row>): EventSubscription[] {
  return [...rows].map((row) => JSON.parse(row.data) as EventSubscription)
}
