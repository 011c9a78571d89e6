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
    const at = new Date(payload.until).getTime()
    const early = at - Date.now()
    await wait.until({ date: new Date(at) })
    return { late: Date.now() - at, early }
  },
})
