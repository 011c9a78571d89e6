import { queue, task } from '@trigger.dev/sdk'

/** Names the benchmark puts its runs into. */
export const queues = Array.from({ length: 100 }, (_, index) => queue({ name: `bench-${index}`, concurrencyLimit: 5 }))

export const wide = queue({ name: 'bench-wide' })

export const queued = task({ id: 'queued', run: async () => ({ startedAt: Date.now() }) })
