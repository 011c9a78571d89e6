import { logger, metadata, schedules, task } from '@trigger.dev/sdk'

/** One child run for each region, all at once; the parent waits without holding anything. */
export const report = task({
  id: 'report',
  run: async (payload: { regions: string[] }) => {
    metadata.set('regions', payload.regions.length)
    const results = await regionTotal.batchTriggerAndWait(payload.regions.map((region) => ({ payload: { region } })))
    let total = 0
    for (const result of results.runs) if (result.ok) total += result.output.total
    return { total }
  },
})

export const regionTotal = task({
  id: 'region-total',
  queue: { concurrencyLimit: 5 },
  run: async (payload: { region: string }) => {
    logger.info(`Adding up ${payload.region}`)
    return { region: payload.region, total: payload.region.length * 100 }
  },
})

export const nightlyReport = schedules.task({
  id: 'nightly-report',
  cron: '0 3 * * *',
  run: async (payload) => {
    logger.info('Nightly report', { scheduledFor: payload.timestamp })
    await report.trigger({ regions: ['emea', 'apac', 'amer'] })
  },
})
