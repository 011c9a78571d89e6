import { task, wait } from '@trigger.dev/sdk'

export const noop = task({ id: 'noop', run: async (payload: { at?: number }) => ({ startedAt: Date.now(), at: payload.at }) })

export const fanOut = task({
  id: 'fan-out',
  run: async (payload: { count: number }) => {
    const result = await noop.batchTriggerAndWait(Array.from({ length: payload.count }, () => ({ payload: {} })))
    return { ok: result.runs.filter((run) => run.ok).length }
  },
})

export const sleeper = task({
  id: 'sleeper',
  run: async (payload: { until: string }) => {
    await wait.until({ date: new Date(payload.until) })
    return { late: Date.now() - new Date(payload.until).getTime() }
  },
})
