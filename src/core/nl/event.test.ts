import { describe, expect, it } from 'vitest'
import { readEvent } from './event.ts'
import { tokensOf } from './tokens.ts'

function read(strings: TemplateStringsArray, ...values: unknown[]): unknown {
  const result = readEvent(tokensOf({ strings: [...strings], values }))
  return 'problem' in result ? 'problem' : result.filter ? [result.event, result.filter] : result.event
}

describe('the name of an event', () => {
  it.each([
    [read`payment fails`, 'payment.failed'],
    [read`a payment has failed`, 'payment.failed'],
    [read`payments fail`, 'payment.failed'],
    [read`a user uploads a file`, 'file.uploaded'],
    [read`a file is uploaded`, 'file.uploaded'],
    [read`files are uploaded`, 'file.uploaded'],
    [read`the file has been uploaded`, 'file.uploaded'],
    [read`order is placed`, 'order.placed'],
    [read`an order was shipped`, 'order.shipped'],
    [read`the order ships`, 'order.shipped'],
    [read`customer signs up`, 'customer.signed_up'],
    [read`a new user signs up for the newsletter`, 'user.signed_up'],
    [read`someone pays an invoice`, 'invoice.paid'],
    [read`an invoice is sent to the customer`, 'invoice.sent'],
    [read`user submits the form`, 'form.submitted'],
    [read`password reset is requested`, 'password.reset.requested'],
    [read`a customer cancels their subscription`, 'subscription.canceled'],
    [read`subscription is cancelled`, 'subscription.canceled'],
    [read`a trial expires`, 'trial.expired'],
    [read`the report is ready`, 'report.ready'],
    [read`a device goes offline`, 'device.offline'],
    [read`the deployment of the api finishes`, 'deployment.finished'],
    [read`an item is added to the cart`, 'item.added'],
    [read`the job stops`, 'job.stopped'],
    [read`order.created`, 'order.created'],
    [read`the event user.signed_up fires`, 'user.signed_up'],
    [read`event ${'order.created'} happens`, 'order.created'],
    [read`payment`, 'problem'],
    [read`${'x'}`, 'problem'],
    [read`user signs up and pays`, 'problem'],
    [read``, 'problem'],
  ])('%j is %j', (result, expected) => expect(result).toEqual(expected))
})

describe('its filter', () => {
  it.each([
    [read`user ${'u1'} uploads a file`, ['file.uploaded', { user: 'u1' }]],
    [read`${'u1'} uploads a file`, ['file.uploaded', { '*': 'u1' }]],
    [read`payment fails for customer ${'c1'}`, ['payment.failed', { customer: 'c1' }]],
    [read`order.created for customer ${'c1'}`, ['order.created', { customer: 'c1' }]],
    [read`order total exceeds ${100}`, ['order.updated', { total: { gt: 100 } }]],
    [read`order total is over 100`, ['order.updated', { total: { gt: 100 } }]],
    [read`stock level drops below ${5}`, ['stock.updated', { level: { lt: 5 } }]],
    [read`order status is ${'paid'}`, ['order.updated', { status: 'paid' }]],
    [read`order status equals ${'paid'}`, ['order.updated', { status: 'paid' }]],
    [read`an order is placed with total above ${100}`, ['order.placed', { total: { gt: 100 } }]],
    [read`temperature is above ${90}`, ['temperature.updated', { temperature: { gt: 90 } }]],
    [read`an order with total over ${100} is placed`, ['order.placed', { total: { gt: 100 } }]],
  ])('%j is %j', (result, expected) => expect(result).toEqual(expected))
})
