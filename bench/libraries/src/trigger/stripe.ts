import { task } from '@trigger.dev/sdk'
import Stripe from 'stripe'

const client = new Stripe('sk_test_key')
export const stripe = task({ id: 'stripe', run: async () => ({ ready: typeof client.charges }) })
