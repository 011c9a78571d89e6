import { schedules } from '@trigger.dev/sdk'

export const tick = schedules.task({ id: 'tick', run: async () => ({ startedAt: Date.now() }) })
